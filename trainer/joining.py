"""Late joining: how much each head counts, by the validation clips."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

PRIOR = 3.0
"""Clips' worth of belief that heads count alike: keeps weights from running away on few clips."""


def joining_weights(
    scores: Float[np.ndarray, "heads clips classes"],
    speaks: Bool[np.ndarray, "heads clips"],
    labels: Int[np.ndarray, " clips"],
) -> Float[np.ndarray, " heads"]:
    """Weights w ≥ 0 that minimise the class-balanced cross-entropy of Σ_h w_h · scores_h.

    A head that learned its training clips by heart is sure of itself and wrong; how far to believe it, only clips that
    it has not seen can say. The problem is convex (a logistic regression on few features, as in Wolpert, "Stacked
    generalization", 1992).

    Args:
        scores: Of each head, the class scores of clips that it was not trained on.
        speaks: Whether it says something of a clip: heads that read texts are silent without one.
        labels: The classes of the clips.

    Example:
        >>> right, random = np.eye(3)[np.arange(60) % 3] * 4, np.random.default_rng(0).normal(size=(60, 3)) * 4
        >>> weights = joining_weights(np.stack([right, random]), np.ones((2, 60), bool), np.arange(60) % 3)
        >>> bool(weights[0] > 5 * weights[1])
        True
    """
    from scipy.optimize import minimize

    heads, clips, _ = scores.shape
    heard = scores.astype(np.float64) * speaks[..., None]
    counts = np.bincount(labels)[labels]
    share = 1 / (counts * len(np.unique(labels)))  # of each clip in the loss: classes count alike
    start, everyone = np.full(heads, 1.0), np.arange(clips)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = np.einsum("h,hck->ck", weights, heard)
        logits -= logits.max(1, keepdims=True)
        probabilities = np.exp(logits)
        total = probabilities.sum(1)
        value = (share * (np.log(total) - logits[everyone, labels])).sum()
        probabilities /= total[:, None]
        probabilities[everyone, labels] -= 1
        gradient = np.einsum("c,ck,hck->h", share, probabilities, heard)
        pull = weights - weights.mean()
        return float(value + PRIOR / clips * (pull**2).sum() / 2), gradient + PRIOR / clips * pull

    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * heads)
    weights: Float[np.ndarray, " heads"] = found.x if found.x.any() else start
    return weights
