"""Whether a classifier that says 80 % is right eight times in ten (Guo et al., ICML 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

BINS = 10


@dataclass(frozen=True)
class Bin:
    """Clips whose highest probability lies in [``low``, ``high``): how many, their mean confidence, their accuracy."""

    low: float
    high: float
    clips: int
    confidence: float | None
    accuracy: float | None


def reliability(
    confidence: Float[np.ndarray, " clips"], right: Bool[np.ndarray, " clips"], bins: int = BINS
) -> list[Bin]:
    """Reliability diagram: clips by their confidence, in equal-width bins over [0, 1] (Guo et al. 2017, section 2).

    Args:
        confidence: highest probability of each clip.
        right: whether its class is the true one.
        bins: how many.

    Returns:
        One :class:`Bin` each, from low to high; means are None in an empty one.

    Example:
        >>> rows = reliability(np.array([0.55, 0.95, 0.95]), np.array([False, True, True]), bins=2)
        >>> rows[0]
        Bin(low=0.0, high=0.5, clips=0, confidence=None, accuracy=None)
        >>> rows[1].clips, round(rows[1].confidence, 3), round(rows[1].accuracy, 3)
        (3, 0.817, 0.667)
    """
    number_of = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = []
    for number in range(bins):
        inside = number_of == number
        some = bool(inside.any())
        sure = round(float(confidence[inside].mean()), 6) if some else None
        correct = round(float(right[inside].mean()), 6) if some else None
        rows.append(Bin(number / bins, (number + 1) / bins, int(inside.sum()), sure, correct))
    return rows


def expected_calibration_error(rows: list[Bin]) -> float | None:
    """ECE = Σ_bins (share of the clips) · |accuracy − confidence| (Guo et al. 2017, eq. 3).

    Args:
        rows: bins of :func:`reliability`.

    Returns:
        A share in [0, 1]; None without clips.

    Example:
        >>> expected_calibration_error(reliability(np.array([0.8, 0.8]), np.array([True, False])))
        0.3
    """
    total = sum(row.clips for row in rows)
    if not total:
        return None
    gaps = [row.clips * abs(row.accuracy - row.confidence) for row in rows if row.accuracy is not None]  # type: ignore[operator]
    return round(sum(gaps) / total, 6)
