"""Smooth curves through control points, as one matrix product each."""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Float


def smooth(
    controls: Float[np.ndarray, "controls dims"], samples: int, closed: bool = False
) -> Float[np.ndarray, "samples dims"]:
    """Catmull–Rom curve through all ``controls``, sampled evenly in the parameter; exact at both ends when open.

    Args:
        controls: Points [controls, dims].
        samples: Points of the curve.
        closed: Whether the last point is joined to the first one; the first is not repeated then.

    Returns:
        Points [samples, dims].

    Example:
        >>> smooth(np.array([[0.0, 0.0], [1.0, 2.0]]), 3).tolist()
        [[0.0, 0.0], [0.5, 1.0], [1.0, 2.0]]
    """
    return _basis(len(controls), samples, closed) @ controls


@cache
def _basis(controls: int, samples: int, closed: bool) -> np.ndarray:
    """Weights [samples, controls] of the control points in every sample."""
    spans = controls if closed else controls - 1
    at = np.linspace(0, spans, samples, endpoint=not closed)
    span = np.minimum(at.astype(int), spans - 1)
    t = (at - span)[:, None]
    weights = np.concatenate(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3], axis=1
    )
    weights *= 0.5
    basis = np.zeros((samples, controls))
    rows = np.arange(samples)
    for offset in range(4):
        column = span + offset - 1
        if closed:
            np.add.at(basis, (rows, column % controls), weights[:, offset])
            continue
        before, after = column < 0, column >= controls
        inside = ~(before | after)
        np.add.at(basis, (rows[inside], column[inside]), weights[inside, offset])
        # A missing neighbour is mirrored through the end point, so the curve leaves it straight.
        for missing, end, inner in ((before, 0, 1), (after, controls - 1, controls - 2)):
            np.add.at(basis, (rows[missing], end), 2 * weights[missing, offset])
            np.add.at(basis, (rows[missing], inner), -weights[missing, offset])
    return basis
