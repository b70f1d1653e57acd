"""What the pages of runs, audit and agreement show."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from grace.pipeline.audit.report import METRICS, PLOTS
from grace.pipeline.errors import UserError
from grace.pipeline.messages import number_ranges
from grace.review.agreement import RATINGS, agreement, digest, sample
from grace.review.catalogue import numbers
from grace.review.charts import epochs, history_points, matrix_cells, polyline
from grace.review.corrections import person_name
from grace.review.query import TEXTS, Filter
from grace.review.runs import Predictions, compare, curves
from grace.review.state import Review
from grace.review.text_marks import KINDS, bits
from grace.review.video import has_video

AUDIT_PLOTS = ("lengths", "coverage", "emotions", "truth")
WIDTH, HEIGHT = 320, 160
"""Pixels of a chart's plane."""
CURVES = {
    "Training loss": ("loss", "train_loss"),
    "Validation UAR and WAR": ("validation_uar", "validation_war", "test_uar", "test_war"),
}


def runs_page(review: Review, name: str, versus: str) -> dict[str, Any]:
    """Scores of a run, and beside it those of a second one."""
    catalogue, runs = review.live.get(), review.runs()
    first = review.predictions(catalogue, name, runs)
    second = review.predictions(catalogue, versus, runs) if versus else None
    content: dict[str, Any] = {
        "runs": list(runs),
        "run": "",
        "versus": "",
        "sides": [],
        "comparison": None,
        "unlike": False,
    }
    if first is None:
        return content
    sides = [first] if second is None else [first, second]
    alike = second is not None and first.labels == second.labels
    return content | {
        "run": first.run.name,
        "versus": second.run.name if second else "",
        "sides": [_side(each) for each in sides],
        "comparison": compare(first, second) if second is not None and alike else None,
        "unlike": second is not None and not alike,
        "width": WIDTH,
        "height": HEIGHT,
        "filter": Filter,
    }


def _side(run: Predictions) -> dict[str, Any]:
    config = run.run.config()
    scores = run.scores
    points = run.risk_coverage
    top = max([0.05, *(risk for _, risk in points)])
    return {
        "name": run.run.name,
        "method": config.settings.method,
        "protocol": config.protocol,
        "folds": number_ranges(run.run.folders),
        "labels": run.labels,
        "repeated": run.repeated,
        "confidence": run.scoring.confidence,
        "scores": scores,
        "matrix": matrix_cells(scores["confusion"]) if scores else [],
        "risk": {"points": polyline(points, WIDTH, HEIGHT, top), "top": top, "full": points[-1][1] if points else None},
        "curves": _curves(run),
    }


def _curves(run: Predictions) -> list[dict[str, Any]]:
    """One chart per entry of :data:`CURVES`: a line per fold and column of ``history.csv``."""
    histories = curves(run.run)
    charts = []
    for title, wanted in CURVES.items():
        drawn = {column: points for column in wanted if (points := history_points(histories, column))}
        if not drawn:
            continue
        top = max(1e-9, *(value for by_fold in drawn.values() for points in by_fold.values() for _, value in points))
        lines = [
            {"name": column, "fold": fold, "style": number, "points": polyline(points, WIDTH, HEIGHT, top)}
            for number, (column, by_fold) in enumerate(drawn.items())
            for fold, points in by_fold.items()
        ]
        charts.append({"title": title, "lines": lines, "columns": list(drawn), "top": top, "epochs": epochs(histories)})
    return charts


def audit_page(review: Review) -> dict[str, Any]:
    """How many texts say what, each count with its filter, and what ``grace audit`` wrote."""
    catalogue = review.live.get()
    marks = {}
    for text in TEXTS:
        stage = catalogue.stages[f"{text}s"]
        if (stage.at >= 0).any():
            marks[text] = numbers(stage.table["marks"])[stage.at[stage.at >= 0]]
    groups = [
        (kind, [(name, [_share(of, f"{kind}:{name}") for of in marks.values()]) for name in names])
        for kind, names in KINDS.items()
    ]
    folder = review.folder / "audit"
    return {
        "texts": [(text, len(of)) for text, of in marks.items()],
        "groups": groups,
        "report": _report(review),
        "plots": [name for name in AUDIT_PLOTS if (folder / PLOTS / f"{name}.png").is_file()],
        "filter": Filter,
    }


def _share(marks: np.ndarray, name: str) -> tuple[int, float]:
    """How many texts have a mark, and their share."""
    count = int(((marks & bits()[name]) != 0).sum())
    return count, count / len(marks)


def _report(review: Review) -> list[tuple[str, list[tuple[str, str]]]]:
    """The numbers of the audit's report, by kind of text."""
    path = review.folder / "audit" / METRICS
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        return [(kind, list(_numbers(found))) for kind, found in report.items() if isinstance(found, dict)]
    except FileNotFoundError:
        return []
    except (ValueError, OSError, AttributeError):
        raise UserError(f"{path} cannot be read: run `grace audit` again.") from None


def _numbers(found: dict[str, Any], before: str = "") -> Any:
    for name, value in found.items():
        shown = f"{before}{name}".replace("_", " ")
        if isinstance(value, dict) and name not in ("share", "table"):
            yield from _numbers(value, f"{shown}, ")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield shown, f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def rate_page(review: Review, kind: str, rater: str) -> dict[str, Any]:
    """The next clip of the sample that a rater has not rated; nothing of label, predictions or others' ratings."""
    catalogue, rater = review.live.get(), person_name(rater)
    kinds = [text for text in TEXTS if catalogue.stages[f"{text}s"].status.max(initial=-1) >= 0]
    kind = kind or (kinds[-1] if kinds else "")
    if kind and kind not in kinds:
        raise UserError(f"There are no texts of the kind '{kind[:40]}' to rate yet.")
    clips = sample(catalogue, kind) if kind else []
    mine = {each.clip_id: each for each in review.ratings.all() if each.rater == rater and each.kind == kind}
    texts = [catalogue.text(clip, kind) for clip in clips]
    ids = [catalogue.clip_id(clip) for clip in clips]
    done = [clip_id in mine and mine[clip_id].text == digest(text) for clip_id, text in zip(ids, texts, strict=True)]
    left = next((number for number, rated in enumerate(done) if not rated), None) if rater else None
    return {
        "kind": kind,
        "kinds": kinds,
        "rater": rater,
        "of": len(clips),
        "done": sum(done),
        "clip": ids[left] if left is not None else "",
        "text": texts[left] if left is not None else "",
        "video": left is not None and has_video(catalogue, clips[left], review.root),
        "ratings": RATINGS[::-1],
    }


def agreement_page(review: Review) -> dict[str, Any]:
    """Agreement of all raters so far."""
    catalogue = review.live.get()
    ratings = review.ratings.all()
    texts = {}
    for each in ratings:
        clip = catalogue.positions.get(each.clip_id)
        if clip is not None and each.kind in TEXTS:
            texts[each.clip_id, each.kind] = digest(catalogue.text(clip, each.kind))
    return {"found": agreement(ratings, texts)}
