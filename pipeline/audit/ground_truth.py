"""Texts about the rendered world against what truly happened there.

Precision and recall are over all clips together (micro-averaged); a clip without text says nothing and misses all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

from grace.pipeline.audit.sources import Text
from grace.pipeline.world.sentences import INTENSITIES, find_actions, named_regions, phase
from grace.pipeline.world.timeline import Event

APART = 0.2
"""Seconds between two onsets below which neither movement is the first: a viewer sees them begin together."""

DETAILS = ("region", "action", "intensity", "phase")
"""What there is to say of a movement, as a cue says it."""

_PHASES = {
    "offset": re.compile(r"\b(?:relax\w*|fad\w+)\b", re.IGNORECASE),
    "onset": re.compile(r"\b(?:building|as the clip ends)\b", re.IGNORECASE),
    "apex": re.compile(r"\b(?:hold\w*|peak)\b", re.IGNORECASE),
}
"""How a clause says that a movement unfolds; "a peak that fades" is an offset, so that is looked for first."""


@dataclass(frozen=True)
class Movement:
    """One movement that happened: the details of a cue, and its onset in seconds."""

    region: str
    action: str
    intensity: str
    phase: str
    onset: float


Truth = dict[str, list[Movement]]
"""Clip to its movements in time order."""


def read_truth(root: Path) -> Truth | None:
    """The truth of the rendered world in ``root``, or None when the clips there are real."""
    import pyarrow.parquet as pq

    from grace.pipeline.world.truth import CLIPS

    file = Path(root) / CLIPS
    if not file.is_file():
        return None
    rows = pq.read_table(file, columns=["clip_id", "duration", "events"]).to_pylist()
    return {row["clip_id"]: [_movement(event, row["duration"]) for event in row["events"]] for row in rows}


def _movement(event: dict[str, Any], duration: float) -> Movement:
    fields = ("action", "intensity", "onset", "apex_start", "apex_end", "offset")
    unfolding = phase(Event(*(event[name] for name in fields)), duration)
    return Movement(event["region"], event["action"], event["level"], unfolding, event["onset"])


def truthfulness(texts: Iterable[Text], truth: Truth) -> dict[str, Any]:
    """Precision and recall of actions, regions and order, and specificity, each in [0, 1].

    Regions are named by their word or by a movement in them. Order is over pairs of movements: a pair is told when
    its first one comes first in the text, and true when it happened first (pairs that began within :data:`APART`
    seconds count neither way). Specificity is the share of all true movements' :data:`DETAILS` that the text states
    and has right, the region in so many words: 1 says everything of everything.
    """
    counts: Counter[str] = Counter()
    stated: Counter[str] = Counter()
    for text in texts:
        happened = truth.get(text.clip_id, [])
        said = find_actions(text.text)
        _count(counts, "actions", {action.name for action, _ in said}, {each.action for each in happened})
        _count(counts, "regions", named_regions(text.text), {each.region for each in happened})
        _count_order(counts, [action.name for action, _ in said], happened)
        clauses = {action.name: clause for action, clause in said}
        for movement in happened:
            stated.update(_details(movement, text.text, clauses.get(movement.action)))
        counts["clips"] += 1
        counts["movements"] += len(happened)
    scores: dict[str, Any] = {"clips": counts["clips"], "movements": counts["movements"]}
    for what in ("actions", "regions", "order"):
        scores[what] = {
            "precision": _share(counts[f"{what} right"], counts[f"{what} said"]),
            "recall": _share(counts[f"{what} right"], counts[f"{what} true"]),
        }
    details = {name: _share(stated[name], counts["movements"]) for name in DETAILS}
    total = sum(stated[name] for name in DETAILS)
    return scores | {"specificity": _share(total, len(DETAILS) * counts["movements"]), "details": details}


def _count(counts: Counter[str], what: str, said: set[Any], true: set[Any]) -> None:
    counts[f"{what} said"] += len(said)
    counts[f"{what} true"] += len(true)
    counts[f"{what} right"] += len(said & true)


def _count_order(counts: Counter[str], said: list[str], happened: list[Movement]) -> None:
    onset = {movement.action: movement.onset for movement in happened}
    together = {(a, b) for a, b in permutations(onset, 2) if abs(onset[a] - onset[b]) < APART}
    pairs = {(first, then) for place, first in enumerate(said) for then in said[place + 1 :]} - together
    _count(counts, "order", pairs, {(a, b) for a, b in permutations(onset, 2) if onset[a] < onset[b]} - together)


def _details(movement: Movement, text: str, clause: str | None) -> Iterable[str]:
    """The details of ``movement`` that ``text``, and the clause in which it tells of it, state and have right."""
    if clause is None:
        return
    yield "action"
    if re.search(rf"\b{movement.region}\b", text, re.IGNORECASE):
        yield "region"
    if next((word for word in clause.lower().split() if word.strip(",;.") in INTENSITIES), "").strip(",;.") == (
        movement.intensity
    ):
        yield "intensity"
    if next((name for name, pattern in _PHASES.items() if pattern.search(clause)), "") == movement.phase:
        yield "phase"


def _share(part: int, whole: int) -> float:
    """``part / whole``; nothing said or nothing to say is no error: 1."""
    return round(part / whole, 4) if whole else 1.0
