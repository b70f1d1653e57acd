"""One picture of a clip, decoded when it is looked at, and the shapes that a clip's pictures are brought to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import cv2
import numpy as np
from jaxtyping import UInt8

from grace.pipeline.media.images import BGRImage

LONGEST_SIDE = 1920
"""Larger frames are shrunk on decoding: 32 frames of 8K would fill 3 GB, and a face crop gains nothing from them."""


class Picture(ABC):
    """A picture of a clip at its place in time.

    Attributes:
        number: its frame number, from 0.
        time: seconds from the clip's first picture.
    """

    def __init__(self, number: int, time: float) -> None:
        self.number = number
        self.time = time

    @cached_property
    def image(self) -> BGRImage:
        """Its pixels, as a player shows them. Raises :class:`ClipError` where they cannot be decoded."""
        return self._decode()

    @cached_property
    def grey(self) -> UInt8[np.ndarray, "_height _width"]:
        """Its brightness, for comparisons alone: neither turned nor of square pixels."""
        return self._decode_grey()

    @abstractmethod
    def _decode(self) -> BGRImage: ...

    def _decode_grey(self) -> UInt8[np.ndarray, "_height _width"]:
        return np.asarray(cv2.cvtColor(self.image, cv2.COLOR_BGR2GRAY))


def change(a: Picture, b: Picture) -> float:
    """Root mean square change of brightness from one picture to another, grey levels; infinite for other sizes."""
    first, second = a.grey, b.grey
    if first.shape != second.shape:
        return float("inf")
    return float(cv2.norm(first, second, cv2.NORM_L2)) / float(np.sqrt(first.size))


def resized(image: BGRImage, width: int, height: int) -> BGRImage:
    """The image at another size, whatever its own.

    Args:
        image: [h, w, 3].
        width: pixels.
        height: pixels.

    Returns:
        [height, width, 3]; the image itself where it has that size.

    Example:
        >>> resized(np.zeros((20, 40, 3), np.uint8), width=10, height=5).shape
        (5, 10, 3)
    """
    if image.shape[:2] == (height, width):
        return image
    shrinks = width < image.shape[1] or height < image.shape[0]
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC))


def shrunk(image: BGRImage) -> BGRImage:
    """The image with its longer side at most ``LONGEST_SIDE``."""
    height, width = image.shape[:2]
    factor = min(1.0, LONGEST_SIDE / max(width, height))
    return resized(image, max(round(width * factor), 1), max(round(height * factor), 1))


def same_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes (width, height) are of one shape, but for the rounding of their sides to whole pixels.

    Example:
        >>> same_shape((640, 360), (320, 180)), same_shape((640, 360), (640, 361)), same_shape((47, 33), (47, 60))
        (True, True, False)
    """
    small, large = sorted((size, other), key=max)
    factor = max(large) / max(small)
    return all(abs(side * factor - whole) <= max(factor, 1.0) for side, whole in zip(small, large, strict=True))


def squared(image: BGRImage, side: int) -> BGRImage:
    """The image in the middle of a square with its border repeated, at ``side`` pixels.

    Example:
        >>> squared(np.zeros((20, 40, 3), np.uint8), 80).shape
        (80, 80, 3)
    """
    height, width = image.shape[:2]
    beside, above = max(height - width, 0), max(width - height, 0)
    if beside or above:
        image = cv2.copyMakeBorder(
            image, above // 2, above - above // 2, beside // 2, beside - beside // 2, cv2.BORDER_REPLICATE
        )
    return resized(image, side, side)
