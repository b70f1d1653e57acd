"""What every adapter makes: one :class:`Listing` a clip, merged from the lines of the data set's list files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from pipeline.datasets.labels import LABEL_ID
from pipeline.errors import UserError

Source = Literal["video", "frames"]
Split = Literal["train", "test"]

FOLDS = (1, 2, 3, 4, 5)
VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv", ".ts"})


@dataclass(frozen=True)
class Entry:
    """One line of one list file: a clip, where it lies, and which side of which fold it is on (fold 0: of none)."""

    clip_id: str
    path: str  # relative to the data set's root, with /
    source: Source
    label: str  # canonical, or as written when it is not a known one
    fold: int = 0
    split: Split = "train"
    subject: str = ""
    annotated_frames: int = -1
    caption_human: str = ""
    problem: str = ""
    file: str = ""  # the list that holds the line: a second line in the same one is a repetition


@dataclass
class Listing:
    """A clip as the data set's lists describe it, all folds together. ``problem`` says why it cannot be used."""

    clip_id: str
    path: str
    source: Source
    label: str
    folds: dict[int, Split] = field(default_factory=dict)
    subject: str = ""
    annotated_frames: int = -1
    caption_human: str = ""
    problem: str = ""
    repeated: bool = False  # one list names it more than once
    leaked: tuple[int, ...] = ()  # folds that have it in train and in test; it is kept in test


def merge(entries: Iterable[Entry]) -> list[Listing]:
    """One listing a clip, in order of ``clip_id``.

    Lines that contradict each other about a clip's label or file make it unusable (``problem``); a clip on both sides
    of a fold stays in its test part only, so that nothing tested is trained on.
    """
    listings: dict[str, Listing] = {}
    seen: set[tuple[str, str]] = set()
    for entry in entries:
        listing = listings.get(entry.clip_id)
        if listing is None:
            listing = listings[entry.clip_id] = Listing(entry.clip_id, entry.path, entry.source, entry.label)
        _check(listing, entry)
        listing.repeated = listing.repeated or (entry.file, entry.clip_id) in seen
        seen.add((entry.file, entry.clip_id))
        listing.subject = listing.subject or entry.subject
        listing.caption_human = listing.caption_human or entry.caption_human
        listing.annotated_frames = max(listing.annotated_frames, entry.annotated_frames)
        if entry.fold:
            _put(listing, entry.fold, entry.split)
    return [listings[clip_id] for clip_id in sorted(listings)]


def _check(listing: Listing, entry: Entry) -> None:
    problem = entry.problem
    if entry.label not in LABEL_ID:
        problem = problem or f"the label '{entry.label}' is unknown: use one of {', '.join(LABEL_ID)}"
    elif entry.path != listing.path:
        problem = problem or f"two clips have this id: {listing.path} and {entry.path}"
    elif entry.label != listing.label:
        problem = problem or f"it is labelled {listing.label} in one place and {entry.label} in another"
    listing.problem = listing.problem or problem


def _put(listing: Listing, fold: int, split: Split) -> None:
    before = listing.folds.get(fold)
    if before is not None and before != split:
        listing.leaked = tuple(sorted({*listing.leaked, fold}))
        split = "test"
    listing.folds[fold] = split


def read_text(file: Path, encodings: Sequence[str] = ("utf-8-sig",)) -> str:
    """The text of a list file, in the first of ``encodings`` that fits; UTF-16 is known by its mark.

    Raises :class:`UserError` naming the file when none fits or it cannot be read.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from None
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encodings = ("utf-16",)
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise UserError(f"{file} is not {' or '.join(encodings).upper()} text: save it as UTF-8.")


def lines(file: Path, encodings: Sequence[str] = ("utf-8-sig",)) -> list[tuple[int, str]]:
    """The non-empty lines of a list file with their numbers, whatever its line ends."""
    return [(n, text) for n, text in enumerate(read_text(file, encodings).splitlines(), 1) if text.strip()]


def path_problem(path: str) -> str:
    """Why a listed path cannot be followed, or nothing: it must lie inside the data set's root."""
    if not path.strip():
        return "the list gives no path for it"
    if PurePosixPath(path).is_absolute() or (len(path) > 1 and path[1] == ":"):
        return "its path is absolute: write it relative to the data set's root"
    if Path(os.path.normpath(path)).parts[:1] == (os.pardir,):
        return f"its path {path} leads out of the data set's root"
    return ""


class Places:
    """Finds where a clip lies when a data set may hold videos or extracted frames, in one of several folders.

    Folders are listed once, not asked about for every clip: 40,000 questions to a network disk take minutes.
    """

    def __init__(self, root: Path, videos: Sequence[str], frames: Sequence[str]) -> None:
        self.root = root
        self.videos = [folder for folder in videos if (root / folder).is_dir()]
        self.frames = [folder for folder in frames if (root / folder).is_dir()]
        self._names: dict[str, dict[str, str]] = {}
        if not self.videos and not self.frames:
            looked = ", ".join([*videos, *frames])
            raise UserError(f"{root} holds neither clips nor frames: looked for the folders {looked}.")

    def find(self, *names: str) -> tuple[str, Source]:
        """The path (relative to the root) and source of a clip known by any of ``names`` (no suffix, may hold /).

        A clip that is nowhere gets the path where it should be.
        """
        for folder in self.videos:
            for name in names:
                parent, _, stem = f"{folder}/{name}".rpartition("/")
                if (file := self._listed(parent).get(stem)) is not None:
                    return f"{parent}/{file}", "video"
        for folder in self.frames:
            for name in names:
                parent, _, stem = f"{folder}/{name}".rpartition("/")
                if self._listed(parent).get(f"{stem}/") is not None:
                    return f"{parent}/{stem}", "frames"
        if self.videos:
            return f"{self.videos[0]}/{names[0]}.mp4", "video"
        return f"{self.frames[0]}/{names[0]}", "frames"

    def _listed(self, folder: str) -> dict[str, str]:
        """Videos in a folder by stem, and its subfolders by name with a / behind."""
        if folder not in self._names:
            names: dict[str, str] = {}
            try:
                with os.scandir(self.root / folder) as scan:
                    for item in sorted(scan, key=lambda found: found.name):
                        stem, suffix = os.path.splitext(item.name)  # noqa: PTH122 (Path is slow 40,000 times)
                        if suffix.lower() in VIDEO_SUFFIXES:
                            names.setdefault(stem, item.name)
                        elif item.is_dir():
                            names[f"{item.name}/"] = item.name
            except FileNotFoundError:
                names = {}
            self._names[folder] = names
        return self._names[folder]
