"""What an adapter is, and what it makes: one :class:`Listing` per clip, merged from the lines of list files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

from grace.pipeline.datasets.file_tree import AMBIGUOUS, UNFOLLOWED, ClipPath, Problem, Source
from grace.pipeline.datasets.labels import CANONICAL_LABELS, canonical
from grace.pipeline.strict_csv import escape

Split = Literal["train", "test"]

SPLITS: tuple[Split, ...] = ("train", "test")

MAX_ID = 1_000
"""Characters of a clip's id; file systems allow 4,096 in a path."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

UNKNOWN_LABEL = "label unknown"
CONTRADICTORY = "contradictory lines"


@dataclass(frozen=True)
class Entry:
    """One line of one list file: a clip, its file, and whether it is in train or test of which fold (0: of none)."""

    clip_id: str
    clip_path: ClipPath
    label: str  # as written
    fold: int = 0
    split: Split = "train"
    subject: str = ""
    annotated_frames: int = -1
    caption_human: str = ""
    list_file: str = ""  # the list that holds the line: a second line in the same one is a repetition


@dataclass
class Listing:
    """A clip as the data set's lists describe it, all folds together. ``problem`` says why it cannot be used."""

    clip_id: str
    path: str
    source: Source
    label: str  # canonical, or as written when it is not a class of the data set
    folds: dict[int, Split] = field(default_factory=dict)
    subject: str = ""
    annotated_frames: int = -1
    caption_human: str = ""
    problem: Problem | None = None
    repeated: bool = False  # one list names it more than once
    leaked: tuple[int, ...] = ()  # folds that have it in train and in test; it is kept in test


class ReadListings(Protocol):
    """Every clip that the lists under ``root`` name; ``folder``, if given, is the one under it that holds the clips.

    Raises :class:`UserError` when there is no list file, no folder of clips, or a line is not one of a list.
    """

    def __call__(self, root: Path, folder: str | None = None) -> list[Listing]: ...


@dataclass(frozen=True)
class Adapter:
    """How a data set is read as its owner ships it; the docstring of its module shows the tree."""

    name: str
    read: ReadListings
    classes: tuple[str, ...] = ()  # its emotions in canonical order; none: those that occur
    marker: str | None = None  # file or folder under the root by which such a tree is known, whatever its name


def merge(entries: Iterable[Entry], classes: Collection[str] = ()) -> list[Listing]:
    """One listing per clip, in order of ``clip_id``; labels are of ``classes``, or any canonical ones if it is empty.

    Lines that contradict each other about a clip's label or file make it unusable (``problem``); a clip in train and
    test of one fold stays in its test part only, so that nothing tested is trained on.
    """
    listings: dict[str, Listing] = {}
    seen: set[tuple[str, str]] = set()
    for written in entries:
        entry = _printable(written)
        label, known = _label(entry.label, classes)
        listing = listings.get(entry.clip_id)
        if listing is None:
            listing = Listing(entry.clip_id, entry.clip_path.relative, entry.clip_path.source, label)
            listings[entry.clip_id] = listing
        listing.problem = listing.problem or _problem(listing, entry, label, known, classes)
        listing.repeated = listing.repeated or (entry.list_file, entry.clip_id) in seen
        seen.add((entry.list_file, entry.clip_id))
        listing.subject = listing.subject or entry.subject
        listing.caption_human = listing.caption_human or entry.caption_human
        listing.annotated_frames = max(listing.annotated_frames, entry.annotated_frames)
        if entry.fold:
            _assign_fold(listing, entry.fold, entry.split)
    return [listings[clip_id] for clip_id in sorted(listings)]


def _printable(entry: Entry) -> Entry:
    """``entry`` itself, or with a clip id that can be shown and stored, and then with a problem."""
    if not _CONTROL.search(entry.clip_id) and len(entry.clip_id) <= MAX_ID:
        return entry
    shown, cause = escape(entry.clip_id), "its id holds a control character"
    if len(shown) > MAX_ID:
        digest = hashlib.sha256(entry.clip_id.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        shown, cause = f"{shown[:80]}…{digest}", f"its id has more than {MAX_ID:,} characters"
    path = replace(entry.clip_path, problem=entry.clip_path.problem or Problem(UNFOLLOWED, cause))
    return replace(entry, clip_id=shown, clip_path=path)


def _label(written: str, classes: Collection[str]) -> tuple[str, bool]:
    """The canonical label and True, or the label as written and False."""
    label = canonical(written)
    return (written, False) if label is None or (classes and label not in classes) else (label, True)


def _problem(listing: Listing, entry: Entry, label: str, known: bool, classes: Collection[str]) -> Problem | None:
    if entry.clip_path.problem:
        return entry.clip_path.problem
    if not known:
        known_labels = ", ".join(classes or CANONICAL_LABELS)
        return Problem(UNKNOWN_LABEL, f"the label '{entry.label}' is unknown: use one of {known_labels}")
    if entry.clip_path.relative != listing.path:
        return Problem(AMBIGUOUS, f"two clips have this id: {listing.path} and {entry.clip_path.relative}")
    if label != listing.label:
        return Problem(CONTRADICTORY, f"it is labelled {listing.label} in one place and {label} in another")
    return None


def _assign_fold(listing: Listing, fold: int, split: Split) -> None:
    before = listing.folds.get(fold)
    if before is not None and before != split:
        listing.leaked = tuple(sorted({*listing.leaked, fold}))
        split = "test"
    listing.folds[fold] = split
