"""Folders of images as clips: which files are frames, their order, and each as a picture."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from grace.pipeline.errors import ClipError
from grace.pipeline.media.files import MissingError, NoFramesError, open_regular
from grace.pipeline.media.images import BGRImage, decode_image
from grace.pipeline.media.pictures import Picture

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
FRAMES_FPS = 25.0
"""Frames per second assumed for a folder of images, which says nothing about time."""

_NUMBER = re.compile(r"(\d+(?:[.,]\d+)*)")
_MARK = re.compile(r"[.,]")
"""Between the whole part of a decimal and its fraction; a number with several marks, such as a date, is no decimal."""
_SECONDS = re.compile(r" ?s(ec(onds?)?)?(?![a-z])")
"""What stands behind a time."""


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

    What a point or comma within a number means is read off all names together. Numbers are decimals where all names
    hold them at the same place between the same words (``t0.04.jpg``, ``t1,16.jpg``), unless the last digits count
    (``shot1.9.jpg``, ``shot1.10.jpg``): see :func:`_counts`.

    Example:
        >>> in_order(["1.16.jpg", "0.2.jpg", "0.04.jpg"]), in_order(["1,16.jpg", "0,2.jpg", "0,04.jpg"])
        (['0.04.jpg', '0.2.jpg', '1.16.jpg'], ['0,04.jpg', '0,2.jpg', '1,16.jpg'])
        >>> in_order(["1.10.jpg", "1.9.jpg"]), in_order(["S1.11.jpg", "S1.3.jpg", "S1.1.jpg", "S1.9.jpg"])
        (['1.9.jpg', '1.10.jpg'], ['S1.1.jpg', 'S1.3.jpg', 'S1.9.jpg', 'S1.11.jpg'])
    """
    parts = [_NUMBER.split(name.lower().rpartition(".")[0]) for name in names]
    words, numbers = {tuple(part[::2]) for part in parts}, [tuple(part[1::2]) for part in parts]
    decimals = any(len(_MARK.split(number)) == 2 for part in numbers for number in part)
    if len(words) == 1 and decimals and not _counts(numbers, [_SECONDS.match(word) for word in words.pop()[1:]]):
        keys = dict(zip(names, map(_as_decimals, numbers), strict=True))
        return sorted(names, key=lambda name: (keys[name], name))
    return sorted(names, key=lambda name: (natural_sort_key(name), name))


Numbers = tuple[str, ...]
"""The numbers of a name, in order."""


def _counts(names: list[Numbers], times: Sequence[object]) -> bool:
    """Whether the digits behind a mark are a counter, as in ``shot1.9``, ``shot1.10``, and no fraction.

    In this order: fractions of one length leave no question, and a number that seconds follow (``t0.5s``) is a time. A
    zero in front of more digits than the shortest fraction has (0.04 beside 0.2) shows fractions, and one behind other
    digits (1.9, 1.10) a counter. Then the reading counts in which more neighbours are the same step apart (1.1, 1.3,
    1.9, 1.11 against 0.25, 0.5, 0.75). If that decides nothing, it is a counter where every name has the same whole
    part, which is not 0 (1.4, 1.11): times begin at 0 or go on from one second to the next.

    Args:
        names: Of each name its numbers, as many for all.
        times: Whether each of these numbers is followed by a unit of time.
    """
    marked = [_MARK.split(number) for name in names for number in name]
    fractions = {part[1] if len(part) == 2 else "" for part in marked if len(part) <= 2}
    lengths = {len(fraction) for fraction in fractions}
    if len(lengths) == 1 or any(times):
        return False
    if any(fraction.startswith("0") and len(fraction) > min(lengths - {0}) for fraction in fractions):
        return False
    if any(fraction.endswith("0") and len(fraction) > 1 for fraction in fractions):
        return True
    even = [_equal_steps([reading(name) for name in names]) for reading in (_as_decimals, _as_counters)]
    wholes = {int(part[0]) for part in marked if len(part) == 2}
    return even[1] > even[0] or (even[1] == even[0] and len(wholes) == 1 and wholes != {0} and 0 not in lengths)


def _as_decimals(name: Numbers) -> tuple[Decimal, ...]:
    """A key by which decimals of any length compare exactly; the parts of a number with several marks are numbers."""
    split = [[number] if len(_MARK.findall(number)) < 2 else _MARK.split(number) for number in name]
    return tuple(Decimal(number.replace(",", ".")) for part in split for number in part)


def _as_counters(name: Numbers) -> tuple[Decimal, ...]:
    """A key by which all digits between marks are numbers of their own."""
    return tuple(Decimal(digits) for number in name for digits in _MARK.split(number))


def _equal_steps(keys: list[tuple[Decimal, ...]]) -> int:
    """How often the most common step comes again, among neighbours of which one number differs."""
    steps: Counter[Decimal] = Counter()
    for before, after in pairwise(sorted(set(keys))):
        changed = [b - a for a, b in zip(before, after, strict=False) if a != b]
        steps.update(changed if len(changed) == 1 else ())
    return max(steps.values(), default=1) - 1


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


def _is_image(name: str) -> bool:
    dot = name.rfind(".")
    return dot > 0 and name[0] != "." and name[dot:].lower() in IMAGE_SUFFIXES
