"""Where the clips of a data set lie: its folders, each read once, and the files that a list's line may name."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal
from unicodedata import normalize

from grace.pipeline.errors import ClipError, UserError
from grace.pipeline.media.files import is_animated_webp, open_regular

Source = Literal["video", "frames"]

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv"}
    | {".ts", ".mts", ".m2ts", ".3gp", ".ogv", ".vob", ".gif", ".webp"}
)

UNFOLLOWED = "path cannot be followed"
AMBIGUOUS_ID = "two clips with one id"
MAX_PATH = 4_096
"""Characters that a path may have on the usual file systems."""


@dataclass(frozen=True)
class Problem:
    """Why a clip cannot be used, before its file is opened: the kind of finding, and the cause."""

    finding: str
    cause: str


@dataclass(frozen=True)
class ClipPath:
    """The file or folder of a clip, or where it should be."""

    relative: str  # to the data set's root, with /
    source: Source
    problem: Problem | None = None


def is_video(name: str) -> bool:
    """Whether a file's name is that of a video."""
    return posixpath.splitext(name)[1].lower() in VIDEO_SUFFIXES


def is_video_file(file: Path) -> bool:
    """Whether a file is named as a video; a WebP, which may be a mere picture, has to be an animated one."""
    if file.suffix.lower() != ".webp":
        return is_video(file.name)
    try:
        with open_regular(file) as content:
            return is_animated_webp(content)
    except (OSError, ClipError):
        return False


def is_file(item: os.DirEntry[str]) -> bool:
    """Whether an entry of a folder is a regular file, or a link to one; a link that leads to itself is none."""
    try:
        return item.is_file()
    except OSError:
        return False


def without_suffix(path: str) -> str:
    """A path without the suffix of a video."""
    return posixpath.splitext(path)[0] if is_video(path) else path


def path_problem(path: str) -> Problem | None:
    """Why a listed path must not be followed: it has to lie inside the data set's root."""
    if not path.strip():
        return Problem(UNFOLLOWED, "the list gives no path for it")
    if len(path) > MAX_PATH:
        return Problem(UNFOLLOWED, f"its path has more than {MAX_PATH:,} characters")
    if PurePosixPath(path).is_absolute() or re.match(r"[A-Za-z]:", path):
        return Problem(UNFOLLOWED, f"its path {path} is absolute: write it relative to the data set's root")
    if posixpath.normpath(path).split("/")[0] == "..":
        return Problem(UNFOLLOWED, f"its path {path} leads out of the data set's root")
    if "\0" in path:
        return Problem(UNFOLLOWED, "its path holds a NUL character")
    return None


class Tree:
    """The folders under a root.

    Each is listed once, not once per clip: 40,000 questions to a network disk take minutes. A name that is not on the
    disk as it is written is looked for in Unicode's composed form: a list may write é as one character where the disk
    has e and an accent.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[str, dict[str, bool]] = {}
        self._composed: dict[str, dict[str, str]] = {}
        self._clips: dict[str, dict[str, list[str]]] = {}

    def resolve(self, path: str) -> ClipPath:
        """The video or folder of frames at a listed path."""
        if problem := path_problem(path):
            return ClipPath("", "video", problem)
        folder, name = posixpath.split(posixpath.normpath(path))
        folder = self._on_disk(folder)
        found = self._spelling(folder, name)
        if found is None:
            return ClipPath(posixpath.join(folder, name), "video" if posixpath.splitext(name)[1] else "frames")
        path = posixpath.join(folder, found)
        return ClipPath(path, self._source(path))

    def find(self, folder: str, *names: str) -> ClipPath:
        """The clip of ``folder`` that goes by one of ``names`` (which may hold /): a video of any suffix, or frames.

        A clip that is not there gets the path where it should be.
        """
        found = []
        for name in names:
            if problem := path_problem(name):
                return ClipPath("", "video", problem)
            parent, stem = posixpath.split(posixpath.normpath(posixpath.join(folder, name)))
            alike = self._by_stem(parent).get(normalize("NFC", stem), [])
            exact = [clip for clip in alike if stem in (clip, without_suffix(clip))]
            found += [posixpath.join(parent, clip) for clip in exact or alike]
        if len(found) > 1:
            cause = f"two files could be this clip: {found[0]} and {found[1]}"
            return ClipPath(found[0], self._source(found[0]), Problem(AMBIGUOUS_ID, cause))
        if found:
            return ClipPath(found[0], self._source(found[0]))
        path = posixpath.normpath(posixpath.join(folder, names[0]))
        videos = any(not is_folder and is_video(name) for name, is_folder in self._names(folder).items())
        return ClipPath(f"{path}.mp4", "video") if videos else ClipPath(path, "frames")

    def clips_folder(self, folders: Sequence[str], named: str | None) -> str:
        """The folder that holds the clips: the ``named`` one, else the first of ``folders`` that holds anything.

        Raises :class:`UserError` when there is none.
        """
        if named is not None:
            if path_problem(named) or not (self.root / named).is_dir():
                raise UserError(f"There is no folder {self.root / named}, which index.folders names.")
            return posixpath.normpath(named)
        there = [folder for folder in folders if (self.root / folder).is_dir()]
        if not there:
            raise UserError(f"{self.root} holds neither clips nor frames: looked for the folders {', '.join(folders)}.")
        return next((folder for folder in there if self._names(folder)), there[0])

    def _source(self, path: str) -> Source:
        folder, name = posixpath.split(path)
        return "frames" if self._names(folder)[name] else "video"

    def _on_disk(self, folder: str) -> str:
        """A folder's path as the disk spells it."""
        if not folder or folder in self._folders:
            return folder
        found = ""
        for name in folder.split("/"):
            found = posixpath.join(found, self._spelling(found, name) or name)
        return found

    def _by_stem(self, folder: str) -> dict[str, list[str]]:
        """Names of the clips in a folder by what they are called without the suffix."""
        if folder not in self._clips:
            stems: dict[str, list[str]] = {}
            for name, is_folder in self._names(folder).items():
                key = normalize("NFC", name)
                if is_folder or is_video_file(self.root / folder / name):
                    stems.setdefault(key if is_folder else without_suffix(key), []).append(name)
            self._clips[folder] = stems
        return self._clips[folder]

    def _spelling(self, folder: str, name: str) -> str | None:
        """How the disk spells the name of something in a folder; None when it is not there."""
        names = self._names(folder)
        if name in names:
            return name
        if folder not in self._composed:
            self._composed[folder] = {normalize("NFC", each): each for each in names}
        return self._composed[folder].get(normalize("NFC", name))

    def _names(self, folder: str) -> dict[str, bool]:
        """What a folder holds, in order: names to whether they are folders."""
        if folder not in self._folders:
            names: dict[str, bool] = {}
            try:
                with os.scandir(self.root / folder) as scan:
                    for item in sorted(scan, key=lambda found: found.name):
                        names[item.name] = _is_folder(item)
            except OSError:
                names = {}  # its clips are missing or cannot be read, and each will say so
            self._folders[folder] = names
        return self._folders[folder]


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:  # a link that leads to itself
        return False
