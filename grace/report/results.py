"""What the report says of a method: scores with intervals over people, confusion, reliability, its worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from grace.pipeline.store import Row
from grace.report.pictures import HEIGHT, WIDTH, reliability_bars
from grace.report.texts import example
from grace.review.catalogue import Catalogue
from grace.review.charts import epochs, history_points, matrix_cells, polyline, risk_coverage
from grace.trainer.evaluate import Joined
from grace.trainer.metrics import confusion, most_confused
from grace.trainer.runs import class_indices
from grace.trainer.settings import METHODS

MISTAKES = 8


def results_section(catalogue: Catalogue, joined: Joined, samples: int, confidence: float) -> dict[str, Any]:
    """The scores of a method over its folds, as plain values; shares in [0, 1]."""
    scores, rows = {"seeds": None, "without_text": None, **joined.scores}, joined.rows
    names = list(scores["recall"])
    labels, predicted = class_indices(rows, names)
    counts = confusion(labels, predicted, len(names))
    return {
        "method": joined.result["method"],
        "what": METHODS.get(joined.result["method"], ""),
        "protocol": joined.result["protocol"],
        "scores": scores,
        "people": _people(catalogue, rows) if scores["interval"]["over"] == "people" else None,
        "spans": _spans(scores, names),
        "confidence": confidence,
        "samples": samples,
        "names": names,
        "matrix": matrix_cells(counts.tolist()),
        "confused": _confused(counts, names),
        "bars": reliability_bars(scores["calibration"]),
        "risk": _risk(rows),
        "curves": _curves(joined),
        "mistakes": _mistakes(catalogue, rows),
    }


def _people(catalogue: Catalogue, rows: Sequence[Row]) -> int:
    """How many people these clips show."""
    clips = [catalogue.positions[row["clip_id"]] for row in rows]
    return len(np.unique(catalogue.subject.codes[clips]))


def _spans(scores: dict[str, Any], names: Sequence[str]) -> dict[str, list[float | None]]:
    """The intervals of all scores by one name each."""
    found = scores["interval"]
    spans = {name: found[name] for name in ("UAR", "WAR", "tail")} | found["pairs"]
    return spans | {name: found["recall"][name] for name in names}


def _confused(counts: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """The pairs that are taken for each other most, each way."""
    return [
        {
            "first": first,
            "second": second,
            "there": int(counts[names.index(first), names.index(second)]),
            "back": int(counts[names.index(second), names.index(first)]),
        }
        for first, second in most_confused(counts, list(names))
    ]


def _risk(rows: Sequence[Row]) -> dict[str, Any]:
    """Share of wrong clips among the most confident ones."""
    scored = [row for row in rows if row["predicted"]]
    confidence = np.array([max(row["probabilities"]) for row in scored], np.float64)
    points = risk_coverage(confidence, np.array([row["predicted"] == row["label"] for row in scored], bool), len(rows))
    top = max(0.1, *(float(np.ceil(risk * 10) / 10) for _, risk in points)) if points else 1.0
    return {"points": polyline(points, WIDTH, HEIGHT, top), "top": top}


def _curves(joined: Joined) -> list[dict[str, Any]]:
    """The loss and the score by which an epoch is chosen, a line per fold."""
    found = {name: history_points(joined.histories, name) for name in ("loss", "validation_uar", "best_test_uar")}
    score = next((name for name in ("validation_uar", "best_test_uar") if found[name]), "")
    charts = []
    for column, title in (("loss", "Loss"), (score, "UAR by which the epoch is chosen")):
        if not (by_fold := found.get(column)):
            continue
        top = 1.0 if column == score else max(value for points in by_fold.values() for _, value in points) or 1.0
        lines = [{"fold": fold, "points": polyline(points, WIDTH, HEIGHT, top)} for fold, points in by_fold.items()]
        charts.append({"title": title, "top": top, "lines": lines, "epochs": epochs(joined.histories)})
    return charts


def _mistakes(catalogue: Catalogue, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The clips of which the method was surest and wrong."""
    wrong = [row for row in rows if row["predicted"] and row["predicted"] != row["label"]]
    wrong.sort(key=lambda row: (-max(row["probabilities"]), row["clip_id"]))
    return [
        {
            **example(catalogue, catalogue.positions[row["clip_id"]]),
            "predicted": row["predicted"],
            "probability": float(max(row["probabilities"])),
            "fold": int(row["fold"]),
        }
        for row in wrong[:MISTAKES]
        if row["clip_id"] in catalogue.positions
    ]
