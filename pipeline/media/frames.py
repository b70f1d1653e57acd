"""Folders of images as clips: which files are frames, their order, and each as a picture."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from grace.pipeline.errors import ClipError
from grace.pipeline.media.files import MissingError, NoFramesError, open_regular
from grace.pipeline.media.images import BGRImage, decode_image
from grace.pipeline.media.pictures import Picture

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
FRAMES_FPS = 25.0
"""Frames per second assumed for a folder of images, which says nothing about time."""

_NUMBER = re.compile(r"(\d+(?:\.\d+)?)")


class Frame(Picture):
    """One image file of a folder."""

    def __init__(self, number: int, file: Path) -> None:
        super().__init__(number, number / FRAMES_FPS)
        self.file = file

    def _decode(self) -> BGRImage:
        return read_image(self.file)


class Folder:
    """A folder of images as a clip, at ``FRAMES_FPS``.

    Args:
        path: the folder.

    Raises:
        ClipError: it cannot be listed, or holds no image.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names = list_images(path)
        if not self.names:
            raise NoFramesError("the folder holds no images")

    def pictures(self) -> Iterator[Picture]:
        """Every image in order; a file is read when its picture is looked at."""
        return (Frame(number, self.path / name) for number, name in enumerate(self.names))

    def close(self) -> None:
        """Nothing is held open."""


def natural_sort_key(name: str) -> list[tuple[int, str]]:
    """Sort key by which frame 10 follows frame 9: runs of digits compare as numbers.

    Example:
        >>> sorted(["10.png", "9.png"], key=natural_sort_key)
        ['9.png', '10.png']
    """
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name.lower()) if part]


def in_order(names: list[str]) -> list[str]:
    """The names of a clip's images in the order of time: by their numbers, which may be decimals.

    Numbers are decimals where all names hold them at the same place in the same words (``t0.04.jpg``, ``t1.16.jpg``),
    unless a zero at the end (``shot1.9.jpg``, ``shot1.10.jpg``) shows that two whole numbers stand there.

    Example:
        >>> in_order(["1.16.jpg", "0.2.jpg", "0.04.jpg"])
        ['0.04.jpg', '0.2.jpg', '1.16.jpg']
        >>> in_order(["1.10.jpg", "1.9.jpg"])
        ['1.9.jpg', '1.10.jpg']
    """
    parts = [_NUMBER.split(name.lower().rpartition(".")[0]) for name in names]
    words = {tuple(part[::2]) for part in parts}
    fractions = [number.partition(".")[2] for part in parts for number in part[1::2]]
    lengths = {len(fraction) for fraction in fractions}
    counters = len(lengths) > 1 and any(len(fraction) > 1 and fraction.endswith("0") for fraction in fractions)
    if len(words) == 1 and lengths != {0} and not counters:
        keys = {name: [_decimal(number) for number in part[1::2]] for name, part in zip(names, parts, strict=True)}
        return sorted(names, key=lambda name: (keys[name], name))
    return sorted(names, key=lambda name: (natural_sort_key(name), name))


def list_images(folder: Path) -> list[str]:
    """The names of the images in a folder, in the order of time. Raises :class:`ClipError` if it cannot be listed."""
    try:
        with os.scandir(folder) as scan:
            # Names that begin with a dot are left behind by other systems, such as macOS's ._0001.jpg.
            names = [item.name for item in scan if _is_image(item.name)]
    except FileNotFoundError:
        raise MissingError("the folder of frames is missing") from None
    except OSError as error:
        raise ClipError(f"the folder of frames cannot be listed: {error.strerror}") from None
    return in_order(names)


def read_image(file: Path) -> BGRImage:
    """One image file as 8-bit colour. Raises :class:`ClipError` with the file's name when it is not an image."""
    try:
        with open_regular(file) as opened:
            content = opened.read()
    except (OSError, ClipError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        raise ClipError(f"frame {file.name} cannot be read: {cause}") from None
    try:
        return decode_image(content)
    except ClipError:
        raise ClipError(f"frame {file.name} is not an image or is damaged") from None


def _decimal(number: str) -> tuple[int, str]:
    """A key by which decimals of any length compare exactly: the whole part, then the digits after the point."""
    whole, _, fraction = number.partition(".")
    return int(whole), fraction.rstrip("0")


def _is_image(name: str) -> bool:
    dot = name.rfind(".")
    return dot > 0 and name[0] != "." and name[dot:].lower() in IMAGE_SUFFIXES
