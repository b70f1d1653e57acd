"""What stands around a sheet: a title, a legend, a colour scale and an axis of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from grace.pipeline.media.images import BGRImage

FONT = cv2.FONT_HERSHEY_SIMPLEX
PAPER, INK, SOFT = (40, 40, 40), (255, 255, 255), (190, 190, 190)
HEAD, LINE, AXIS = 28, 20, 40
"""Heights in pixels: of the title, of a line of the legend, and of the axis of time."""
MARGIN = 8
BAR = 120
"""Width of the colour scale, pixels."""
TEXT = 0.42
COLOUR_MAP = cv2.COLORMAP_VIRIDIS
"""Of maps: its steps of lightness are even for people with any colour vision (Smith & van der Walt 2015)."""

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Swatch:
    """An entry of a legend: a colour (blue, green, red) and what it means."""

    colour: Colour
    meaning: str


@dataclass(frozen=True)
class Scale:
    """What the two ends of the colour map mean."""

    low: str
    high: str


def framed(
    sheet: BGRImage,
    title: str,
    legend: Sequence[Swatch] = (),
    times: Float[np.ndarray, " instants"] | None = None,
    scale: Scale | None = None,
) -> BGRImage:
    """A sheet under its title and legend, and above an axis with a mark at each instant.

    Args:
        sheet: The picture.
        title: One line; letters that the font lacks are shown as ``?``.
        legend: Colours and their meanings, over as many lines as they need.
        times: Of the instants, in seconds from the clip's start.
        scale: What the colours of maps mean.

    Returns:
        The picture, as wide as the sheet.

    Example:
        >>> sheet = np.zeros((100, 400, 3), np.uint8)
        >>> framed(sheet, "00003 motion", times=np.array([0.0, 0.5, 1.0])).shape  # 28 + 100 + 40
        (168, 400, 3)
    """
    parts = [_title(title, sheet.shape[1]), *_legend(legend, scale, sheet.shape[1]), sheet]
    if times is not None and len(times):
        parts.append(_axis(np.asarray(times, dtype=np.float64), sheet.shape[1]))
    return np.concatenate(parts, axis=0)


def _strip(height: int, width: int) -> BGRImage:
    return np.full((height, width, 3), PAPER, dtype=np.uint8)


def _write(image: BGRImage, words: str, x: int, y: int, colour: Colour, size: float = TEXT) -> None:
    plain = words.encode("ascii", "replace").decode()
    cv2.putText(image, plain, (x, y), FONT, size, colour, 1, cv2.LINE_AA)


def _width(words: str, size: float = TEXT) -> int:
    return int(cv2.getTextSize(words.encode("ascii", "replace").decode(), FONT, size, 1)[0][0])


def _title(words: str, width: int) -> BGRImage:
    strip = _strip(HEAD, width)
    size = min(0.55, 0.55 * (width - 2 * MARGIN) / max(_width(words, 0.55), 1))
    _write(strip, words, MARGIN, HEAD - 9, INK, size)
    return strip


def _legend(legend: Sequence[Swatch], scale: Scale | None, width: int) -> list[BGRImage]:
    """Lines of swatches and, first of all, the scale of colours; what does not fit goes to the next line."""
    lines: list[BGRImage] = []
    x = width
    for entry in ([scale] if scale else []) + list(legend):
        needed = _scale_width(entry) if isinstance(entry, Scale) else 16 + _width(entry.meaning) + 18
        if x + needed > width and x > MARGIN:
            lines.append(_strip(LINE, width))
            x = MARGIN
        if isinstance(entry, Scale):
            _draw_scale(lines[-1], entry, x)
        else:
            cv2.rectangle(lines[-1], (x, 5), (x + 10, 15), entry.colour, -1)
            _write(lines[-1], entry.meaning, x + 16, 14, SOFT)
        x += needed
    return lines


def _scale_width(scale: Scale) -> int:
    return _width(scale.low) + 8 + BAR + 8 + _width(scale.high) + 24


def _draw_scale(strip: BGRImage, scale: Scale, x: int) -> None:
    """The colour map from its lower to its upper end, both named."""
    _write(strip, scale.low, x, 14, SOFT)
    start = x + _width(scale.low) + 8
    room = max(0, min(BAR, strip.shape[1] - start))
    ramp = np.linspace(0, 255, BAR).astype(np.uint8)[None, :room]
    if room:
        strip[5:15, start : start + room] = cv2.applyColorMap(np.repeat(ramp, 10, axis=0), COLOUR_MAP)
    _write(strip, scale.high, start + BAR + 8, 14, SOFT)


def _axis(times: np.ndarray, width: int) -> BGRImage:
    """A line from the clip's start to its last instant, to scale, with a mark at each."""
    strip = _strip(AXIS, width)
    left, right, y = MARGIN + 4, width - MARGIN - 44, 12
    last = float(times.max()) or 1.0
    cv2.line(strip, (left, y), (right, y), SOFT, 1, cv2.LINE_AA)
    for time in times:
        x = round(left + (right - left) * float(time) / last)
        cv2.line(strip, (x, y - 5), (x, y + 5), INK, 1, cv2.LINE_AA)
    free = -1
    for time in (0.0, *times.tolist()):
        words = f"{time:.2f}" if time else "0 s"
        x = round(left + (right - left) * time / last)
        if x > free and (time == last or x + 2 * _width(words) < right or not time):
            _write(strip, words, x - 4, y + 20, SOFT, 0.36)
            free = x + _width(words, 0.36) + 10
    _write(strip, "seconds", right + 6, y + 4, SOFT, 0.32)
    return strip
