"""The index: every clip that a data set's lists name, its frames counted, and one table of what does not fit.

Nothing is left out in silence: a clip that cannot be used has a row with the cause.
"""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from grace.pipeline.datasets import Listing, read
from grace.pipeline.datasets.base import SCENE, misspelt
from grace.pipeline.datasets.file_tree import UNFOLLOWED, is_video_file
from grace.pipeline.datasets.footage import footage_of
from grace.pipeline.datasets.settings import LabelNames, ListFilesSettings
from grace.pipeline.errors import ClipError, GraceError, UserError
from grace.pipeline.execution.processes import run_in_processes, watched_clips
from grace.pipeline.execution.progress import ClipProgress
from grace.pipeline.index.folds import make_folds
from grace.pipeline.index.leaks import on_both_sides
from grace.pipeline.index.marks import apply_marks, read_marks
from grace.pipeline.index.reconciliation import (
    DIFFERS,
    ENDS_EARLY,
    FINDINGS,
    LEAKED,
    MARKED,
    MISSING,
    MISSPELT,
    NO_FRAMES,
    PARTLESS,
    REPEATED,
    SHARED_CONTENT,
    SHARED_SUBJECT,
    UNLABELLED,
    UNLISTED,
    UNREADABLE,
    VOTED_NO_CLASS,
    VOTED_NO_CLIP,
    Reconciliation,
)
from grace.pipeline.index.settings import SplitSettings
from grace.pipeline.media.content import content_digest
from grace.pipeline.media.files import MissingError, NoFramesError, link_out
from grace.pipeline.media.frames import list_images
from grace.pipeline.media.video import MediaInfo, probe
from grace.pipeline.messages import error_line, number_ranges
from grace.pipeline.store import Row, failure, write_clips
from grace.pipeline.store.journal import Journal, state_of
from grace.pipeline.store.schemas import fold_column
from grace.pipeline.strict_csv import escape

MAX_READS = 3
"""So often a clip is read whose files change meanwhile; a link that is made to one changes it as well."""
BATCH = 16
"""Clips per job, after which a process reports what it counted."""
PARTIAL = "index.partial.jsonl"
"""The journal of an index that is not whole yet."""
COUNTING = 2
"""Rises when counting gives other figures for the same files."""


@dataclass(frozen=True)
class Contents:
    """What a clip holds, counted, and the digest of its content."""

    probe: MediaInfo
    digest: str


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
    task, rows = _ProbeTask(root, hash_images, tuple(links)), []
    options = {"version": COUNTING, "hash_images": hash_images, "links": sorted(map(str, links))}
    journal = Journal(folder / PARTIAL, root, options)
    for listing, probed in zip(listings, _probe_all(task, listings, journal, workers, clip_timeout), strict=True):
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
    declared = labels is not None or lists is not None
    for name, known in ({} if declared else misspelt(found.classes)).items():
        clip = next(one.clip_id for one in listings if one.label == name or one.votes.get(name))
        found.note(MISSPELT, clip, f"is the class '{name}' meant to be '{known}'?")
    write_clips(folder, rows, classes, footage_of(root))
    found.write(folder)
    journal.remove()
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
class _ProbeTask:
    """Counting the frames of a batch of clips in supervised processes."""

    root: Path
    hash_images: bool
    links: tuple[str, ...]

    def open(self) -> None:
        """Nothing is to be loaded."""

    def run(
        self, job: list[Listing], skipped: Mapping[int, str], on_clip_start: Callable[[int], None]
    ) -> list[tuple[str, Contents | Unusable]]:
        """For each clip the state of its files while they were read, and what they hold."""
        probed: list[tuple[str, Contents | Unusable]] = []
        for listing, cause in watched_clips(job, skipped, on_clip_start):
            probed.append(self._probe_unchanged(listing) if cause is None else ("", Unusable(UNREADABLE, cause)))
        return probed

    def _probe_unchanged(self, listing: Listing) -> tuple[str, Contents | Unusable]:
        """Frames and digest are of the same files: frames are counted in one read, and the digest is of another."""
        state = state_of(self.root / listing.path)
        for _ in range(MAX_READS):
            before, contents = state, self._probe(listing)
            state = state_of(self.root / listing.path)
            if state == before:
                return state, contents
        cause = "its files changed while they were read: run the index again when nobody writes them"
        return "", Unusable(UNREADABLE, cause)

    def _probe(self, listing: Listing) -> Contents | Unusable:
        path = self.root / listing.path
        try:
            if target := link_out(self.root, listing.path, self.links):
                cause = f"a link leads out of the data set's root, to {target}: name that folder in index.links"
                return Unusable(UNFOLLOWED, cause)
            return Contents(probe(path, listing.source), content_digest(path, listing.source, self.hash_images))
        except MissingError as error:
            return Unusable(MISSING, str(error))
        except NoFramesError as error:
            return Unusable(NO_FRAMES, str(error))
        except ClipError as error:
            return Unusable(UNREADABLE, str(error))
        except MemoryError:
            raise
        except Exception as error:  # a decoder's complaint about this one file
            return Unusable(UNREADABLE, error_line(error))


def _probe_all(
    task: _ProbeTask, listings: list[Listing], journal: Journal, workers: int, clip_timeout: float
) -> Iterator[Contents | Unusable]:
    """What each listed clip holds, or why it cannot be used, in the order of the lists."""
    readable = [listing for listing in listings if listing.problem is None]
    probed: dict[str, Contents | Unusable] = {}
    for listing in readable:
        if (counted := journal.get(listing.path)) is not None:
            probed[listing.clip_id] = Contents(MediaInfo(**counted["probe"]), counted["digest"])
    waiting = [listing for listing in readable if listing.clip_id not in probed]
    jobs = [waiting[start : start + BATCH] for start in range(0, len(waiting), BATCH)]
    results = run_in_processes(task, jobs, workers=max(workers, 1), clip_timeout=clip_timeout)
    with ClipProgress("index", len(readable), len(probed)) as progress:
        for job, batch in results:
            for listing, (state, contents) in zip(jobs[job], batch, strict=True):
                probed[listing.clip_id] = contents
                if isinstance(contents, Contents):
                    journal.add(listing.path, asdict(contents), state)
            progress.commit(len(batch))
    for listing in listings:
        if listing.problem is not None:
            yield Unusable(listing.problem.finding, listing.problem.cause)
        else:
            yield probed.pop(listing.clip_id)


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
    if held.ends_early:
        cause = f"the video ends early: {held.n_frames} of {held.declared} frames could be decoded"
        row |= {"status": "fallback", "error": f"index: {listing.path}: {cause}"}
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
    if held.ends_early:
        found.note(ENDS_EARLY, listing.clip_id, f"{held.n_frames} of {held.declared} frames could be decoded")


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
