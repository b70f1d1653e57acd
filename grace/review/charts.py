"""Scores as cells and lines: what the pages of runs and the report draw from the same counts and histories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

MAX_POINTS = 200
"""Points of a risk–coverage curve, of however many clips."""

Points = list[tuple[float, float]]
Histories = Mapping[int, Sequence[Mapping[str, float]]]
"""Of each fold, its numbers by epoch, as ``history.csv`` holds them."""


@dataclass(frozen=True)
class Cell:
    """A cell of a confusion matrix: its clips, and their share of those of the class."""

    clips: int
    share: float

    @property
    def shade(self) -> int:
        """The share in steps from 0 to 9."""
        return min(9, round(9 * self.share))


def matrix_cells(counts: Sequence[Sequence[int]]) -> list[list[Cell]]:
    """The cells of a confusion matrix, whose rows are the actual classes.

    Example:
        >>> matrix_cells([[3, 1], [0, 0]])[0]
        [Cell(clips=3, share=0.75), Cell(clips=1, share=0.25)]
    """
    return [[Cell(int(count), float(count / max(1, sum(row)))) for count in row] for row in counts]


def risk_coverage(confidence: Float[np.ndarray, " clips"], right: Bool[np.ndarray, " clips"], total: int) -> Points:
    """Share of clips kept, the most confident first, and share of these that are wrong (El-Yaniv & Wiener, JMLR 2010).

    Args:
        confidence: Probability of the predicted class of each clip that has one.
        right: Whether that class is the label.
        total: All clips, those without a prediction too.

    Example:
        >>> risk_coverage(np.array([0.6, 0.9]), np.array([False, True]), total=4)
        [(0.25, 0.0), (0.5, 0.5)]
    """
    if not len(confidence):
        return []
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum(~right[order]) / np.arange(1, len(order) + 1)
    shown = np.unique(np.linspace(0, len(order) - 1, min(MAX_POINTS, len(order))).astype(int))
    return [((int(at) + 1) / total, float(wrong[at])) for at in shown]


def history_points(histories: Histories, column: str) -> dict[int, Points]:
    """A column of each fold that has it, against the epochs of all folds as [0, 1].

    Example:
        >>> history_points({1: [{"epoch": 1.0, "loss": 2.0}, {"epoch": 3.0, "loss": 1.0}], 2: []}, "loss")
        {1: [(0.0, 2.0), (1.0, 1.0)]}
    """
    last = epochs(histories)
    found = {
        fold: [((row["epoch"] - 1) / max(last - 1, 1), max(0.0, row[column])) for row in rows if column in row]
        for fold, rows in histories.items()
    }
    return {fold: points for fold, points in found.items() if points}


def epochs(histories: Histories) -> int:
    """The last epoch of any fold; 1 where there is none."""
    return int(max((row["epoch"] for rows in histories.values() for row in rows), default=1))


def polyline(points: Sequence[tuple[float, float]], width: float, height: float, top: float = 1.0) -> str:
    """Points of [0, 1] × [0, ``top``] as the ``points`` of an SVG line.

    Example:
        >>> polyline([(0, 0), (1, 0.5)], 200, 100)
        '0.0,100.0 200.0,50.0'
    """
    return " ".join(f"{x * width:.1f},{height - min(y / top, 1.0) * height:.1f}" for x, y in points)
