"""Joins the folds of a method into scores and plots."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from grace.pipeline.store import Row, UserError, write_atomic
from grace.trainer.calibration import Bin, expected_calibration_error, reliability
from grace.trainer.metrics import confusion, scores
from grace.trainer.plots import write_plots
from grace.trainer.provenance import check_runs
from grace.trainer.runs import class_indices, fold_folder, open_run
from grace.trainer.settings import PREFIX
from grace.trainer.significance import intervals


def evaluate(
    dataset_folder: str | Path,
    method: str,
    folds: Sequence[int],
    samples: int = 1000,
    confidence: float = 0.95,
    runs: Path | None = None,
) -> dict[str, Any]:
    """Scores of all folds of a method together; writes ``metrics.json`` and ``plots/`` into ``dataset_folder``.

    UAR and WAR are means over the folds, as the field reports them; intervals, recall, pairs and confusion are of all
    test clips together. Clips that could not be scored count as wrong.

    Args:
        dataset_folder: ``data/<dataset>``.
        method: as in ``train.method``.
        folds: the folds to join, all trained.
        samples: bootstrap draws of the intervals.
        confidence: of the intervals.
        runs: the folder of runs; ``<dataset_folder>/runs`` if not given.

    Returns:
        The content of ``metrics.json``: ``method``, ``protocol``, and by the protocol's prefix all of
        :func:`~grace.trainer.metrics.scores` with ``interval``, ``folds`` and ``ECE``.

    Raises:
        UserError: a fold is not trained, is not what its folder says, or no longer fits the data set; or folds were
            trained with different settings.
        GraceError: the label was visible to the text of a test clip.

    Example:
        >>> result = evaluate("data/demo", "grace", folds=[1], samples=100)
        >>> result["protocol"], result["clips"], sorted(result["folds"])
        ('held-out', 18, ['1'])
        >>> low, high = result["interval"]["UAR"]
    """
    folder = Path(dataset_folder)
    if not folds:
        raise UserError("No fold was named: set folds in params.yaml, such as [1, 2].")
    found = {fold: open_run(fold_folder(runs or folder / "runs", method, fold)) for fold in folds}
    check_runs({fold_folder(runs or folder / "runs", method, fold): run for fold, run in found.items()}, folder)
    labels, protocol = found[folds[0]].config.labels, found[folds[0]].config.protocol
    predictions = {fold: run.predictions for fold, run in found.items()}
    rows = [row for of_fold in predictions.values() for row in of_fold]
    bins = _reliability(rows)
    metrics = {**_join(predictions, labels, samples, confidence), "ECE": expected_calibration_error(bins)}
    prefix = PREFIX[protocol]
    result = {"method": method, "protocol": protocol, **{f"{prefix}{name}": value for name, value in metrics.items()}}
    write_atomic(folder / "metrics.json", (json.dumps(result, indent=2) + "\n").encode())
    counts = confusion(*class_indices(rows, labels), len(labels))
    write_plots(folder / "plots", rows, counts, metrics, bins, f"{method}, protocol {protocol}")
    return result


def _join(predictions: dict[int, list[Row]], names: list[str], samples: int, confidence: float) -> dict[str, Any]:
    each = {fold: scores(*class_indices(rows, names), names) for fold, rows in predictions.items()}
    labels, predicted = class_indices([row for rows in predictions.values() for row in rows], names)
    together = scores(labels, predicted, names)
    bounds = intervals(labels, predicted, names, samples, confidence)
    interval = {
        "confidence": confidence,
        **{name: bounds[name] for name in ("UAR", "WAR", "tail")},
        "pairs": {pair: bounds[pair] for pair in together["pairs"]},
        "recall": {name: bounds[name] for name in names},
    }
    means = {name: round(float(np.mean([scored[name] for scored in each.values()])), 6) for name in ("UAR", "WAR")}
    return {**together, **means, "interval": interval, "folds": {str(fold): scored for fold, scored in each.items()}}


def _reliability(rows: Sequence[Row]) -> list[Bin]:
    """Bins of the clips that could be scored."""
    scored = [row for row in rows if row["predicted"]]
    confidence = np.array([max(row["probabilities"]) for row in scored], dtype=np.float64)
    return reliability(confidence, np.array([row["predicted"] == row["label"] for row in scored], dtype=bool))
