"""The files of clips: regular files alone are read, and a link that leaves the data set's folder is seen."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from grace.pipeline.errors import ClipError


class MissingError(ClipError):
    """There is nothing at the clip's path."""


class NoFramesError(ClipError):
    """The clip is there, and empty."""


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading, without a buffer of Python's own.

    A pipe or device may never answer: it is refused, and the file that was checked is the one that is read.

    Args:
        path: the file, or a link to it.

    Raises:
        ClipError: it is a folder, pipe, socket or device.
        OSError: it cannot be opened.

    Example:
        >>> open_regular(Path("/dev/null"))
        Traceback (most recent call last):
        grace.pipeline.errors.ClipError: the path is no file but a pipe, socket or device
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise ClipError("the path is no file but a pipe, socket or device") from None
        raise
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb", buffering=0)
    os.close(descriptor)
    what = "a folder, not a file" if stat.S_ISDIR(mode) else "no file but a pipe, socket or device"
    raise ClipError(f"the path is {what}")


def is_animated_webp(file: BinaryIO) -> bool:
    """Whether an open file begins as an animated WebP does (the flag in its extended header); it is left at its start.

    Example:
        >>> from tempfile import TemporaryFile
        >>> with TemporaryFile(buffering=0) as file:
        ...     _ = file.write(b"RIFF....WEBPVP8X....\2"), file.seek(0)
        ...     is_animated_webp(file)
        True
    """
    header = file.read(21)
    file.seek(0)
    return header[:4] == b"RIFF" and header[8:16] == b"WEBPVP8X" and len(header) > 20 and bool(header[20] & 2)


def link_out(root: Path, path: str, allowed: Iterable[str | Path] = ()) -> str:
    """Where a clip leads if a link takes it out of the data set's folder; empty where all of it lies inside.

    Args:
        root: the data set's folder, itself possibly a link.
        path: the clip, a video or a folder of frames, relative to ``root``.
        allowed: other folders that links may lead to.

    Returns:
        The first place outside, or nothing.

    Example:
        >>> from tempfile import mkdtemp
        >>> root, other = Path(mkdtemp()), Path(mkdtemp())
        >>> (root / "a.mp4").symlink_to(other / "a.mp4")
        >>> link_out(root, "a.mp4") == os.path.realpath(other / "a.mp4"), link_out(root, "a.mp4", [other])
        (True, '')
    """
    places = [os.path.realpath(folder) for folder in (root, *allowed)]
    clip = root / path
    for name in ("", *_links(clip)):
        target = os.path.realpath(clip / name)
        if not any(_within(target, place) for place in places):
            return target
    return ""


def _within(target: str, folder: str) -> bool:
    return target == folder or target.startswith(folder.rstrip(os.sep) + os.sep)


def _links(folder: Path) -> list[str]:
    """The links in a folder; none in a file."""
    try:
        with os.scandir(folder) as scan:
            return sorted(item.name for item in scan if item.is_symlink())
    except OSError:
        return []  # no folder, or one whose trouble is reported when it is read
