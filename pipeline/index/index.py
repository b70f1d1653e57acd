"""The index: every clip that a data set's lists name, its frames counted, and one table of what does not fit.

Nothing is left out in silence: a clip that cannot be used has a row with the cause.
"""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from grace.pipeline.datasets import Listing, read
from grace.pipeline.datasets.base import SCENE, misspelt
from grace.pipeline.datasets.file_tree import is_video_file
from grace.pipeline.datasets.footage import footage_of
from grace.pipeline.datasets.settings import LabelNames, ListFilesSettings
from grace.pipeline.errors import ClipError, GraceError, UserError
from grace.pipeline.index.counting import COUNTING, PARTIAL, Contents, CountTask, Unusable, count_all
from grace.pipeline.index.folds import make_folds
from grace.pipeline.index.leaks import on_both_sides
from grace.pipeline.index.marks import apply_marks, read_marks
from grace.pipeline.index.reconciliation import (
    DAMAGED,
    DIFFERS,
    ENDS_EARLY,
    FINDINGS,
    LEAKED,
    MARKED,
    MISSING,
    MISSPELT,
    PARTLESS,
    REPEATED,
    SHARED_CONTENT,
    SHARED_SUBJECT,
    UNLABELLED,
    UNLISTED,
    VOTED_NO_CLASS,
    VOTED_NO_CLIP,
    Reconciliation,
)
from grace.pipeline.index.settings import SplitSettings
from grace.pipeline.media.frames import list_images
from grace.pipeline.messages import number_ranges
from grace.pipeline.store import Row, failure, write_clips
from grace.pipeline.store.journal import Journal
from grace.pipeline.store.schemas import fold_column
from grace.pipeline.strict_csv import escape


def index(
    dataset: str,
    root: Path,
    folder: Path,
    *,
    clips_folder: str | None = None,
    links: Collection[str] = (),
    lists: ListFilesSettings | None = None,
    labels: LabelNames | None = None,
    split: SplitSettings | None = None,
    workers: int = 2,
    clip_timeout: float = 120.0,
    hash_images: bool = False,
    strict: bool = False,
    accept: Collection[str] = (),
    any_folder: bool = False,
    marks: Path | None = None,
    report: Callable[[Reconciliation], None] = lambda found: None,
) -> Reconciliation:
    """List the clips of a data set, count their frames, and write ``clips.parquet`` and ``reconciliation.csv``.

    Args:
        dataset: Name of the data set.
        root: Folder of its raw files.
        folder: Where the two files are written, ``data/<dataset>``.
        clips_folder: Folder under ``root`` that holds the clips, where a set ships several; see
            :func:`grace.pipeline.datasets.read`.
        links: Folders outside ``root`` that links under it may lead to; other links that leave it are not followed.
        lists: The list files of a set that has no adapter of its own.
        labels: The classes of a set with ``clips.csv``, in order, or what each label means.
        split: Folds to make in place of those that the set has.
        workers: Local processes that count frames, at least one, since a decoder may hang or die.
        clip_timeout: Seconds that a process may spend on one clip.
        hash_images: Digest the bytes of a folder's images, not their names and sizes only.
        strict: Make everything that does not fit an error.
        accept: Findings that are no error under ``strict``.
        any_folder: Whether ``root`` is any folder of clips, which may happen to bear the name of a known data set.
        marks: Table of the clips that a person marked, ``overrides/<dataset>.clips.csv``; it need not exist.
        report: Gets the reconciliation before it is judged.

    Returns:
        What the lists say against what is there.

    Raises:
        UserError: ``root`` is not that data set, ``accept`` names no finding, or ``marks`` names no clip.
        GraceError: No clip at all is usable, or something does not fit and ``strict`` is set.

    Example:
        >>> found = index("dfew", Path("/raw/DFEW"), Path("data/dfew"), report=print)  # doctest: +SKIP
        >>> found.usable, found.count("missing")  # doctest: +SKIP
    """
    if unknown := sorted(set(accept) - set(FINDINGS)):
        raise UserError(f"index.accept.{dataset} names '{unknown[0]}': the findings are {', '.join(FINDINGS)}.")
    listed = read(dataset, root, clips_folder, lists, labels, any_folder=any_folder)
    listings, classes = listed.listings, listed.classes
    if split is not None:
        make_folds(listings, split, dataset)
    folds = sorted({fold for listing in listings for fold in listing.folds})
    found = Reconciliation(annotated=len(listings), judged_more=listed.judged_more, notes=listed.notes)
    task, rows = CountTask(root, hash_images, tuple(links)), []
    options = {"version": COUNTING, "hash_images": hash_images, "links": sorted(map(str, links))}
    journal = Journal(folder / PARTIAL, root, options)
    for listing, probed in zip(listings, count_all(task, listings, journal, workers, clip_timeout), strict=True):
        rows.append(_row(listing, probed, classes, folds))
        _count(found, listing, probed, classes)
    _check_parts(found)
    for clip in listed.votes_for_no_clip:
        found.note(VOTED_NO_CLIP, clip)
    for path in _unlisted(root, listings):
        found.note(UNLISTED, path)
    for kind, clip, reason in apply_marks(rows, read_marks(marks) if marks else {}, marks or root):
        found.note(MARKED[kind], clip, reason)
    for finding, column in ((SHARED_SUBJECT, "subject"), (SHARED_CONTENT, "content")):
        for clip, detail in on_both_sides(rows, column, folds):
            found.note(finding, clip, detail)
    found.classes = {name: sum(row["label"] == name for row in rows) for name in classes}
    if labels is None and lists is None:  # else the classes are as the user spells them
        _check_spelling(found, listings)
    write_clips(folder, rows, classes, footage_of(root))
    found.write(folder)
    journal.remove()
    report(found)
    _refuse(found, dataset, root, rows, accept if strict else None)
    return found


def _check_spelling(found: Reconciliation, listings: Sequence[Listing]) -> None:
    for name, known in misspelt(found.classes).items():
        clip = next(one.clip_id for one in listings if one.label == name or one.votes.get(name))
        found.note(MISSPELT, clip, f"is the class '{name}' meant to be '{known}'?")


def _refuse(
    found: Reconciliation, dataset: str, root: Path, rows: Sequence[Row], accept: Collection[str] | None
) -> None:
    """Raise :class:`GraceError` when no clip is usable, or anything but what is in ``accept`` does not fit."""
    if not found.usable:
        raise GraceError(
            f"None of the {found.annotated} clips that the lists of {dataset} name can be used "
            f"({rows[0]['error'].removeprefix('index: ')}): does roots.{dataset} = {root} hold the clips?"
        )
    if accept is not None and (faults := found.faults(accept)):
        causes = ", ".join(f"{finding}: {count}" for finding, count in faults.items())
        raise GraceError(
            f"The lists and files of {dataset} do not fit, and index.strict is set ({causes}). "
            f"What is known of the set and no fault can be named in index.accept.{dataset}."
        )


def _row(listing: Listing, probed: Contents | Unusable, classes: Sequence[str], folds: Sequence[int]) -> Row:
    """The row of one clip: what the lists say, then what its file holds."""
    known = listing.label in classes
    row: Row = {
        "clip_id": listing.clip_id,
        "status": "ok",
        "error": "",
        "path": listing.path,
        "source": listing.source,
        "n_frames": 0,
        "fps": 0.0,
        "width": 0,
        "height": 0,
        "content": "",
        "label": listing.label if known else "",
        "label_id": classes.index(listing.label) if known else -1,
        "votes": _votes(listing, classes),
        **{fold_column(fold): listing.folds.get(fold, "") for fold in folds},
        "subject": listing.subject,
        "scene": listing.columns.get(SCENE, ""),
        "annotated_frames": listing.annotated_frames,
        "caption_human": listing.caption_human,
    }
    if isinstance(probed, Unusable):
        where = f"{listing.path}: " if listing.problem is None else ""
        return {**row, **failure(listing.clip_id, f"index: {where}{probed.cause}")}
    held = probed.probe
    row |= {"n_frames": held.n_frames, "fps": held.fps, "width": held.width, "height": held.height}
    row["content"] = probed.digest
    if held.problem:
        row |= {"status": "fallback", "error": f"index: {listing.path}: {held.problem}"}
    return row


def _votes(listing: Listing, classes: Sequence[str]) -> list[float]:
    """How many annotators chose each class; nothing of a clip that most of them gave to no class of the data set."""
    votes = [listing.votes.get(name, 0.0) for name in classes]
    return votes if listing.votes and 2 * sum(votes) >= sum(listing.votes.values()) else []


def _check_parts(found: Reconciliation) -> None:
    """Note folds that nothing can be trained or tested in: a list is missing."""
    for fold, parts in sorted(found.folds.items()):
        if not parts["train"] or not parts["test"]:
            found.note(PARTLESS, f"fold {fold}", f"{parts['train']} train, {parts['test']} test")


def _count(found: Reconciliation, listing: Listing, probed: Contents | Unusable, classes: Sequence[str]) -> None:
    """Add one clip to the reconciliation."""
    if strangers := {name: count for name, count in listing.votes.items() if count and name not in classes}:
        votes = ", ".join(f"{escape(name)}: {count:g}" for name, count in sorted(strangers.items()))
        unused = "" if _votes(listing, classes) else "; its votes are not kept"
        found.note(VOTED_NO_CLASS, listing.clip_id, f"{votes} of {sum(listing.votes.values()):g}{unused}")
    for fold, split in listing.folds.items():
        found.folds.setdefault(fold, Counter())[split] += 1
    if listing.repeated:
        found.note(REPEATED, listing.clip_id)
    if not listing.label:
        found.note(UNLABELLED, listing.clip_id)
    if listing.leaked:
        folds = number_ranges(listing.leaked)
        found.note(LEAKED, listing.clip_id, f"fold {folds}: kept in the last of its parts")
    if listing.problem is None and not (isinstance(probed, Unusable) and probed.finding == MISSING):
        found.videos += listing.source == "video"
        found.folders += listing.source == "frames"
    if isinstance(probed, Unusable):
        found.note(probed.finding, listing.clip_id, probed.cause)
        return
    found.usable += 1
    held = probed.probe
    difference = held.n_frames - listing.annotated_frames
    if listing.annotated_frames >= 0 and difference:
        found.differences[difference] += 1
        detail = f"{held.n_frames} counted, {listing.annotated_frames} annotated ({difference:+d})"
        found.note(DIFFERS, listing.clip_id, detail)
    if held.problem:
        found.note(ENDS_EARLY if held.ends_early else DAMAGED, listing.clip_id, held.problem)


def _unlisted(root: Path, listings: list[Listing]) -> Iterator[str]:
    """Paths, relative to the root, of videos and folders of frames that no list names.

    Videos are looked for below the deepest folder that holds all listed videos, and folders of frames below the deepest
    one that holds all listed folders.
    """
    for source in ("video", "frames"):
        listed = {listing.path for listing in listings if listing.path and listing.source == source}
        if listed:
            top = posixpath.commonpath([posixpath.dirname(path) for path in listed])
            parents = {parent for path in listed for parent in _parents(path)}
            yield from _walk_unlisted(root, top, source, listed, parents)


def _walk_unlisted(root: Path, folder: str, source: str, listed: set[str], parents: set[str]) -> Iterator[str]:
    """Those below ``folder``; ``parents`` are all folders that hold anything listed."""
    waiting = [(folder, True)]  # a stack: folders may be nested deeper than functions may
    while waiting:
        path, is_folder = waiting.pop()
        if not is_folder:
            yield path
            continue
        try:
            with os.scandir(root / path) as scan:
                items = sorted(scan, key=lambda item: item.name, reverse=True)
        except OSError:
            continue  # its clips are missing or unreadable, and each has its row
        waiting += [each for item in items if (each := _unlisted_item(item, path, source, listed, parents))]


def _unlisted_item(
    item: os.DirEntry[str], folder: str, source: str, listed: set[str], parents: set[str]
) -> tuple[str, bool] | None:
    """The path of what no list names, and whether it is a folder still to be looked into; None for anything else."""
    path = posixpath.join(folder, item.name)
    if path in listed or item.name.startswith("."):
        return None
    if path in parents:
        return path, True
    if source == "video" and is_video_file(Path(item.path)):
        return path, False
    # Links to folders that hold nothing listed are not followed: they may be circular.
    if item.is_dir(follow_symlinks=False):
        return path, not (source == "frames" and _holds_images(Path(item.path)))
    return None


def _parents(path: str) -> Iterator[str]:
    """Every folder above a path, the nearest first."""
    while path := posixpath.dirname(path):
        yield path


def _holds_images(folder: Path) -> bool:
    try:
        return bool(list_images(folder))
    except ClipError:
        return False
