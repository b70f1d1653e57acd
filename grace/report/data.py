"""What the report says of the clips: how many, of whom, in which folds, and what became of them in each stage."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from grace.pipeline.messages import cause_of
from grace.review.catalogue import PARTS, STATUSES, Catalogue

MOST_CAUSES = 4


def data_section(catalogue: Catalogue) -> dict[str, Any]:
    """The numbers of the section on data, as plain values."""
    frames, rate = _column(catalogue, "n_frames"), _column(catalogue, "fps")
    known = (frames > 0) & (rate > 0)
    seconds = frames[known] / rate[known]
    return {
        "clips": len(catalogue),
        "unlabelled": int((catalogue.label.codes < 0).sum()),
        "people": len(catalogue.subject.values),
        "nobody": int((catalogue.subject.codes < 0).sum()),
        "hours": float(seconds.sum()) / 3600 if known.any() else None,
        "spread": _spread(catalogue, frames, seconds),
        "classes": [_class(catalogue, code, name) for code, name in enumerate(catalogue.labels)],
        "folds": [_fold(catalogue, fold) for fold in catalogue.folds],
        "stages": [_index_stage(catalogue), *(_stage(catalogue, name) for name in catalogue.stages)],
    }


def _column(catalogue: Catalogue, name: str) -> np.ndarray:
    return np.nan_to_num(catalogue.table[name].to_numpy(zero_copy_only=False).astype(np.float64))


def _spread(catalogue: Catalogue, frames: np.ndarray, seconds: np.ndarray) -> list[tuple[str, str]]:
    """Median and middle 90 % of what clips are like."""
    sizes = {"frames": frames[frames > 0], "seconds": seconds}
    sizes |= {name: _column(catalogue, name) for name in ("width", "height", "fps")}
    rows = []
    for name, values in sizes.items():
        if (values := values[values > 0]).size:
            low, middle, high = np.percentile(values, (5, 50, 95))
            digits = 1 if name in ("seconds", "fps") else 0
            rows.append((name, f"{middle:.{digits}f} ({low:.{digits}f} – {high:.{digits}f})"))
    return rows


def _people(catalogue: Catalogue, chosen: np.ndarray) -> set[int]:
    return set(np.unique(catalogue.subject.codes[chosen]).tolist()) - {-1}


def _class(catalogue: Catalogue, code: int, name: str) -> dict[str, Any]:
    chosen = catalogue.label.codes == code
    return {
        "name": name,
        "clips": int(chosen.sum()),
        "share": float(chosen.mean()) if len(chosen) else 0.0,
        "people": len(_people(catalogue, chosen)),
        "tested": int(sum((chosen & (parts.codes == parts.code("test"))).sum() for parts in catalogue.folds.values())),
    }


def _fold(catalogue: Catalogue, fold: int) -> dict[str, Any]:
    parts = catalogue.folds[fold]
    of_part = {name: parts.codes == parts.code(name) for name in PARTS}
    return {
        "fold": fold,
        "parts": {name: (int(of.sum()), len(_people(catalogue, of))) for name, of in of_part.items()},
        "shared": len(_people(catalogue, of_part["test"]) & _people(catalogue, of_part["train"] | of_part["val"])),
    }


def _index_stage(catalogue: Catalogue) -> dict[str, Any]:
    statuses = Counter(catalogue.table["status"].to_pylist())
    causes = Counter(cause_of(error) for error in catalogue.table["error"].to_pylist() if error)
    return _summary("index", [statuses.get(name, 0) for name in STATUSES], 0, causes)


def _stage(catalogue: Catalogue, name: str) -> dict[str, Any]:
    """A stage with its own failures; clips that an earlier stage failed are counted apart."""
    stage = catalogue.stages[name]
    counts, carried = [int((stage.status == code).sum()) for code in range(len(STATUSES))], 0
    causes: Counter[str] = Counter()
    for clip in np.flatnonzero(stage.status > 0).tolist():
        error = stage.value(clip, "error")
        own = error.startswith((f"{_step(name)}: ", f"{name}: ")) or stage.status[clip] == 1
        carried += not own
        if own and error:
            causes[cause_of(error).partition(": ")[2] or cause_of(error)] += 1
    return _summary(name, [counts[0], counts[1], counts[2] - carried], carried, causes)


def _step(store: str) -> str:
    """The step that fills a store, by which its errors begin."""
    return {"captions": "caption", "descriptions": "refine"}.get(store, store)


def _summary(name: str, counts: list[int], carried: int, causes: Counter[str]) -> dict[str, Any]:
    done = sum(counts)
    return {
        "name": name,
        "counts": dict(zip(STATUSES, counts, strict=True)),
        "carried": carried,
        "fallback": counts[1] / done if done else None,
        "causes": causes.most_common(MOST_CAUSES),
    }
