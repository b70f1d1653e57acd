"""matplotlib figures as files; colours that people with any colour vision tell apart."""

from __future__ import annotations

import io
from typing import Any

OKABE_ITO = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Colours of series (Okabe & Ito 2008), the darker ones first: they differ for people with any colour vision."""
SEQUENTIAL = "Blues"
"""Colour map of shares on paper: one hue, white for none, so that lightness alone tells the steps."""


def new_figure(width: float, height: float, columns: int = 1) -> tuple[Any, list[Any]]:
    """A figure of that many panels side by side, without the upper and right edge.

    Args:
        width: Inches.
        height: Inches.
        columns: Panels.

    Returns:
        The figure and its axes.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
    axes = [figure.add_subplot(1, columns, column + 1) for column in range(columns)]
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.tick_params(labelsize=9)
    return figure, axes


def encode_figure(figure: Any) -> bytes:
    """A matplotlib figure as a PNG file's bytes, without the name and version of matplotlib: the same every time."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
