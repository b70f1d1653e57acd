"""What the report says of captions and descriptions: what they name, who wrote them, and examples to read."""

from __future__ import annotations

from typing import Any

import numpy as np
import xxhash

from grace.pipeline.messages import percent
from grace.report.pictures import strip_address
from grace.review.catalogue import Catalogue
from grace.review.text_marks import KINDS, bits

EXAMPLES = 6


def texts_section(catalogue: Catalogue) -> dict[str, Any]:
    """Counts of each kind of text, and a few clips with theirs."""
    kinds = [_kind(catalogue, kind) for kind in ("caption", "description") if _written(catalogue, kind).any()]
    return {"kinds": kinds, "examples": [example(catalogue, clip) for clip in _sample(catalogue)]}


def example(catalogue: Catalogue, clip: int) -> dict[str, Any]:
    """A clip to look at: its name, label, filmstrip and texts. All of it is untrusted text."""
    return {
        "id": catalogue.clip_id(clip),
        "label": catalogue.label[clip],
        "subject": catalogue.subject[clip],
        "strip": strip_address(catalogue, clip),
        "caption": catalogue.text(clip, "caption"),
        "description": catalogue.text(clip, "description"),
    }


def _written(catalogue: Catalogue, kind: str) -> np.ndarray:
    """The clips that have a text of a kind."""
    status = catalogue.stages[f"{kind}s"].status
    return (status == 0) | (status == 1)


def _kind(catalogue: Catalogue, kind: str) -> dict[str, Any]:
    stage = catalogue.stages[f"{kind}s"]
    rows = stage.at[_written(catalogue, kind)]
    texts = [stage.table[kind][int(row)].as_py() or "" for row in rows]
    words = np.array([len(text.split()) for text in texts])
    low, middle, high = np.percentile(words, (5, 50, 95)).round().astype(int)
    marks = stage.table["marks"].to_numpy()[rows]
    faults = {name: _share(marks, [f"fault:{name}"]) for name in KINDS["fault"]}
    found = [
        ("texts", f"{len(texts):,}"),
        ("different texts", f"{len(set(texts)):,}"),
        ("words", f"{middle} ({low} – {high})"),
        ("fallback", percent(float((stage.status == 1).sum()) / len(rows))),
        ("name an action", percent(_share(marks, [f"action:{name}" for name in KINDS["action"]]))),
        ("claim an emotion", percent(_share(marks, [f"emotion:{name}" for name in KINDS["emotion"]]))),
        ("say who it is", percent(_share(marks, [f"identity:{name}" for name in KINDS["identity"]]))),
        *((name, percent(share)) for name, share in faults.items()),
    ]
    if kind == "description":
        corrected = sum(stage.table["engine"][int(row)].as_py() == "override" for row in rows)
        informed = sum(bool(stage.table["label_visible"][int(row)].as_py()) for row in rows)
        found += [("corrected by hand", f"{corrected:,}"), ("written with the label in view", f"{informed:,}")]
    return {"name": f"{kind}s", "numbers": found}


def _share(marks: np.ndarray, names: list[str]) -> float:
    mask = sum({bits()[name] for name in names})
    return float(((marks & mask) != 0).mean())


def _sample(catalogue: Catalogue) -> list[int]:
    """A few clips with texts, of different classes, the same ones every time."""
    chosen = np.flatnonzero(_written(catalogue, "caption") | _written(catalogue, "description")).tolist()
    drawn = sorted(chosen, key=lambda clip: xxhash.xxh3_64_hexdigest(catalogue.clip_id(clip).encode()))
    first: dict[int, int] = {}
    for clip in drawn:
        first.setdefault(int(catalogue.label.codes[clip]), clip)
    ordered = list(dict.fromkeys([*first.values(), *drawn[: EXAMPLES * 2]]))
    return ordered[:EXAMPLES]
