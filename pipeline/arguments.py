"""Arguments of the public interface: paths of clips, names and numbers, as callers from Python give them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any

from grace.pipeline.errors import UserError

SHORTEST_WINDOW = 0.1
SHORTEST_STRIDE = 0.05
"""The smallest window of a clip and the smallest step to the next one, seconds."""


def as_list(values: Any) -> list[Any]:
    """Several values as a list; a string or a path is one value, not its characters.

    Example:
        >>> as_list("faces"), as_list(["faces", "motion"])
        (['faces'], ['faces', 'motion'])
    """
    return list(values) if isinstance(values, Iterable) and not isinstance(values, str | PathLike) else [values]


def clip_path(clip: str | Path) -> Path:
    """The path of one clip, which need not exist.

    Raises:
        UserError: It is no path.

    Example:
        >>> clip_path("a.mp4").suffix
        '.mp4'
    """
    if not isinstance(clip, str | PathLike):
        raise UserError(f"A clip is the path of a video or of a folder of frames, not of type {type(clip).__name__}.")
    return Path(clip)


def clip_paths(clips: str | Path | Iterable[str | Path]) -> list[Path]:
    """The paths of several clips, or of one.

    Raises:
        UserError: One of them is no path.

    Example:
        >>> [path.name for path in clip_paths("a.mp4")]
        ['a.mp4']
    """
    return [clip_path(clip) for clip in as_list(clips)]


def check_at_least(name: str, value: float, least: float) -> None:
    """Refuse what is not a number from ``least`` on.

    Args:
        name: What the number is called in the message.
        value: The number.
        least: The smallest that will do.

    Raises:
        UserError: ``value`` is no number, not finite, or less than ``least``.

    Example:
        >>> check_at_least("stride", 1, 0.05)
    """
    if not isinstance(value, Real) or not math.isfinite(value) or value < least:
        raise UserError(f"{name} must be a number and at least {least}, not {value!r}.")
