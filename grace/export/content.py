"""What is exported: one row per listed clip with its texts, and one row per fold and test clip with its prediction."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from grace.pipeline.errors import ClipError, UserError
from grace.pipeline.media.frames import list_images
from grace.pipeline.store import Clips, Row, Store, find_paths
from grace.pipeline.store.schema import limits_text
from grace.pipeline.store.schemas import STORES, fold_column
from grace.pipeline.store.verify import first_problem
from grace.trainer.provenance import check_runs
from grace.trainer.runs import open_run

CLIP_COLUMNS = ("path", "source", "n_frames", "fps", "width", "height", "label", "subject", "votes")
TEXT_COLUMNS = {
    "captions": {"caption": "caption", "samples": "further_captions", "model": "caption_model"},
    "descriptions": {
        "description": "description",
        "cues": "cues",
        "model": "description_model",
        "engine": "description_engine",
        "label_visible": "label_visible",
    },
}
"""Store to its columns and what they are called in an export."""
EMPTY: dict[str, Any] = {
    "caption": "",
    "further_captions": [],
    "caption_model": "",
    "description": "",
    "cues": [],
    "description_model": "",
    "description_engine": "",
    "label_visible": False,
    "limits": "",
}
MEDIA = "clips"
"""Folder of an export with the clips, where they were asked for."""


@dataclass
class Content:
    """Everything that an export holds."""

    dataset: str
    labels: list[str]
    """The classes, in their order."""
    folds: list[int]
    clips: list[Row]
    """One row per listed clip, those that failed included."""
    predictions: list[Row] = field(default_factory=list)
    """One row per fold and test clip: ``fold, clip_id, label, predicted, status, error, p_<class>, limits``."""
    method: str = ""
    """The method that predicted; empty without predictions."""
    protocol: str = ""
    root: Path | None = None
    """The folder of the clips; None when it is not known here."""
    copied: bool = False
    """Whether the clips were copied into the export."""
    unreadable: frozenset[str] = frozenset()
    """Clips whose file cannot be used at all."""
    limits: tuple[str, ...] = ()
    """Models that do not know this footage, a sentence each."""

    @property
    def label_visible(self) -> int:
        """Clips whose text was written with the label in the prompt."""
        return sum(bool(row["label_visible"]) for row in self.clips)

    @property
    def failed(self) -> list[Row]:
        """Clips that a stage could not do; they say why."""
        return [row for row in self.clips if row["status"] == "failed"]

    def models(self, column: str) -> list[str]:
        """The models that a column names, in order."""
        return sorted({str(row[column]) for row in self.clips if row[column]})

    def by_source(self) -> dict[str, list[Row]]:
        """The clips that can be opened, videos apart from folders of frames; tools open either, not both."""
        usable = [row for row in self.clips if row["clip_id"] not in self.unreadable]
        parts = {kind: [row for row in usable if row["source"] == kind] for kind in ("video", "frames")}
        return {kind: rows for kind, rows in parts.items() if rows}

    def predicted(self) -> dict[str, Row]:
        """The first fold's prediction of each clip that some fold tests."""
        found: dict[str, Row] = {}
        for row in self.predictions:
            if row["predicted"]:
                found.setdefault(str(row["clip_id"]), row)
        return found

    def media(self, row: Row, folder: Path) -> str:
        """Where a clip's file is found from an export: within it, or below the data set's root."""
        if self.copied:
            return str((folder / MEDIA / row["path"]).absolute())
        return str(row["path"] if self.root is None else (self.root / row["path"]).absolute())


def read_content(folder: Path, runs: Path | None = None, root: Path | None = None) -> Content:
    """Read what is to be exported.

    Args:
        folder: ``data/<dataset>``.
        runs: A method's folder with ``fold-<k>``, or one fold's; None exports no predictions.
        root: The folder of the clips, where it is known.

    Raises:
        UserError: Nothing is indexed or captioned yet, texts are missing, damaged or of other clips or crops than there
            are now, or a run is not what it says or no longer fits the data set.
        GraceError: The label was visible to the text of a test clip: such predictions are not handed on.
    """
    table = Clips(folder)
    rows = {row["clip_id"]: _clip(row, table.folds) for row in table.rows}
    if sentence := first_problem(folder, *TEXT_COLUMNS):
        raise UserError(sentence)
    texts, limits = 0, set[str]()
    for name, columns in TEXT_COLUMNS.items():
        store = Store(folder / name, STORES[name])
        for shard in store.shards():
            here = store.meta(shard).get("limits") or ()  # of the models of earlier stages, too
            limits.update(here)
            for row in store.read(shard, ["clip_id", "status", "error", *columns]):
                _add(rows, {**row, "limits": limits_text(here)}, {**columns, "limits": "limits"})
                texts += 1
    if not texts and runs is None:
        raise UserError(f"{folder} has neither captions nor predictions to export: run `grace caption` first.")
    unreadable = frozenset(row["clip_id"] for row in table.rows if row["status"] == "failed")
    content = Content(folder.name, table.labels, table.folds, list(rows.values()), root=root)
    content.unreadable, content.limits = unreadable, tuple(sorted(limits))
    if runs is not None:
        _read_predictions(content, runs, folder)
    return content


def _clip(row: Row, folds: Iterable[int]) -> Row:
    kept = {name: row[name] for name in ("clip_id", "status", "error", *CLIP_COLUMNS)}
    return {**kept, **{fold_column(fold): row[fold_column(fold)] for fold in folds}, **EMPTY}


def _add(rows: dict[str, Row], made: Row, columns: dict[str, str]) -> None:
    """Put a clip's text beside it; a clip that is listed no more has no place."""
    row = rows.get(made["clip_id"])
    if row is None or row["status"] == "failed":
        return
    if made["status"] != "ok":
        row |= {"status": made["status"], "error": made["error"]}
    row |= {theirs: made[ours] if made[ours] is not None else EMPTY[theirs] for ours, theirs in columns.items()}


def _read_predictions(content: Content, runs: Path, folder: Path) -> None:
    places = [runs] if (runs / "config.yaml").exists() else find_paths(runs, "fold-*")
    if not places:
        raise UserError(f"{runs} is no run: name a folder that holds fold-1, or one fold's folder.")
    found = {place: open_run(place) for place in places}
    check_runs(found, folder)
    first = next(iter(found.values())).config
    content.method, content.protocol = first.settings.method, first.protocol
    for run in found.values():
        for row in run.predictions:
            shares = row["probabilities"] or [None] * len(run.config.labels)
            named = {f"p_{label}": share for label, share in zip(run.config.labels, shares, strict=True)}
            kept = {name: row[name] for name in ("fold", "clip_id", "label", "predicted", "status", "error")}
            content.predictions.append({**kept, **named, "limits": limits_text(run.limits)})


def copy_clips(content: Content, folder: Path) -> None:
    """Copy the usable clips below ``folder``. Raises :class:`UserError` when their folder is not known here."""
    if content.root is None:
        raise UserError(f"The clips of {content.dataset} are not here: set roots.{content.dataset} in params.yaml.")
    for rows in content.by_source().values():
        for row in rows:
            source, target = content.root / row["path"], folder / MEDIA / inside(row["path"])
            target.parent.mkdir(parents=True, exist_ok=True)
            if not source.exists():
                raise UserError(f"{source} is gone: run `grace index --dataset {content.dataset}` again.")
            if row["source"] == "frames":
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                shutil.copyfile(source, target)
    content.copied = True


def inside(path: str) -> PurePosixPath:
    """A clip's path, which stays below the folder that it is put into.

    Raises :class:`UserError` when it leads out of it.

    Example:
        >>> inside("scene/a.mp4").as_posix()
        'scene/a.mp4'
    """
    made = PurePosixPath(path)
    if made.is_absolute() or ".." in made.parts:
        raise UserError(f"The clip {path} lies outside its data set's root, and cannot be exported.")
    return made


def frames_of(path: Path) -> Sequence[str]:
    """The images of a folder of frames, in order; none where it cannot be read."""
    try:
        return [str(path / image) for image in list_images(path)]
    except ClipError:
        return []
