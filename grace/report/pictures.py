"""Pictures and charts that stand within the page itself."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from grace.review.catalogue import Catalogue
from grace.review.pictures import filmstrip

WIDTH, HEIGHT = 240.0, 150.0
"""Inside of a chart, in its own units."""


def strip_address(catalogue: Catalogue, clip: int) -> str:
    """A clip's filmstrip as a ``data:`` address; empty where it has no crops."""
    content = filmstrip(catalogue, clip)
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}" if content else ""


def reliability_bars(bins: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Bars of a reliability diagram: place, size and what each stands for.

    Example:
        >>> bins = [{"low": 0.5, "high": 1.0, "clips": 4, "accuracy": 0.5, "confidence": 0.75}]
        >>> bar = reliability_bars(bins)[0]
        >>> bar["x"], bar["y"], bar["width"], bar["height"]
        (120.0, 75.0, 120.0, 75.0)
    """
    return [
        {
            "x": each["low"] * WIDTH,
            "y": HEIGHT * (1 - each["accuracy"]),
            "width": (each["high"] - each["low"]) * WIDTH,
            "height": HEIGHT * each["accuracy"],
            "clips": each["clips"],
        }
        for each in bins
        if each["accuracy"] is not None
    ]
