"""Clips to try: of the index, or of the lists or the folder where nothing is indexed yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from grace.pipeline.datasets import Listing, read, root_of
from grace.pipeline.datasets.footage import footage_of
from grace.pipeline.errors import ClipError, UserError
from grace.pipeline.execution.processes import run_in_processes, watched_clips
from grace.pipeline.media.content import content_digest
from grace.pipeline.media.video import probe
from grace.pipeline.settings import PipelineSettings
from grace.pipeline.store import Clips, Row
from grace.pipeline.store.clips import FILE


@dataclass(frozen=True)
class Sample:
    """Clips that can be tried, and what they stand for."""

    rows: list[Row]
    """As ``clips.parquet`` has them."""
    clips: int
    """Clips of the whole data set."""
    labels: list[str]
    footage: str
    index_seconds: tuple[float, ...] = ()
    """What counting each clip took; empty where the set is indexed."""
    notes: tuple[str, ...] = ()
    """What of the set is not used, or not as its name says, in sentences."""
    trainable: bool = True
    """Whether clips have labels and folds."""


def take_sample(settings: PipelineSettings, dataset: str, count: int, any_folder: bool = False) -> Sample:
    """Some clips of a data set, spread evenly over it; ``any_folder`` as for :func:`grace.pipeline.datasets.read`.

    Args:
        settings: All settings; they say where the data set and its raw files are.
        dataset: The data set's name.
        count: How many clips at most.
        any_folder: Whether the data set is whatever its folder holds.

    Returns:
        The clips, and what they stand for.

    Raises:
        UserError: The data set is neither indexed nor found, or holds no clip that can be read.
    """
    folder = settings.folder(dataset)
    if not (folder / FILE).exists():
        return _unindexed(settings, dataset, count, any_folder)
    clips = Clips(folder)
    usable = [row for row in clips.rows if row["status"] != "failed"]
    if not usable:
        raise UserError(f"{clips.path} lists no clip that can be read: run `grace index --dataset {dataset}` again.")
    return Sample(
        [usable[place] for place in _spread(len(usable), count)],
        len(usable),
        clips.labels,
        clips.footage,
        trainable=bool(clips.folds) and any(row["label"] for row in usable),
    )


def _spread(available: int, count: int) -> list[int]:
    return [int(place) for place in np.linspace(0, available - 1, min(count, available)).round()]


def _unindexed(settings: PipelineSettings, dataset: str, count: int, any_folder: bool) -> Sample:
    root = root_of(settings.roots, dataset, None, settings.folder(dataset))
    listed = read(
        dataset,
        root,
        settings.index.folders.get(dataset),
        settings.lists.get(dataset),
        settings.index.labels.get(dataset),
        any_folder=any_folder,
    )
    usable = [listing for listing in listed.listings if listing.problem is None]
    chosen = [usable[place] for place in _spread(len(usable), count)] if usable else []
    task = _TimedCount(root, settings.index.hash)
    counted = list(run_in_processes(task, [chosen], workers=1, clip_timeout=settings.clip_timeout)) if chosen else []
    rows, seconds = counted[0][1] if counted else ([], [])
    if not rows:
        raise UserError(f"None of the {len(listed.listings):,} clips of {dataset} under {root} can be read.")
    rows.sort(key=lambda row: str(row["clip_id"]))
    labelled = any(listing.label_known for listing in usable)
    folds = dataset in settings.index.split or any(listing.folds for listing in usable)
    return Sample(
        rows,
        len(usable),
        listed.classes,
        footage_of(root),
        tuple(seconds),
        notes=tuple(listed.notes),
        trainable=labelled and folds,
    )


@dataclass(frozen=True)
class _TimedCount:
    """Counting frames as the index does, timed, in a supervised process: a decoder may hang or die."""

    root: Path
    hash_images: bool

    def open(self) -> None:
        """Nothing is to be loaded."""

    def run(
        self, job: list[Listing], skipped: Mapping[int, str], on_clip_start: Callable[[int], None]
    ) -> tuple[list[Row], list[float]]:
        rows, seconds = [], []
        for listing, cause in watched_clips(job, skipped, on_clip_start):
            if cause is not None:
                continue
            path, start = self.root / listing.path, time.perf_counter()
            try:
                held = probe(path, listing.source)
                content = content_digest(path, listing.source, self.hash_images)
            except (ClipError, OSError):
                continue
            seconds.append(time.perf_counter() - start)
            rows.append(
                {
                    "clip_id": listing.clip_id,
                    "status": "ok",
                    "error": "",
                    "path": listing.path,
                    "source": listing.source,
                    "n_frames": held.n_frames,
                    "fps": held.fps,
                    "width": held.width,
                    "height": held.height,
                    "content": content,
                    "label": listing.label if listing.label_known else "",
                    "caption_human": listing.caption_human,
                }
            )
        return rows, seconds
