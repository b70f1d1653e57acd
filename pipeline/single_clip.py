"""Clips through every step in memory; models are opened once and stay open for the next clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from grace.pipeline.arguments import (
    SHORTEST_STRIDE,
    SHORTEST_WINDOW,
    as_list,
    check_at_least,
    clip_path,
    clip_paths,
)
from grace.pipeline.datasets.footage import footage_around
from grace.pipeline.errors import ClipError, UserError
from grace.pipeline.execution.step import Step, limits, process_rows
from grace.pipeline.faces.step import FacesStep
from grace.pipeline.media.frames import FRAMES_FPS
from grace.pipeline.messages import one_line
from grace.pipeline.settings import PipelineSettings
from grace.pipeline.steps import STEPS, make_step
from grace.pipeline.store import Row, Schema
from grace.pipeline.store.formats import decode, encode
from grace.pipeline.store.schemas import CLIPS, DESCRIPTIONS, STORES
from grace.pipeline.vocabulary import CUE_FIELDS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class ClipResult:
    """What the steps made of one video: its texts, and in ``row`` every column of every store.

    Example:
        >>> cue = {"region": "brows", "action": "brow raise", "intensity": "clearly", "phase": "apex"}
        >>> result = ClipResult({"path": "x.mp4", "description": "The brows rise clearly.", "cues": [cue]})
        >>> result.description, result.to_pandas()["action"].tolist()
        ('The brows rise clearly.', ['brow raise'])
    """

    row: Row
    remarks: tuple[str, ...] = ()
    """Why results are degraded (the status ``fallback`` of the clip or of a step), in plain English."""
    error: str = ""
    """Why the clip could not be used; then ``row`` holds what there is."""
    limits: tuple[str, ...] = ()
    """Models behind the results that do not know such footage, a sentence each."""

    @property
    def caption(self) -> str:
        """The coarse caption."""
        return str(self.row.get("caption", ""))

    @property
    def description(self) -> str:
        """The fine description."""
        return str(self.row.get("description", ""))

    def to_pandas(self) -> pd.DataFrame:
        """The cues as a table.

        Returns:
            One cue per row: ``region``, ``action``, ``intensity``, ``phase``; no row where the clip has none.
        """
        import pandas as pd

        return pd.DataFrame(self.row.get("cues") or [], columns=list(CUE_FIELDS))

    def plot(self) -> Figure:
        """The face crops with their motion maps beneath, as a matplotlib figure.

        Raises:
            UserError: There are no face crops.
        """
        from matplotlib.figure import Figure

        from grace.pipeline.visualize.contact_sheets import crop_sheet

        if "frames" not in self.row:
            cause = self.error or "it was not taken through the step faces"
            raise UserError(f"{self.row['path']} has no face crops to draw: {cause}.")
        sheet = crop_sheet(self.row, self.row if "motion" in self.row else None)
        figure = Figure(figsize=(sheet.shape[1] / 100, sheet.shape[0] / 100 + 0.4), layout="constrained")
        axes = figure.add_subplot()
        axes.imshow(sheet[..., ::-1])
        axes.set_title(str(self.row["path"]))
        axes.set_axis_off()
        return figure


class ClipPipeline:
    """Takes clips through faces, caption, refine, motion and tokens, in memory.

    Results equal those of the stages on the same clip. Use it as a context manager, or call :meth:`close`, to give the
    models' memory back.

    Args:
        settings: What the steps shall do; the defaults use the models that come with the package.
        stages: The steps to take, in the order of :data:`~grace.pipeline.steps.STEPS`; all of them unless given. Each
            must come after the steps whose results it reads; without ``refine``, a clip's text is empty.

    Raises:
        UserError: ``settings`` are no settings, or name a model or a prompt that is not there; a step does not exist,
            is named twice, or comes before one that it needs.

    Example:
        >>> import tempfile
        >>> from grace import ClipPipeline, load_settings
        >>> from grace.pipeline.media.images import write_image
        >>> settings = load_settings(None, ["faces.detector=none", "faces.instants=4", "motion.grid=8"])
        >>> with tempfile.TemporaryDirectory() as clip, ClipPipeline(settings, ["faces", "motion"]) as pipeline:
        ...     for number in range(9):  # a folder of frames is a clip, as a video file is
        ...         write_image(Path(clip, f"{number}.png"), np.full((96, 96, 3), 20 * number, np.uint8))
        ...     result = pipeline(clip)
        >>> result.row["motion"].shape  # instants, rows and columns of the grid
        (4, 8, 8)
    """

    def __init__(self, settings: PipelineSettings | None = None, stages: Sequence[str] = tuple(STEPS)) -> None:
        if settings is not None and not isinstance(settings, PipelineSettings):
            raise UserError(
                f"ClipPipeline takes settings, not {one_line(repr(settings), 60)}: read a file of settings with "
                "grace.load_settings."
            )
        self.settings = settings or PipelineSettings()
        self.steps = make_steps(self.settings, as_list(stages))
        self._open: list[Step] = []
        self._limits: dict[str, tuple[str, ...]] = {}

    def __call__(self, clip: str | Path) -> ClipResult:
        """Take one clip through the steps.

        Args:
            clip: A video file, or a folder of frames.

        Returns:
            Everything that the steps made of it.

        Raises:
            UserError: It is missing or cannot be decoded, or a step fails on it; the sentence says why.
        """
        (result,) = self.many([clip_path(clip)])
        if result.error:
            raise UserError(f"{clip} cannot be used: {result.error}.")
        return result

    def many(self, clips: str | Path | Iterable[str | Path]) -> list[ClipResult]:
        """Take several clips through the steps together, so that a model gets them in batches.

        Args:
            clips: Video files, or folders of frames; a single path is one clip.

        Returns:
            One result per clip, in order. A clip that cannot be used has an ``error`` and costs no other.

        Raises:
            UserError: One of ``clips`` is no path.
        """
        return self._through([self._clip(clip, number) for number, clip in enumerate(clip_paths(clips))], self.steps)

    def windows(self, clip: str | Path, seconds: float, stride: float) -> list[ClipResult]:
        """Take the windows of one clip through the steps, each as a clip of its own.

        Args:
            clip: A video file, or a folder of frames.
            seconds: Length of a window, in which ``faces.instants`` instants are sampled; at least 0.1.
            stride: Seconds from one window's start to the next one's; at least 0.05.

        Returns:
            One result per window, in order of time; ``row["times"]`` are seconds from the clip's start. A clip that is
            shorter than a window is one.

        Raises:
            UserError: The clip cannot be used, a number is too small, or faces is not the first step.
        """
        check_at_least("seconds", seconds, SHORTEST_WINDOW)
        check_at_least("stride", stride, SHORTEST_STRIDE)
        faces, steps = self._faces_and_others()
        row = self._clip(clip_path(clip), 0)
        instants = self.settings.faces.instants
        length = row.get("n_frames", 0) / (row.get("fps") or FRAMES_FPS)
        dense = max(instants, round(length / seconds * instants))
        denser = self.settings.model_copy(update={"faces": self.settings.faces.model_copy(update={"instants": dense})})
        (whole,) = self._through([row], [make_step("faces", denser, root=".")])
        if whole.error:
            raise UserError(f"{clip} cannot be used: {whole.error}.")
        said = {"status": "fallback", "error": "; ".join(whole.remarks)} if whole.remarks else {}
        by_instant = [column.name for column in faces.schema.columns if column.dims[:1] == ("T",)]
        rows = []
        for number, start in enumerate(window_starts(dense, instants, max(1, round(stride / seconds * instants)))):
            window = {name: whole.row[name][start : start + instants] for name in by_instant if name in whole.row}
            rows.append({**whole.row, **window, "clip_id": str(number), **said})
        return self._through(rows, steps)

    def people(self, clip: str | Path) -> list[ClipResult]:
        """Take everybody whom one clip shows through the steps, each as a clip of its own.

        Args:
            clip: A video file, or a folder of frames.

        Returns:
            One result per tracked person and shot, the most prominent one first; in its ``row`` are ``track``, from 1,
            and ``box``, where the face mostly is: x0, y0, x1, y1 in source pixels. One result with an ``error`` where
            the clip cannot be used or shows no face.

        Raises:
            UserError: ``faces.detector`` is none, or faces is not the first step.
        """
        faces, steps = self._faces_and_others()
        if self.settings.faces.detector == "none":
            raise UserError("People are tracked by a detector, and faces.detector is none: name a run that has one.")
        row = self._clip(clip_path(clip), 0)
        if row["status"] == "failed":
            return [ClipResult(row, error=str(row["error"]))]
        if faces not in self._open:
            faces.open()
            self._open.append(faces)
        try:
            found = faces.people(row)
        except ClipError as error:
            return [ClipResult(row, error=f"faces: {error}")]
        said = {"status": row["status"], "error": row["error"]}
        rows = [row | as_stored(faces.schema, person) | said for person in found]
        results = self._through(rows, steps)
        for number, result in enumerate(results, 1):
            there = result.row["boxes"][result.row["found"]]
            result.row["track"] = number
            result.row["box"] = [round(float(edge), 1) for edge in np.median(there, axis=0)]
        return results

    def close(self) -> None:
        """Give back what the steps hold open."""
        while self._open:
            self._open.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _faces_and_others(self) -> tuple[FacesStep, list[Step]]:
        """The step that crops faces, which must be the first one, and those that follow."""
        faces, *others = self.steps
        if not isinstance(faces, FacesStep):
            raise UserError(
                f"Windows and people are cut out by the step faces: name it first in stages, not {faces.name}."
            )
        return faces, others

    def _clip(self, clip: Path, number: int) -> Row:
        """The row that ``index`` would make of the clip; ids are numbers, since names may repeat."""
        from grace.pipeline.media.video import probe

        source = "frames" if clip.is_dir() else "video"
        made: Row = {"clip_id": str(number), "path": str(clip.absolute()), "source": source}
        try:
            if not clip.exists():
                raise ClipError(f"there is no file {clip.name}")
            held = probe(clip, source)
        except ClipError as error:
            return {**made, "status": "failed", "error": str(error)}
        made |= {"n_frames": held.n_frames, "fps": held.fps, "width": held.width, "height": held.height}
        found = as_stored(CLIPS, {**made, "status": "fallback" if held.problem else "ok", "error": held.problem})
        if "refine" in (step.name for step in self.steps):
            return found
        return as_stored(DESCRIPTIONS, {name: found[name] for name in ("clip_id", "status", "error")}) | found

    def _through(self, rows: list[Row], steps: Sequence[Step]) -> list[ClipResult]:
        """The clips after every step; those that fail stay behind, and what is doubtful becomes a remark."""
        remarks: dict[str, list[str]] = {row["clip_id"]: [] for row in rows}
        errors = {row["clip_id"]: row["error"] for row in rows if row["status"] == "failed"}
        for row in rows:
            if row["status"] == "fallback":
                remarks[row["clip_id"]].append(str(row["error"]))
                row |= {"status": "ok", "error": ""}
        for step in steps:
            left = [row for row in rows if row["clip_id"] not in errors]
            for row, made in zip(left, self._apply(step, left), strict=True):
                if made["status"] == "failed":
                    errors[row["clip_id"]] = str(made["error"])
                    continue
                if made["status"] == "fallback":
                    remarks[row["clip_id"]].append(str(made["error"]))
                row |= made | {"status": "ok", "error": ""}
        return [
            ClipResult(row, tuple(remarks[key]), errors.get(key, ""), () if key in errors else self._limits_on(row))
            for row in rows
            for key in [row["clip_id"]]
        ]

    def _limits_on(self, row: Row) -> tuple[str, ...]:
        """A sentence for each model of the steps that does not know a clip's footage."""
        footage = footage_around(Path(row["path"]))
        if footage not in self._limits:
            self._limits[footage] = tuple(sorted({limit for step in self.steps for limit in limits(step, footage)}))
        return self._limits[footage]

    def _apply(self, step: Step, rows: Sequence[Row]) -> list[Row]:
        """The step's own columns of each clip, in order, from the columns that it reads and no others."""
        if rows and step not in self._open:
            step.open()
            self._open.append(step)
        columns = ("clip_id", "status", "error", *(name for names in step.reads.values() for name in names))
        asked = [{name: row[name] for name in columns} for row in rows]
        made = {row["clip_id"]: as_stored(step.schema, row) for row in process_rows(step, asked)}
        return [made[row["clip_id"]] for row in rows]


def make_steps(settings: PipelineSettings, stages: Sequence[str]) -> list[Step]:
    """The steps of these names, for single clips.

    Raises:
        UserError: There is none, one does not exist, is named twice, or comes before one whose results it reads.

    Example:
        >>> [step.name for step in make_steps(PipelineSettings(), ["faces", "motion", "tokens"])]
        ['faces', 'motion', 'tokens']
    """
    if not stages:
        raise UserError(f"There is no step to take: name some of {', '.join(STEPS)}.")
    for number, stage in enumerate(stages):
        if stage not in list(STEPS):  # a list of names, say, which no dictionary can look for
            raise UserError(f"There is no step {stage!r}: choose among {', '.join(STEPS)}.")
        if stage in stages[:number]:
            raise UserError(f"The step {stage} is named twice: name it once.")
    steps = [make_step(stage, settings, root=".") for stage in stages]
    there = {"clips"} if "refine" in stages else {"clips", "descriptions"}
    for step in steps:
        if missing := [STORES[name].stage for name in step.reads if name not in there]:
            raise UserError(
                f"The step {step.name} reads what {' and '.join(missing)} made: name {' and '.join(missing)} before it."
            )
        there.add(step.folder)
    return steps


def window_starts(count: int, width: int, stride: int) -> list[int]:
    """Where windows of ``width`` instants begin among ``count``; the last one ends at the end.

    Args:
        count: All instants.
        width: Instants of a window, at most ``count``.
        stride: Instants from one window to the next, 1 at least.

    Example:
        >>> window_starts(10, 4, 3), window_starts(9, 4, 3), window_starts(4, 4, 2)
        ([0, 3, 6], [0, 3, 5], [0])
    """
    starts = list(range(0, count - width + 1, stride))
    return starts if starts[-1] == count - width else [*starts, count - width]


def as_stored(schema: Schema, row: Row) -> Row:
    """A row as it would be read back from a file of its schema: the same types and precision."""
    (stored,) = decode(schema, BytesIO(encode(schema, [row], {})))
    return stored
