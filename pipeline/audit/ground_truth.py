"""Texts about the rendered world against what happened there.

Precision and recall are over all clips together (micro-averaged); a clip without text misses everything.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

from grace.pipeline.audit.sources import AuditedText
from grace.pipeline.errors import UserError
from grace.pipeline.store.checksum import verify
from grace.pipeline.vocabulary import CUE_FIELDS, INTENSITIES
from grace.pipeline.world.sentences import find_actions, named_regions, phase
from grace.pipeline.world.timeline import Event

SIMULTANEOUS = 0.2
"""Two onsets less than so many seconds apart have no order: a viewer sees the movements begin together."""

_PHASES = {
    "offset": re.compile(r"\b(?:relax\w*|fad\w+)\b", re.IGNORECASE),
    "onset": re.compile(r"\b(?:building|as the clip ends)\b", re.IGNORECASE),
    "apex": re.compile(r"\b(?:hold\w*|peak)\b", re.IGNORECASE),
}
"""Phrases for the phase of a movement; "a peak that fades" is an offset, so that is looked for first."""


@dataclass(frozen=True)
class Movement:
    """One movement that happened: the fields of a cue, and its onset in seconds."""

    region: str
    action: str
    intensity: str
    phase: str
    onset: float


GroundTruth = dict[str, list[Movement]]
"""Clip to what happened in it: its movements in time order."""


def read_truth(root: Path) -> GroundTruth | None:
    """The ground truth of the rendered world in ``root``, or None when the clips there are real.

    Raises :class:`UserError` when it is damaged, or of a world that an older version rendered.
    """
    import pyarrow.parquet as pq

    from grace.pipeline.world.truth import CLIPS

    file = Path(root) / CLIPS
    if not file.is_file():
        return None
    remedy = f"run `grace world --out {root}` again"
    verify(file, remedy)
    try:
        rows = pq.read_table(file, columns=["clip_id", "duration", "events"]).to_pylist()
    except (OSError, ValueError) as error:  # sealed, but other columns: another version's
        raise UserError(f"{file} cannot be read ({type(error).__name__}): {remedy}.") from None
    return {row["clip_id"]: [_to_movement(event, row["duration"]) for event in row["events"]] for row in rows}


def _to_movement(event: dict[str, Any], duration: float) -> Movement:
    fields = ("action", "intensity", "onset", "apex_start", "apex_end", "offset")
    unfolding = phase(Event(*(event[name] for name in fields)), duration)
    return Movement(event["region"], event["action"], event["level"], unfolding, event["onset"])


def truthfulness(texts: Iterable[AuditedText], truth: GroundTruth) -> dict[str, Any]:
    """Precision and recall of actions, regions and order, and specificity, each in [0, 1].

    Regions are named by their word or by a movement in them. Order is over pairs of movements: a pair is stated when
    its first one comes first in the text, and true when it happened first (pairs that began within :data:`SIMULTANEOUS`
    seconds count neither way). Specificity is the share of all true movements' ``CUE_FIELDS`` that the text states
    correctly, the region by its own word: 1 means that every detail of every movement is stated.
    """
    counts: Counter[str] = Counter()
    correct: Counter[str] = Counter()
    for text in texts:
        happened = truth.get(text.clip_id, [])
        stated = find_actions(text.text)
        _count(counts, "actions", {action.name for action, _ in stated}, {each.action for each in happened})
        _count(counts, "regions", named_regions(text.text), {each.region for each in happened})
        _count_order(counts, [action.name for action, _ in stated], happened)
        clauses = {action.name: clause for action, clause in stated}
        for movement in happened:
            correct.update(_details(movement, text.text, clauses.get(movement.action)))
        counts["clips"] += 1
        counts["movements"] += len(happened)
    scores: dict[str, Any] = {"clips": counts["clips"], "movements": counts["movements"]}
    for what in ("actions", "regions", "order"):
        scores[what] = {
            "precision": _share(counts[f"{what} correct"], counts[f"{what} stated"]),
            "recall": _share(counts[f"{what} correct"], counts[f"{what} true"]),
        }
    details = {name: _share(correct[name], counts["movements"]) for name in CUE_FIELDS}
    total = sum(correct[name] for name in CUE_FIELDS)
    return scores | {"specificity": _share(total, len(CUE_FIELDS) * counts["movements"]), "details": details}


def _count(counts: Counter[str], what: str, stated: set[Any], true: set[Any]) -> None:
    counts[f"{what} stated"] += len(stated)
    counts[f"{what} true"] += len(true)
    counts[f"{what} correct"] += len(stated & true)


def _count_order(counts: Counter[str], stated: list[str], happened: list[Movement]) -> None:
    onset = {movement.action: movement.onset for movement in happened}
    simultaneous = {(a, b) for a, b in permutations(onset, 2) if abs(onset[a] - onset[b]) < SIMULTANEOUS}
    pairs = {(first, then) for index, first in enumerate(stated) for then in stated[index + 1 :]} - simultaneous
    _count(counts, "order", pairs, {(a, b) for a, b in permutations(onset, 2) if onset[a] < onset[b]} - simultaneous)


def _details(movement: Movement, text: str, clause: str | None) -> Iterable[str]:
    """The details of ``movement`` that ``text``, and the clause of it about this movement, state correctly."""
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
    """``part / whole``; 1 where nothing is stated or nothing happened, which is no error."""
    return round(part / whole, 4) if whole else 1.0
