"""Whether a classifier that says 80 % is right eight times in ten (Guo et al., ICML 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

BINS = 10


@dataclass(frozen=True)
class Bin:
    """Clips whose highest probability lies in [``low``, ``high``): how many, how sure on average, how often right."""

    low: float
    high: float
    clips: int
    confidence: float | None
    accuracy: float | None


def reliability(
    confidence: Float[np.ndarray, " clips"], right: Bool[np.ndarray, " clips"], bins: int = BINS
) -> list[Bin]:
    """Equal-width bins over [0, 1]; means are None in an empty one."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = []
    for number in range(bins):
        inside = place == number
        some = bool(inside.any())
        sure = round(float(confidence[inside].mean()), 6) if some else None
        correct = round(float(right[inside].mean()), 6) if some else None
        rows.append(Bin(number / bins, (number + 1) / bins, int(inside.sum()), sure, correct))
    return rows


def expected_calibration_error(rows: list[Bin]) -> float | None:
    """ECE = Σ_bins (clips share) · |accuracy − confidence|; None without clips."""
    total = sum(row.clips for row in rows)
    if not total:
        return None
    gaps = [row.clips * abs(row.accuracy - row.confidence) for row in rows if row.accuracy is not None]  # type: ignore[operator]
    return round(sum(gaps) / total, 6)
