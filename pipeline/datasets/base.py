"""What an adapter is, and what it makes: one :class:`Listing` per clip, merged from the lines of list files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, Protocol

from grace.pipeline.datasets.file_tree import AMBIGUOUS_ID, UNFOLLOWED, ClipPath, Problem, Source
from grace.pipeline.datasets.labels import CANONICAL_LABELS, canonical, class_name, ordered
from grace.pipeline.strict_csv import escape

Split = Literal["train", "val", "test"]

SPLITS: tuple[Split, ...] = ("train", "val", "test")

MAX_ID = 1_000
"""Characters of a clip's id; file systems allow 4,096 in a path."""

SCENE = "scene"
"""The column of a list that says where or in what a clip plays; kept in ``clips.parquet``, others only make folds."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

UNKNOWN_LABEL = "label unknown"
CONTRADICTORY = "contradictory lines"


@dataclass(frozen=True)
class Entry:
    """One line of one list file: a clip, its file, and in which part of which fold it is (0: of none)."""

    clip_id: str
    clip_path: ClipPath
    label: str  # as written; empty when nobody labelled the clip
    fold: int = 0
    split: Split = "train"
    subject: str = ""
    annotated_frames: int = -1
    caption_human: str = ""
    list_file: str = ""  # the list that holds the line: a second line in the same one is a repetition
    votes: Mapping[str, float] = field(default_factory=dict)  # label as written to how many annotators chose it
    columns: Mapping[str, str] = field(default_factory=dict)  # further cells by column, to make folds by


@dataclass
class Listing:
    """A clip as the data set's lists describe it, all folds together. ``problem`` says why it cannot be used."""

    clip_id: str
    path: str
    source: Source
    label: str  # a class of the data set, as written when it is none, or empty
    folds: dict[int, Split] = field(default_factory=dict)
    subject: str = ""
    annotated_frames: int = -1
    caption_human: str = ""
    problem: Problem | None = None
    repeated: bool = False  # one list names it more than once
    leaked: tuple[int, ...] = ()  # folds that have it in several parts; it is kept in the last of train, val, test
    votes: dict[str, float] = field(default_factory=dict)  # name of a class to how many annotators chose it
    columns: dict[str, str] = field(default_factory=dict)  # further cells of the list, by column

    @property
    def label_known(self) -> bool:
        """Whether the clip has a label that is a class of the data set."""
        return bool(self.label) and (self.problem is None or self.problem.finding != UNKNOWN_LABEL)


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
    classes: tuple[str, ...] = ()  # its emotions in order; none: those that occur
    marker: str | None = None  # file or folder under the root by which such a tree is known, whatever its name
    votes: Callable[[Path], dict[str, dict[str, float]]] | None = None  # of every clip judged, where no list holds them
    judged_more: bool = False  # whether the owner's annotators judged clips that the lists leave out
    notes: Callable[[Path], list[str]] = lambda root: []  # what of the tree is not used, in sentences
    folds: int = 0  # those that are compared in its literature; 0: any set, not one by name
    crops: bool = False  # whether it ships face crops, in which no face has to be found
    accept: tuple[str, ...] = ()  # findings that it always has, which are no error under ``--strict``


def merge(entries: Iterable[Entry], classes: Sequence[str] = (), *, own_classes: bool = False) -> list[Listing]:
    """One listing per clip, in order of ``clip_id``; labels are of ``classes``, or any canonical ones if it is empty.

    With ``own_classes`` and no ``classes`` every label is a class, whatever it is called.

    Lines that contradict each other about a clip's label or file make it unusable (``problem``); a clip in train and
    test of one fold stays in its test part only, so that nothing tested is trained on.

    Args:
        entries: The lines of all lists.
        classes: The classes of the data set, if it declares them.
        own_classes: Whether labels that are no canonical ones are classes as well.

    Example:
        >>> lines = [Entry("a", ClipPath("a.mp4", "video"), "Happy", fold=1, split=part) for part in ("train", "test")]
        >>> [(clip.clip_id, clip.label, clip.folds) for clip in merge(lines)]
        [('a', 'happiness', {1: 'test'})]
    """
    listings: dict[str, Listing] = {}
    seen: set[tuple[str, str]] = set()
    for written in entries:
        entry = _printable(written)
        label, known = _label(entry.label, classes, own_classes)
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
        listing.votes = listing.votes or by_class(entry.votes)
        listing.columns = {**entry.columns, **listing.columns}
        if entry.fold:
            _assign_fold(listing, entry.fold, entry.split)
    return [listings[clip_id] for clip_id in sorted(listings)]


def by_class(votes: Mapping[str, float]) -> dict[str, float]:
    """Votes by the name of the class; those under several spellings of one are added.

    Example:
        >>> by_class({"happy": 3, "joy": 1, "Bored": 2})
        {'happiness': 4, 'bored': 2}
    """
    added: dict[str, float] = {}
    for name, count in votes.items():
        added[class_name(name)] = added.get(class_name(name), 0) + count
    return added


def classes_of(listings: Sequence[Listing]) -> list[str]:
    """The classes of a set that declares none: those of its labels; where it has no label, those that annotators chose.

    A class without a labelled clip could not be trained, so that votes for it are a finding where there are labels.
    """
    named = [clip.label for clip in listings if clip.label_known]
    voted = (name for clip in listings for name, count in clip.votes.items() if count and is_class_name(name))
    return ordered(named or voted)


def is_class_name(name: str) -> bool:
    """Whether a set's own class may be called so."""
    return bool(name) and not _CONTROL.search(name)


def _printable(entry: Entry) -> Entry:
    """``entry`` itself, or with an id and a path that can be shown and stored, and then with a problem."""
    if not _CONTROL.search(entry.clip_id) and len(entry.clip_id) <= MAX_ID:
        return entry
    shown, cause = escape(entry.clip_id), "its id holds a control character, or bytes that are no UTF-8"
    if len(shown) > MAX_ID:
        digest = hashlib.sha256(entry.clip_id.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        shown, cause = f"{shown[:80]}…{digest}", f"its id has more than {MAX_ID:,} characters"
    problem = entry.clip_path.problem or Problem(UNFOLLOWED, cause)
    path = replace(entry.clip_path, relative=escape(entry.clip_path.relative), problem=problem)
    return replace(entry, clip_id=shown, clip_path=path)


def _label(written: str, classes: Collection[str], own_classes: bool) -> tuple[str, bool]:
    """The class and True, or the label as written and False; a clip may have no label."""
    label = class_name(written)
    any_name = own_classes and is_class_name(label)
    known = label in classes if classes else any_name or canonical(label) is not None
    return (label, True) if known or not label else (written, False)


def _problem(listing: Listing, entry: Entry, label: str, known: bool, classes: Collection[str]) -> Problem | None:
    if entry.clip_path.problem:
        return entry.clip_path.problem
    if not known:
        return Problem(
            UNKNOWN_LABEL,
            f"the label '{escape(entry.label)}' is unknown: use one of {', '.join(classes or CANONICAL_LABELS)}",
        )
    if entry.clip_path.relative != listing.path:
        return Problem(AMBIGUOUS_ID, f"two clips have this id: {listing.path} and {entry.clip_path.relative}")
    if label != listing.label:
        here, there = listing.label or "not at all", label or "not at all"
        return Problem(CONTRADICTORY, f"it is labelled {here} in one place and {there} in another")
    return None


def test_in_turn(people: Collection[str], folds: int) -> dict[str, int]:
    """The fold that tests each person: in order of their names, one after another.

    Example:
        >>> test_in_turn({"1002", "1001", "1003"}, 2)
        {'1001': 1, '1002': 2, '1003': 1}
    """
    return {person: number % folds + 1 for number, person in enumerate(sorted(people))}


def misspelt(classes: Mapping[str, int]) -> dict[str, str]:
    """Classes, by their number of clips, that look like a misspelling of a known or more frequent one.

    A table without a list of classes takes any label, so that a slip of the pen would be a class.

    Example:
        >>> misspelt({"happiness": 3, "boredom": 3, "happines": 1, "boredon": 1, "surprize!": 1})
        {'happines': 'happiness', 'boredon': 'boredom', 'surprize!': 'surprise'}
    """
    own = [name for name in classes if name not in CANONICAL_LABELS and "_" not in name]
    found = {}
    for name in own:
        others = [other for other in own if classes[other] > classes[name]]
        if close := get_close_matches(name, [*CANONICAL_LABELS, *others], 1, 0.8):
            found[name] = close[0]
    return found


def _assign_fold(listing: Listing, fold: int, split: Split) -> None:
    before = listing.folds.get(fold)
    if before is not None and before != split:
        listing.leaked = tuple(sorted({*listing.leaked, fold}))
        split = max(before, split, key=SPLITS.index)
    listing.folds[fold] = split
