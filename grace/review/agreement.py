"""Whether people agree that texts are true: blind ratings of one sample, Cohen's kappa and Krippendorff's alpha."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from grace.pipeline.errors import UserError
from grace.pipeline.store import folder_lock
from grace.review.catalogue import Catalogue
from grace.review.corrections import append_line, person_name

RATINGS = ("false", "partly", "true")
"""From worst to best; their numbers are the values of the ordinal scale."""
SAMPLE = 50
"""Clips that every rater sees, in the same order."""


@dataclass(frozen=True)
class Rating:
    """What one person said of one text."""

    rater: str
    clip_id: str
    kind: str
    text: str  # digest of the text that was rated
    value: int


class Ratings:
    """The ratings of a data set, a line each in ``overrides/<set>.ratings.jsonl``."""

    def __init__(self, folder: Path, dataset: str) -> None:
        self.folder, self.path = folder, folder / f"{dataset}.ratings.jsonl"

    def all(self) -> list[Rating]:
        """The last rating of each person, clip and kind of text."""
        try:
            lines = self.path.read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            return []
        last: dict[tuple[str, str, str], Rating] = {}
        for line in lines:
            try:
                entry = json.loads(line)
                named = {name: str(entry[name]) for name in ("rater", "clip_id", "kind", "text")}
                rating = Rating(**named, value=int(entry["value"]))
            except (ValueError, KeyError, TypeError):
                continue  # a line that a crash cut short
            last[rating.rater, rating.clip_id, rating.kind] = rating
        return list(last.values())

    def add(self, rater: str, clip_id: str, kind: str, text: str, value: str) -> None:
        """Keep a rating. Raises :class:`UserError` when the rater has no name or the rating is none."""
        name = person_name(rater)
        if not name:
            raise UserError("Say who you are first: ratings of two people are compared.")
        if value not in RATINGS:
            raise UserError(f"A text is rated {', '.join(RATINGS)}, not '{value[:20]}'.")
        entry = {
            "rater": name,
            "clip_id": clip_id,
            "kind": kind,
            "text": digest(text),
            "value": RATINGS.index(value),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        with folder_lock(self.folder):
            append_line(self.path, entry)


def digest(text: str) -> str:
    """Stands for a text: a rating of another version of it does not count."""
    return xxhash.xxh3_64_hexdigest(text.encode("utf-8", "replace"))


def sample(catalogue: Catalogue, kind: str, seed: int = 0) -> list[int]:
    """The clips that every rater sees, in one order: those with a text whose ids have the smallest digests.

    A clip's place depends on its id and the seed alone, so that a clip that is added or lost changes no other's: people
    who rate at different times still rate the same texts.
    """
    status = catalogue.stages[f"{kind}s"].status
    ranked = ((xxhash.xxh3_64_intdigest(clip_id.encode(), seed), clip) for clip_id, clip in catalogue.positions.items())
    return [clip for _, clip in nsmallest(SAMPLE, (each for each in ranked if 0 <= status[each[1]] < 2))]


def agreement(ratings: Sequence[Rating], texts: dict[tuple[str, str], str]) -> dict[str, Any]:
    """How far raters agree, for each kind of text.

    Args:
        ratings: All ratings.
        texts: Digest of today's text by clip and kind; ratings of other versions are left out.

    Returns:
        By kind: ``raters`` with the number of their texts and the share rated true, ``pairs`` with Cohen's kappa
        (linear weights) on the texts that both rated, ``alpha`` over all raters, ``texts`` rated by at least two.
    """
    found: dict[str, Any] = {}
    current = [each for each in ratings if texts.get((each.clip_id, each.kind)) == each.text]
    for kind in sorted({each.kind for each in current}):
        by_rater: dict[str, dict[str, int]] = {}
        for each in current:
            if each.kind == kind:
                by_rater.setdefault(each.rater, {})[each.clip_id] = each.value
        clips = sorted({clip for values in by_rater.values() for clip in values})
        table = [[by_rater[rater].get(clip) for clip in clips] for rater in sorted(by_rater)]
        found[kind] = {
            "texts": sum(sum(clip in values for values in by_rater.values()) > 1 for clip in clips),
            "raters": {
                rater: {"texts": len(values), "true": sum(v == len(RATINGS) - 1 for v in values.values()) / len(values)}
                for rater, values in sorted(by_rater.items())
            },
            "pairs": [_pair(a, b, by_rater[a], by_rater[b]) for a, b in combinations(sorted(by_rater), 2)],
            "alpha": krippendorff_alpha(table, len(RATINGS)),
        }
    return found


def _pair(first: str, second: str, a: dict[str, int], b: dict[str, int]) -> dict[str, Any]:
    both = sorted(a.keys() & b.keys())
    left, right = [a[clip] for clip in both], [b[clip] for clip in both]
    kappa = cohen_kappa(np.array(left, int), np.array(right, int), len(RATINGS))
    same = sum(x == y for x, y in zip(left, right, strict=True)) / len(both) if both else None
    return {"first": first, "second": second, "texts": len(both), "same": same, "kappa": kappa}


def cohen_kappa(first: np.ndarray, second: np.ndarray, levels: int) -> float | None:
    """Cohen's kappa with linear weights (*Psychological Bulletin* 70, 1968) of two raters of the same units.

    Args:
        first: Values of one rater, 0 to ``levels`` − 1, in order.
        second: Values of the other.
        levels: How many values there are.

    Returns:
        1 for perfect agreement, 0 for that of chance; None without units or where all values are one.

    Example:
        >>> cohen_kappa(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 2]), 3)
        1.0
    """
    counts = np.bincount(first * levels + second, minlength=levels**2).reshape(levels, levels)
    distance = np.abs(np.subtract.outer(np.arange(levels), np.arange(levels)))
    expected = (np.outer(counts.sum(1), counts.sum(0)) * distance).sum()
    return 1 - float((counts * distance).sum() * len(first) / expected) if expected else None


def krippendorff_alpha(table: Sequence[Sequence[int | None]], levels: int) -> float | None:
    """Krippendorff's alpha for ordinal data (*Content Analysis*, 4th ed., 2019, chapter 12).

    Args:
        table: Raters by units; None where a rater said nothing.
        levels: Values are 0 to ``levels`` − 1, in order.

    Returns:
        1 for perfect agreement, 0 for that of chance; None where no two raters share a unit or all values are one.

    Example:
        >>> krippendorff_alpha([[0, 1, 2, 2], [0, 1, 2, 2]], 3)
        1.0
        >>> krippendorff_alpha([[0, 0], [None, None]], 2) is None
        True
    """
    coincidences = np.zeros((levels, levels))
    for unit in zip(*table, strict=True):
        values = [value for value in unit if value is not None]
        for i, first in enumerate(values):
            for j, second in enumerate(values):
                if i != j:
                    coincidences[first, second] += 1 / (len(values) - 1)
    totals = coincidences.sum(1)
    count = totals.sum()
    if count < 2:
        return None
    between = np.cumsum(totals) - totals / 2  # distance of ranks: values between two, and half of the two themselves
    distance = (between[:, None] - between[None, :]) ** 2
    expected = float((np.outer(totals, totals) * distance).sum() / (count - 1))
    if expected == 0:
        return None
    return round(1 - float((coincidences * distance).sum()) / expected, 6)
