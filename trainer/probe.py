"""The linear probe: a logistic regression on statistics of cached tokens, the floor of every trained method."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from grace.trainer.controls import Probe
from grace.trainer.data import Subset
from grace.trainer.metrics import uar, war
from grace.trainer.protocol import TrainSelection

PENALTIES = (0.001, 0.003, 0.01, 0.03, 0.1, 1.0)
"""Inverse strengths of the L2 penalty, of which the validation clips choose one, as they choose an epoch elsewhere."""


def fit_probe(model: Probe, selection: TrainSelection, size: int, column: str) -> tuple[int, list[dict[str, float]]]:
    """Fit a standardised :class:`~grace.trainer.controls.Probe` for each penalty and keep the best one's weights.

    Classes count alike in its loss.

    Args:
        model: The probe, on the CPU; its weights are replaced.
        selection: The clips to learn from, and those that choose the penalty.
        size: Clips that are read together.
        column: The name of the validation UAR in the history.

    Returns:
        The number of the penalty that was chosen, from 1, and a row for ``history.csv`` of each.
    """
    from sklearn.linear_model import LogisticRegression

    with torch.no_grad():
        train, labels = features(model, selection.train, size)
        held_out, true = features(model, selection.validation, size)
    # An L2 penalty keeps the weights in the space that the clips span: fewer numbers where features outnumber clips.
    basis = np.linalg.qr(train.T)[0] if len(train) < train.shape[1] else np.eye(train.shape[1], dtype=train.dtype)
    train, held_out = train @ basis, held_out @ basis
    history, best = [], (-1.0, 0)
    fitted = LogisticRegression(max_iter=5000, class_weight="balanced", warm_start=True)
    for number, strength in enumerate(PENALTIES, start=1):
        predicted = fitted.set_params(C=strength).fit(train, labels).predict(held_out)
        score = uar(true, predicted, model.config.classes)
        row = {"epoch": float(number), "inverse_penalty": strength, column: score}
        history.append({**row, column.replace("uar", "war"): war(true, predicted)})
        if score > best[0]:
            best = (score, number)
            _set_weights(model, fitted, basis)
    return best[1], history


def features(model: Probe, subset: Subset, size: int) -> tuple[Float[np.ndarray, "clips features"], np.ndarray]:
    """The standardised features of each clip, and its class.

    Args:
        model: The probe, on the CPU.
        subset: The clips.
        size: Clips that are read together.

    Returns:
        Features [clips, features], and indices into the data set's labels [clips].
    """
    rows = [model.standard(model.features(batch)).numpy() for batch, _ in subset.batches(size)]
    return np.concatenate(rows), subset.labels


def _set_weights(model: Probe, fitted: object, basis: np.ndarray) -> None:
    coefficients = np.asarray(fitted.coef_) @ basis.T  # type: ignore[attr-defined]
    offsets = np.asarray(fitted.intercept_)  # type: ignore[attr-defined]
    if len(coefficients) == 1:  # of two classes scikit-learn keeps the second one's alone
        coefficients, offsets = np.concatenate([-coefficients, coefficients]) / 2, np.r_[-offsets, offsets] / 2
    with torch.no_grad():
        model.linear.weight.copy_(torch.from_numpy(coefficients))
        model.linear.bias.copy_(torch.from_numpy(offsets))
