"""Anti-aliased polygons and lines at sub-pixel positions (OpenCV)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from grace.pipeline.world.identity import Colour
from grace.pipeline.world.pose import Points

Image = UInt8[np.ndarray, "height width 3"]

_SHIFT = 4  # fractional bits of a coordinate
_ONE = 1 << _SHIFT


def fixed(points: Points) -> np.ndarray:
    """Pixel coordinates as OpenCV's fixed-point integers."""
    return np.rint(points * _ONE - _ONE // 2).astype(np.int32)


def fill(image: np.ndarray, points: Points, colour: Colour | float) -> None:
    """Fill a polygon.

    Args:
        image: The picture, painted in place; of one channel or three.
        points: Corners [n, 2] in pixels, right and down.
        colour: Blue, green, red in [0, 255], or a single value.
    """
    cv2.fillPoly(image, [fixed(points)], colour, cv2.LINE_AA, _SHIFT)


def stroke(image: np.ndarray, points: Points, colour: Colour | float, thickness: float, closed: bool = False) -> None:
    """Draw a line through the points; at least one pixel thick.

    Args:
        image: The picture, painted in place; of one channel or three.
        points: Points [n, 2] in pixels, right and down.
        colour: Blue, green, red in [0, 255], or a single value.
        thickness: Pixels, rounded to whole ones.
        closed: Whether the last point is joined to the first one.
    """
    cv2.polylines(image, [fixed(points)], closed, colour, max(1, round(thickness)), cv2.LINE_AA, _SHIFT)


def strokes(
    image: np.ndarray, paths: Sequence[Points], colour: Colour | float, thickness: float, closed: bool = False
) -> None:
    """Draw several lines of one colour and thickness.

    Args:
        image: The picture, painted in place; of one channel or three.
        paths: The points of each line [n, 2] in pixels, right and down.
        colour: Blue, green, red in [0, 255], or a single value.
        thickness: Pixels, rounded to whole ones, one at least.
        closed: Whether each line's last point is joined to its first one.
    """
    cv2.polylines(image, [fixed(path) for path in paths], closed, colour, max(1, round(thickness)), cv2.LINE_AA, _SHIFT)


def ellipse(
    image: np.ndarray, centre: np.ndarray, across: float, down: float, roll: float, colour: Colour | float
) -> None:
    """Fill an ellipse with these half axes, turned by ``roll`` radians.

    Args:
        image: The picture, painted in place; of one channel or three.
        centre: Its place [2] in pixels, right and down.
        across: Half axis to the right, pixels.
        down: Half axis downwards, pixels.
        roll: Clockwise, radians.
        colour: Blue, green, red in [0, 255], or a single value.
    """
    at = (round(float(centre[0]) * _ONE) - _ONE // 2, round(float(centre[1]) * _ONE) - _ONE // 2)
    axes = (round(across * _ONE), round(down * _ONE))
    cv2.ellipse(image, at, axes, math.degrees(roll), 0, 360, colour, -1, cv2.LINE_AA, _SHIFT)


def disc(image: np.ndarray, centre: np.ndarray, radius: float, colour: Colour | float) -> None:
    """Fill a circle.

    Args:
        image: The picture, painted in place; of one channel or three.
        centre: Its place [2] in pixels, right and down.
        radius: Pixels.
        colour: Blue, green, red in [0, 255], or a single value.
    """
    at = (round(float(centre[0]) * _ONE) - _ONE // 2, round(float(centre[1]) * _ONE) - _ONE // 2)
    cv2.circle(image, at, round(radius * _ONE), colour, -1, cv2.LINE_AA, _SHIFT)


def lowered(points: Points, by: float) -> Points:
    """The points, ``by`` pixels further down."""
    return points + np.array([0.0, by])


def shade(colour: Colour, factor: float) -> Colour:
    """The colour in more (> 1) or less light."""
    blue, green, red = (min(255.0, channel * factor) for channel in colour)
    return blue, green, red


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """``share`` of the second colour in the first.

    Args:
        first: Blue, green, red in [0, 255].
        second: The same.
        share: In [0, 1]; at 0 the first colour, at 1 the second.

    Example:
        >>> mixed((0.0, 100.0, 200.0), (100.0, 100.0, 100.0), 0.5)
        (50.0, 100.0, 150.0)
    """
    blue, green, red = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return blue, green, red


@dataclass(frozen=True)
class Window:
    """A part of the picture, in whole pixels: only what is inside is computed."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def around(cls, points: Points, image: np.ndarray) -> Window:
        """The smallest window of ``image`` that holds ``points`` and their soft edges."""
        height, width = image.shape[:2]
        low, high = points.min(0), points.max(0)
        return cls(
            max(0, math.floor(low[0]) - 1),
            max(0, math.floor(low[1]) - 1),
            min(width, math.ceil(high[0]) + 2),
            min(height, math.ceil(high[1]) + 2),
        )

    @property
    def empty(self) -> bool:
        """Whether nothing of it is in the picture."""
        return self.right - self.left < 2 or self.bottom - self.top < 2

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top

    @property
    def origin(self) -> np.ndarray:
        """Its upper left pixel."""
        return np.array([self.left, self.top])

    def half(self, points: Points) -> Points:
        """Points of the picture as points of the window at half resolution."""
        return (points - self.origin) / 2

    def of(self, image: np.ndarray) -> np.ndarray:
        """The pixels, as a view."""
        return image[self.top : self.bottom, self.left : self.right]


def blend(image: Image, patch: UInt8[np.ndarray, "rows columns 3"], outline: Points, window: Window) -> None:
    """Put ``patch``, as large as the window, into the picture inside ``outline``.

    Args:
        image: The picture, painted in place.
        patch: [rows, columns, 3].
        outline: Corners [n, 2] in pixels of the picture, right and down; its edge is soft.
        window: The part of the picture that the patch covers.
    """
    mask = np.zeros(patch.shape[:2], np.uint8)
    fill(mask, outline - window.origin, 255.0)
    under = window.of(image)
    share = mask[:, :, None].astype(np.uint16)
    under[:] = ((under * (255 - share) + patch * share + 127) // 255).astype(np.uint8)
