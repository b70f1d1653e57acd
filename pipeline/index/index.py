"""The index: every clip that a data set's lists name, its frames counted, and one table of what does not fit.

Nothing is left out in silence: a clip that cannot be used has a row with the cause.
"""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from grace.pipeline.datasets import Listing, label_ids, read
from grace.pipeline.datasets.file_tree import is_video
from grace.pipeline.datasets.settings import ListFilesSettings
from grace.pipeline.errors import ClipError, GraceError, UserError
from grace.pipeline.execution.processes import IDLE, run_in_processes
from grace.pipeline.index.reconciliation import (
    DIFFERS,
    ENDS_EARLY,
    FINDINGS,
    LEAKED,
    MISSING,
    NO_FRAMES,
    REPEATED,
    UNLISTED,
    UNREADABLE,
    Reconciliation,
)
from grace.pipeline.media.video import MissingError, NoFramesError, Probe, images, probe
from grace.pipeline.store import Row, failure, write_clips
from grace.pipeline.store.schemas import FOLD_NUMBERS

BATCH = 16
"""Clips that a process counts between two reports."""


@dataclass(frozen=True)
class Unusable:
    """Why a clip's file cannot be used: the kind of finding, and the cause."""

    finding: str
    cause: str


def index(
    dataset: str,
    root: Path,
    folder: Path,
    *,
    clips_folder: str | None = None,
    lists: ListFilesSettings | None = None,
    workers: int = 2,
    clip_seconds: float = 120.0,
    strict: bool = False,
    accept: Collection[str] = (),
    report: Callable[[Reconciliation], None] = lambda found: None,
) -> Reconciliation:
    """Write ``<folder>/clips.parquet`` and ``reconciliation.csv`` for a data set whose raw files lie under ``root``.

    Frames are counted in ``workers`` local processes (at least one), since a decoder may hang or die:
    ``clip_seconds`` bounds what it may spend on one clip. ``clips_folder`` and ``lists`` are those of
    :func:`grace.pipeline.datasets.read`. ``report`` gets the reconciliation before the verdict.
    Raises :class:`UserError` when the root is not that data set or ``accept`` names no finding; :class:`GraceError`
    when no clip at all is usable or, if ``strict``, when anything does not fit but for the findings that ``accept``
    names.
    """
    if strange := sorted(set(accept) - set(FINDINGS)):
        raise UserError(f"index.accept.{dataset} names '{strange[0]}': the findings are {', '.join(FINDINGS)}.")
    listings, classes = read(dataset, root, clips_folder, lists)
    ids = label_ids(classes)
    found = Reconciliation(annotated=len(listings))
    rows = []
    for listing, held in zip(listings, _held(root, listings, workers, clip_seconds), strict=True):
        rows.append(_row(listing, held, ids))
        _count(found, listing, held)
    for path in _unlisted(root, listings):
        found.note(UNLISTED, path)
    write_clips(folder, rows, classes)
    found.write(folder)
    report(found)
    if not found.usable:
        raise GraceError(
            f"None of the {found.annotated} clips that the lists of {dataset} name can be used "
            f"({rows[0]['error'].removeprefix('index: ')}): does roots.{dataset} = {root} hold the clips?"
        )
    if strict and (faults := found.faults(accept)):
        causes = ", ".join(f"{finding}: {count}" for finding, count in faults.items())
        raise GraceError(
            f"The lists and files of {dataset} do not fit, and index.strict is set ({causes}). "
            f"What is known of the set and no fault can be named in index.accept.{dataset}."
        )
    return found


@dataclass(frozen=True)
class _Counting:
    """Counting the frames of a batch of clips, as work of watched processes."""

    root: Path

    def open(self) -> None:
        """Nothing is to be loaded."""

    def run(
        self, job: list[Listing], skipped: Mapping[int, str], on_clip_start: Callable[[int], None]
    ) -> list[Probe | Unusable]:
        held: list[Probe | Unusable] = []
        for place, listing in enumerate(job):
            if place in skipped:
                held.append(Unusable(UNREADABLE, skipped[place]))
            else:
                on_clip_start(place)
                held.append(_probe(self.root / listing.path, listing))
        on_clip_start(IDLE)
        return held


def _probe(path: Path, listing: Listing) -> Probe | Unusable:
    try:
        return probe(path, listing.source)
    except MissingError as error:
        return Unusable(MISSING, str(error))
    except NoFramesError as error:
        return Unusable(NO_FRAMES, str(error))
    except ClipError as error:
        return Unusable(UNREADABLE, str(error))
    except MemoryError:
        raise
    except Exception as error:  # a decoder's complaint about this one file
        return Unusable(UNREADABLE, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")


def _held(root: Path, listings: list[Listing], workers: int, clip_seconds: float) -> Iterator[Probe | Unusable]:
    """What each listed clip holds, or why it cannot be used, in the order of the lists."""
    good = [listing for listing in listings if listing.problem is None]
    jobs = [good[start : start + BATCH] for start in range(0, len(good), BATCH)]
    held: dict[str, Probe | Unusable] = {}
    with tqdm(total=len(good), desc="index", unit="clip") as bar:
        for number, counted in run_in_processes(
            _Counting(root), jobs, workers=max(workers, 1), clip_seconds=clip_seconds
        ):
            held |= zip((listing.clip_id for listing in jobs[number]), counted, strict=True)
            bar.update(len(counted))
    for listing in listings:
        if listing.problem is not None:
            yield Unusable(listing.problem.finding, listing.problem.cause)
        else:
            yield held.pop(listing.clip_id)


def _row(listing: Listing, held: Probe | Unusable, ids: Mapping[str, int]) -> Row:
    """The row of one clip: what the lists say, and what its file holds."""
    known = listing.label in ids
    said: Row = {
        "clip_id": listing.clip_id,
        "status": "ok",
        "error": "",
        "path": listing.path,
        "source": listing.source,
        "n_frames": 0,
        "fps": 0.0,
        "width": 0,
        "height": 0,
        "label": listing.label if known else "",
        "label_id": ids[listing.label] if known else -1,
        **{f"fold_{fold}": listing.folds.get(fold, "") for fold in FOLD_NUMBERS},
        "subject": listing.subject,
        "annotated_frames": listing.annotated_frames,
        "caption_human": listing.caption_human,
    }
    if isinstance(held, Unusable):
        where = f"{listing.path}: " if listing.problem is None else ""
        return {**said, **failure(listing.clip_id, f"index: {where}{held.cause}")}
    said |= {"n_frames": held.n_frames, "fps": held.fps, "width": held.width, "height": held.height}
    if held.ends_early:
        promise = f"the video ends early: {held.n_frames} of {held.declared} frames could be decoded"
        said |= {"status": "fallback", "error": f"index: {listing.path}: {promise}"}
    return said


def _count(found: Reconciliation, listing: Listing, held: Probe | Unusable) -> None:
    """Add one clip to the reconciliation."""
    for fold, split in listing.folds.items():
        found.folds.setdefault(fold, Counter())[split] += 1
    if listing.repeated:
        found.note(REPEATED, listing.clip_id)
    if listing.leaked:
        folds = ", ".join(str(fold) for fold in listing.leaked)
        found.note(LEAKED, listing.clip_id, f"fold {folds}: kept in test")
    if listing.problem is None and not (isinstance(held, Unusable) and held.finding == MISSING):
        found.videos += listing.source == "video"
        found.folders += listing.source == "frames"
    if isinstance(held, Unusable):
        found.note(held.finding, listing.clip_id, held.cause)
        return
    found.usable += 1
    off = held.n_frames - listing.annotated_frames
    if listing.annotated_frames >= 0 and off:
        found.differences[off] += 1
        detail = f"{held.n_frames} counted, {listing.annotated_frames} annotated ({off:+d})"
        found.note(DIFFERS, listing.clip_id, detail)
    if held.ends_early:
        found.note(ENDS_EARLY, listing.clip_id, f"{held.n_frames} of {held.declared} frames could be decoded")


def _unlisted(root: Path, listings: list[Listing]) -> Iterator[str]:
    """Videos and folders of frames in the folders of the listed ones that no list names, relative to the root.

    Videos are looked for below the deepest folder that holds all listed videos, folders of frames likewise.
    """
    for source in ("video", "frames"):
        listed = {listing.path for listing in listings if listing.path and listing.source == source}
        if listed:
            top = posixpath.commonpath([posixpath.dirname(path) for path in listed])
            parents = {parent for path in listed for parent in _parents(path)}
            yield from _strangers(root, top, source, listed, parents)


def _strangers(root: Path, folder: str, source: str, listed: set[str], parents: set[str]) -> Iterator[str]:
    try:
        with os.scandir(root / folder) as scan:
            items = sorted(scan, key=lambda item: item.name)
    except OSError:
        return  # its clips are missing or unreadable, and each has its row
    for item in items:
        path = posixpath.join(folder, item.name)
        if path in listed:
            continue
        if path in parents:
            yield from _strangers(root, path, source, listed, parents)
        elif source == "video" and is_video(item.name):
            yield path
        # Links to folders that hold nothing listed are not followed: they may lead round in circles.
        elif item.is_dir(follow_symlinks=False):
            if source == "frames" and _holds_images(Path(item.path)):
                yield path
            else:
                yield from _strangers(root, path, source, listed, parents)


def _parents(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path


def _holds_images(folder: Path) -> bool:
    try:
        return bool(images(folder))
    except ClipError:
        return False
