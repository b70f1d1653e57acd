"""What each page shows, as plain values for its template."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import yaml

from grace.pipeline.errors import UserError
from grace.pipeline.messages import number_ranges
from grace.pipeline.store import Row, Store
from grace.pipeline.store.schemas import DESCRIPTIONS, STORES
from grace.pipeline.vocabulary import INTENSITIES, PHASES, REGIONS
from grace.review import query
from grace.review.catalogue import STATUSES, Catalogue
from grace.review.corrections import Said
from grace.review.links import Links
from grace.review.pictures import faces_row
from grace.review.query import PAGE, Filter, People, select
from grace.review.runs import Predictions
from grace.review.state import Review
from grace.review.text_marks import KINDS
from grace.review.video import has_video

TOP_SUBJECTS, TOP_CAUSES = 300, 20
"""How many values are offered; others can be typed, or come by a link."""
NEIGHBOURS = 6


def gallery(review: Review, asked: Filter, links: Links, page: int = PAGE) -> dict[str, Any]:
    """The gallery under a filter: the clips of its page, the choices of its form, and how many clips each has."""
    catalogue = review.live.get()
    first, second = review.pair(catalogue, asked)
    people = review.people(catalogue)
    found = select(catalogue, asked, first, second, people)
    pages = max(1, math.ceil(len(found) / page))
    number = min(asked.page, pages)
    shown = found[(number - 1) * page : number * page].tolist()
    return {
        "asked": asked,
        "total": len(catalogue),
        "found": len(found),
        "page": number,
        "pages": pages,
        "first_shown": (number - 1) * page + 1 if shown else 0,
        "last_shown": (number - 1) * page + len(shown),
        "clips": [card(catalogue, clip, first, second, people) for clip in shown],
        "chips": chips(asked, links),
        "choices": _choices(review, catalogue, asked, found, first),
        "run": first.run.name if first else "",
    }


def card(
    catalogue: Catalogue, clip: int, first: Predictions | None, second: Predictions | None, people: People
) -> dict[str, Any]:
    """What the gallery shows of a clip."""
    status = STATUSES[max(0, int(catalogue.status[clip]))]
    return {
        "id": catalogue.clip_id(clip),
        "label": catalogue.label[clip],
        "status": status,
        "cause": catalogue.cause[clip],
        "text": catalogue.text(clip, "description") or catalogue.text(clip, "caption"),
        "strip": catalogue.stages["faces"].status[clip] in (0, 1),
        "predictions": [_prediction(run, clip) for run in (first, second) if run is not None],
        "corrected": clip in people.corrected,
        "mark": "unusable" if clip in people.unusable else "doubtful" if clip in people.doubtful else "",
    }


def _prediction(run: Predictions, clip: int) -> dict[str, Any]:
    label = run.labels[int(run.predicted[clip])] if run.scored[clip] else ""
    return {
        "run": run.run.name,
        "fold": int(run.fold[clip]),
        "predicted": label,
        "confidence": float(run.confidence[clip]),
        "right": bool(run.right[clip]),
        "tested": bool(run.tested[clip]),
    }


def _choices(
    review: Review, catalogue: Catalogue, asked: Filter, found: np.ndarray, first: Predictions | None
) -> dict[str, Any]:
    """The values that each part of the filter can have; those of labels, status and causes with their clips."""
    labels = np.bincount(catalogue.label.codes[found] + 1, minlength=len(catalogue.labels) + 1)[1:]
    statuses = np.bincount(np.maximum(catalogue.status[found], 0), minlength=len(STATUSES))
    causes = np.bincount(catalogue.cause.codes[found] + 1, minlength=len(catalogue.cause.values) + 1)[1:]
    predicted: list[int] = []
    if first is not None:
        predicted = np.bincount(first.predicted[found] + 1, minlength=len(first.labels) + 1)[1:].tolist()
    ranked = sorted(zip(catalogue.cause.values, causes.tolist(), strict=True), key=lambda item: -item[1])
    runs = list(review.runs())
    folds = [number for number, fold in catalogue.folds.items() if (fold.codes >= 0).any()]
    return {
        "label_shown": _counted(catalogue.labels, labels),
        "predicted_shown": _counted(first.labels, predicted) if first else [],
        "status_shown": _counted(STATUSES, statuses),
        "cause": ranked,
        "cause_shown": _counted(*zip(*ranked[:TOP_CAUSES], strict=True)) if ranked else [],
        "subject": catalogue.subject.values,
        "subject_shown": catalogue.subject.values[:TOP_SUBJECTS],
        "fold": folds,
        "fold_shown": [(number, number) for number in folds],
        "says": {kind: [f"{kind}:{mark}" for mark in marks] for kind, marks in KINDS.items()},
        "outcome_shown": list(query.OUTCOMES.items()),
        "mark_shown": [(mark, mark) for mark in query.MARKS],
        "sort_shown": [(name, shown) for name, shown in query.SORTS.items() if name != "clip"],
        "text_shown": [(name, name) for name in query.TEXTS],
        "run": runs,
        "run_shown": [(name, name) for name in runs],
    }


def _counted(values: Iterable[str], counts: Iterable[int]) -> list[tuple[str, str]]:
    return [(value, f"{value} · {count:,}") for value, count in zip(values, counts, strict=True)]


NAMES = {
    "q": "search",
    "text": "in",
    "low": "confidence from",
    "high": "confidence to",
    "says": "says",
    "fold": "test fold",
    "mark": "people",
    "versus": "beside",
    "sort": "order",
}
"""How the parts of a filter are called where their key alone would not be understood."""


def chips(asked: Filter, links: Links) -> list[tuple[str, str, str]]:
    """Each part of a filter: its name, its value, and the address without it."""
    shown = {"sort": query.SORTS, "outcome": query.OUTCOMES}
    return [
        (NAMES.get(name, name), shown.get(name, {}).get(value, value), links.gallery(asked, **{name: ""}))
        for name, value in asked.pairs().items()
        if name != "run"
    ]


def clip(review: Review, clip_id: str, asked: Filter) -> dict[str, Any]:
    """Everything known about one clip.

    Raises:
        UserError: There is no such clip.
    """
    catalogue = review.live.get()
    number = catalogue.number_of(clip_id)
    first, second = review.pair(catalogue, asked)
    people = review.people(catalogue)
    order = select(catalogue, asked, first, second, people)
    faces = faces_row(catalogue, number, ["boxes", "times", "found", "size", "roll"])
    motion = _stored(catalogue, number, "motion", ["motion", "cut"])
    text = _stored(catalogue, number, "descriptions", [column.name for column in DESCRIPTIONS.all_columns]) or {}
    said = review.said().get(clip_id)
    return {
        "asked": asked,
        "id": clip_id,
        "card": card(catalogue, number, first, second, people),
        "around": _around(catalogue, order, number),
        "facts": {name: catalogue.cell(number, name) for name in ("path", "source", "n_frames", "fps", "subject")},
        "size": [int(catalogue.cell(number, "width")), int(catalogue.cell(number, "height"))],
        "parts": {part: number_ranges(folds) for part, folds in _folds_by_part(catalogue, number).items()},
        "stages": _stages(catalogue, number),
        "caption": catalogue.text(number, "caption"),
        "description": text.get("description") or "",
        "cues": text.get("cues") or [],
        "engine": text.get("engine") or "",
        "model": text.get("model") or "",
        "said": asdict(said or Said()),
        "version": (said or Said()).version,
        "history": review.corrections.entries(clip_id)[::-1],
        "probabilities": _probabilities(first, number),
        "has_video": has_video(catalogue, number, review.root),
        "data": _timeline(catalogue, number, faces, motion),
        "settings": _settings(catalogue, number),
        "vocabulary": {"region": REGIONS, "intensity": INTENSITIES, "phase": PHASES},
        "run": first.run.name if first else "",
        "runs": list(review.runs()),
    }


def neighbours(
    review: Review, clip_id: str, links: Links, among: Collection[str] | None = None
) -> list[dict[str, Any]]:
    """The clips nearest in token space, the nearest first.

    Args:
        review: The data set.
        clip_id: The clip.
        links: Addresses of their pages and pictures.
        among: The clips that may be shown; all of them if not given.

    Raises:
        UserError: There is no such clip.
    """
    catalogue = review.live.get()
    number = catalogue.number_of(clip_id)
    looked_at = NEIGHBOURS if among is None else len(catalogue)
    near = [(catalogue.clip_id(at), at, like) for at, like in review.neighbours.nearest(catalogue, number, looked_at)]
    return [
        {
            "id": other,
            "label": catalogue.label[at],
            "likeness": like,
            "href": links.clip(other, Filter()),
            "strip": links.picture("strip", other),
        }
        for other, at, like in near
        if among is None or other in among
    ][:NEIGHBOURS]


def _stored(catalogue: Catalogue, number: int, store: str, columns: Sequence[str]) -> Row | None:
    """Columns of a clip's row of a store; None where it has none or failed."""
    stage = catalogue.stages[store]
    if stage.status[number] not in (0, 1):
        return None
    shard = stage.value(number, "shard")
    return Store(catalogue.folder / store, STORES[store]).read_row(shard, catalogue.clip_id(number), columns)


def _folds_by_part(catalogue: Catalogue, number: int) -> dict[str, list[int]]:
    """The parts that a clip is in, and in which folds: a set may have one fold for each of hundreds of people."""
    parts: dict[str, list[int]] = {}
    for fold, values in catalogue.folds.items():
        if values[number]:
            parts.setdefault(values[number], []).append(fold)
    return parts


def _around(catalogue: Catalogue, order: np.ndarray, number: int) -> dict[str, Any]:
    place = np.flatnonzero(order == number)
    if not len(place):
        return {"place": 0, "of": len(order), "before": "", "after": ""}
    at = int(place[0])
    before = catalogue.clip_id(int(order[at - 1])) if at else ""
    after = catalogue.clip_id(int(order[at + 1])) if at + 1 < len(order) else ""
    return {"place": at + 1, "of": len(order), "before": before, "after": after}


def _stages(catalogue: Catalogue, number: int) -> list[dict[str, str]]:
    made = [{"name": "index", "status": catalogue.cell(number, "status"), "error": catalogue.cell(number, "error")}]
    for name, stage in catalogue.stages.items():
        code = int(stage.status[number])
        status = STATUSES[code] if code >= 0 else "not made yet"
        made.append({"name": name, "status": status, "error": stage.value(number, "error") or ""})
    return made


def _probabilities(run: Predictions | None, number: int) -> list[tuple[str, float]]:
    if run is None or not run.scored[number]:
        return []
    pairs = zip(run.labels, run.probabilities[number].tolist(), strict=True)
    return sorted(pairs, key=lambda pair: -pair[1])


def _timeline(catalogue: Catalogue, number: int, faces: Row | None, motion: Row | None) -> dict[str, Any]:
    """What the page's script draws: times, boxes, motion; plain values, arrays as base64 bytes."""
    fps = float(catalogue.cell(number, "fps")) or 25.0
    data: dict[str, Any] = {"duration": int(catalogue.cell(number, "n_frames")) / fps, "times": [], "side": 0}
    if faces is not None:
        data |= {
            "times": faces["times"].round(4).tolist(),
            "boxes": faces["boxes"].round(1).tolist(),
            "found": faces["found"].tolist(),
            "size": faces["size"].tolist(),
            "roll": np.degrees(faces["roll"]).round(2).tolist() if faces.get("roll") is not None else [],
        }
    if motion is not None and faces is not None:
        levels = (np.clip(motion["motion"].astype(np.float32), 0, 1) * 255).astype(np.uint8)
        data |= {
            "motion": base64.b64encode(levels.tobytes()).decode(),
            "grid": int(levels.shape[1]),
            "cut": motion["cut"].tolist(),
        }
    return data


def _settings(catalogue: Catalogue, number: int) -> dict[str, str]:
    """What made each stage's row of the clip: version and cache key, as YAML."""
    shard = catalogue.shard(number)
    found = {}
    for name, schema in STORES.items():
        store = Store(catalogue.folder / name, schema)
        if shard is not None and store.path(shard).exists():
            try:
                meta = store.meta(shard)
            except UserError:
                continue
            kept = {"version": meta.get("version"), **_plain(meta.get("cache_key"))}
            found[name] = yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=100)
    return found


def _plain(cache_key: Any) -> dict[str, Any]:
    plain = json.loads(json.dumps(cache_key, default=str))
    return plain if isinstance(plain, dict) else {"made with": plain}
