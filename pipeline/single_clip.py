"""One video through every step in memory; models are opened once and stay open for the next video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from grace.pipeline.errors import ClipError, UserError
from grace.pipeline.execution.step import Step, process_rows
from grace.pipeline.settings import PipelineSettings
from grace.pipeline.steps import STEPS, make_step
from grace.pipeline.store import Row, Schema
from grace.pipeline.store.formats import decode, encode
from grace.pipeline.store.schemas import CLIPS, DESCRIPTIONS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class ClipResult:
    """What the steps made of one video: its texts, and in ``row`` every column of every store."""

    row: Row
    remarks: tuple[str, ...] = ()
    """What was done in a lesser way (status ``fallback`` of a step), in plain English."""

    @property
    def caption(self) -> str:
        """The coarse caption."""
        return str(self.row.get("caption", ""))

    @property
    def description(self) -> str:
        """The fine description."""
        return str(self.row.get("description", ""))

    def to_pandas(self) -> pd.DataFrame:
        """The cues, one per row: region, action, intensity, phase."""
        import pandas as pd

        return pd.DataFrame(self.row.get("cues") or [], columns=["region", "action", "intensity", "phase"])

    def plot(self) -> Figure:
        """The face crops with their motion maps beneath, as a matplotlib figure."""
        from matplotlib.figure import Figure

        from grace.pipeline.visualize.contact_sheets import crop_sheet

        sheet = crop_sheet(self.row, self.row if "motion" in self.row else None)
        figure = Figure(figsize=(sheet.shape[1] / 100, sheet.shape[0] / 100 + 0.4), layout="constrained")
        axes = figure.add_subplot()
        axes.imshow(sheet[..., ::-1])
        axes.set_title(str(self.row["path"]))
        axes.set_axis_off()
        return figure


class ClipPipeline:
    """Takes videos through faces, caption, refine, motion and tokens, in memory.

    Results equal those of the stages on the same video. Use it as a context manager, or call :meth:`close`, to give the
    models' memory back.

    Args:
        settings: What the steps shall do; the defaults use the models that come with the package.
        stages: The steps to take, in the order of :data:`~grace.pipeline.steps.STEPS`; all of them unless given.

    Example:
        >>> from grace import ClipPipeline
        >>> with ClipPipeline(stages=["faces", "motion"]) as pipeline:
        ...     print([step.name for step in pipeline.steps])
        ['faces', 'motion']
    """

    def __init__(self, settings: PipelineSettings | None = None, stages: Sequence[str] = tuple(STEPS)) -> None:
        settings = settings or PipelineSettings()
        self.steps: list[Step] = [make_step(stage, settings, root=".") for stage in stages]
        self._open: list[Step] = []

    def __call__(self, video: str | Path) -> ClipResult:
        """Take one video through the steps.

        Args:
            video: A video file.

        Returns:
            Everything that the steps made of it.

        Raises:
            UserError: The file is missing or cannot be decoded, or a step fails on it; the sentence says why.
        """
        row, remarks = self._clip(Path(video)), []
        for step in self.steps:
            made = self._apply(step, row)
            if made["status"] == "failed":
                raise UserError(f"{video} cannot be used: {made['error']}.")
            if made["status"] == "fallback":
                remarks.append(str(made["error"]))
            row |= made | {"status": "ok", "error": ""}
        return ClipResult(row, tuple(remarks))

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

    def _clip(self, video: Path) -> Row:
        """The row that ``index`` would make of the video."""
        from grace.pipeline.media.video import probe

        if not video.is_file():
            raise UserError(f"There is no video file {video}.")
        try:
            held = probe(video, "video")
        except ClipError as error:
            raise UserError(f"{video} cannot be used: {error}.") from None
        clip: dict[str, Any] = {"clip_id": video.stem, "status": "ok", "path": str(video.absolute()), "source": "video"}
        clip |= {"n_frames": held.n_frames, "fps": held.fps, "width": held.width, "height": held.height}
        found = as_stored(CLIPS, clip)
        if "refine" in (step.name for step in self.steps):
            return found
        return as_stored(DESCRIPTIONS, {name: clip[name] for name in ("clip_id", "status")}) | found  # without texts

    def _apply(self, step: Step, row: Row) -> Row:
        """The step's own columns of the clip, from the columns that it reads and no others."""
        if step not in self._open:
            step.open()
            self._open.append(step)
        columns = ("clip_id", "status", "error", *(name for names in step.reads.values() for name in names))
        (made,) = process_rows(step, [{name: row[name] for name in columns}])
        return as_stored(step.schema, made)


def as_stored(schema: Schema, row: Row) -> Row:
    """A row as it would be read back from a file of its schema: the same types and precision."""
    (stored,) = decode(schema, BytesIO(encode(schema, [row], {})))
    return stored
