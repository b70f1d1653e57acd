"""Which clips a page shows: a filter that is its address, applied to the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import numpy as np

from grace.pipeline.errors import UserError
from grace.pipeline.messages import number_ranges
from grace.review.catalogue import PARTS, STATUSES, Catalogue, numbers
from grace.review.text_marks import bits

if TYPE_CHECKING:
    from grace.review.runs import Predictions

TEXTS = ("caption", "description")
SORTS = {
    "clip": "clip",
    "label": "by label",
    "predicted": "by prediction",
    "status": "failed first",
    "subject": "by person",
    "sure": "most confident first",
    "unsure": "least confident first",
    "wrong": "confidently wrong first",
    "long": "longest first",
    "short": "shortest first",
}
OUTCOMES = {
    "right": "right",
    "wrong": "wrong",
    "unscored": "not scored",
    "both-right": "both runs right",
    "only-first": "only the first run right",
    "only-second": "only the second run right",
    "both-wrong": "both runs wrong",
}
MARKS = ("corrected", "unusable", "doubtful")
PAGE = 48
"""Clips per page."""


@dataclass(frozen=True)
class Filter:
    """What a person asked for. Empty means any.

    Example:
        >>> asked = Filter.read({"label": "fear", "predicted": "surprise", "page": "2"})
        >>> asked.address(page=1)
        'label=fear&predicted=surprise'
    """

    q: str = ""
    text: str = ""
    label: str = ""
    predicted: str = ""
    outcome: str = ""
    low: str = ""
    high: str = ""
    status: str = ""
    cause: str = ""
    says: str = ""
    subject: str = ""
    fold: str = ""
    mark: str = ""
    run: str = ""
    versus: str = ""
    sort: str = "clip"
    page: int = field(default=1)

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Filter:
        """The filter of an address. Raises :class:`UserError` when a value is none that it can have."""
        given = {each.name: query[each.name].strip() for each in fields(cls) if query.get(each.name, "").strip()}
        page = given.pop("page", "1")
        if not page.isdecimal() or not 1 <= int(page[:9]) < 10**6:
            raise UserError(f"page is '{page}', not a whole number from 1.")
        made = cls(**given, page=int(page))  # type: ignore[arg-type]
        made._check()
        return made

    def _check(self) -> None:
        known: dict[str, Iterable[str]] = {
            "text": TEXTS,
            "status": STATUSES,
            "outcome": OUTCOMES,
            "mark": MARKS,
            "says": bits(),
            "sort": SORTS,
        }
        for name, values in known.items():
            value = getattr(self, name)
            if value and value not in values:
                raise UserError(f"{name} is '{value}': it is one of {', '.join(values)}.")
        for name in ("low", "high"):
            try:
                if getattr(self, name) and not 0 <= float(getattr(self, name)) <= 100:
                    raise ValueError
            except ValueError:
                raise UserError(f"{name} is '{getattr(self, name)}', not a confidence in % (0 to 100).") from None
        if self.fold and not (self.fold.isdecimal() and len(self.fold) < 6):
            raise UserError(f"fold is '{self.fold}', not a whole number from 1.")

    def pairs(self) -> dict[str, str]:
        """The parts that are asked for, without the page."""
        found = {each.name: str(getattr(self, each.name)) for each in fields(self) if each.name != "page"}
        return {name: value for name, value in found.items() if value and (name, value) != ("sort", "clip")}

    def address(self, **changes: object) -> str:
        """The query string of this filter with some parts changed; only what differs from its default is in it."""
        changed = replace(self, **changes)  # type: ignore[arg-type]
        page = {"page": str(changed.page)} if changed.page > 1 else {}
        return urlencode({**changed.pairs(), **page})


@dataclass(frozen=True)
class People:
    """What people said about clips, by number: corrected texts, and clips marked unusable or doubtful."""

    corrected: frozenset[int] = frozenset()
    unusable: frozenset[int] = frozenset()
    doubtful: frozenset[int] = frozenset()


def select(
    catalogue: Catalogue,
    asked: Filter,
    first: Predictions | None = None,
    second: Predictions | None = None,
    people: People | None = None,
) -> np.ndarray:
    """The numbers of the clips that a filter asks for, in its order.

    Args:
        catalogue: All clips.
        asked: The filter.
        first: Predictions of the run.
        second: Predictions of the run beside it.
        people: What people said about clips.

    Raises:
        UserError: The filter needs a run, and there is none.
    """
    keep = np.ones(len(catalogue), dtype=bool)
    if asked.label:
        keep &= catalogue.label.codes == catalogue.label.code(asked.label)
    if asked.subject:
        keep &= catalogue.subject.codes == catalogue.subject.code(asked.subject)
    if asked.fold:
        fold = int(asked.fold)
        if fold not in catalogue.folds:
            raise UserError(f"There is no fold {fold}: the set has {number_ranges(catalogue.folds) or 'none'}.")
        keep &= catalogue.folds[fold].codes == PARTS.index("test")
    if asked.status:
        keep &= catalogue.status == STATUSES.index(asked.status)
    if asked.cause:
        keep &= catalogue.cause.codes == catalogue.cause.code(asked.cause)
    if asked.mark:
        keep &= np.isin(np.arange(len(keep)), list(getattr(people or People(), asked.mark)))
    if asked.says:
        keep &= _says(catalogue, asked.says, _texts(asked))
    if any((asked.predicted, asked.outcome, asked.low, asked.high)):
        keep &= _of_run(catalogue, asked, first, second)
    if asked.q:
        keep &= _search(catalogue, asked.q, _texts(asked), keep)
    return _ordered(catalogue, np.flatnonzero(keep), asked.sort, first)


def _texts(asked: Filter) -> Sequence[str]:
    return (asked.text,) if asked.text else TEXTS


def _says(catalogue: Catalogue, mark: str, kinds: Sequence[str]) -> np.ndarray:
    bit = np.int64(bits()[mark])
    keep = np.zeros(len(catalogue), dtype=bool)
    for kind in kinds:
        stage = catalogue.stages[f"{kind}s"]
        there = stage.at >= 0
        marks = numbers(stage.table["marks"])
        keep[there] |= (marks[stage.at[there]] & bit) != 0
    return keep


def _of_run(catalogue: Catalogue, asked: Filter, first: Predictions | None, second: Predictions | None) -> np.ndarray:
    if first is None:
        raise UserError("There is no run to filter by: train one with `grace train`, or name one with --run.")
    keep = first.scored.copy()
    if asked.outcome == "unscored":
        keep = first.tested & ~first.scored
    elif asked.outcome in ("right", "wrong"):
        keep &= first.right == (asked.outcome == "right")
    elif asked.outcome:
        if second is None:
            raise UserError(f"'{OUTCOMES[asked.outcome]}' needs two runs: choose a second one to compare with.")
        a, b = {
            "both-right": (True, True),
            "only-first": (True, False),
            "only-second": (False, True),
            "both-wrong": (False, False),
        }[asked.outcome]
        keep = first.tested & second.tested & (first.right == a) & (second.right == b)
    if asked.predicted:
        keep &= first.predicted == (first.labels.index(asked.predicted) if asked.predicted in first.labels else -2)
    if asked.low:
        keep &= first.confidence >= float(asked.low) / 100
    if asked.high:
        keep &= first.confidence < float(asked.high) / 100 + 1e-6
    return keep


def _search(catalogue: Catalogue, words: str, kinds: Sequence[str], keep: np.ndarray) -> np.ndarray:
    """Clips whose texts, or whose id, hold all the words, upper and lower case alike."""
    import pyarrow.compute as pc

    found = keep.copy()
    for word in words.split():
        ids = pc.match_substring(catalogue.table["clip_id"], word, ignore_case=True)
        holds = numbers(ids).copy()
        for kind in kinds:
            stage = catalogue.stages[f"{kind}s"]
            there = stage.at >= 0
            texts = stage.table[kind]
            if len(texts):
                matched = numbers(pc.match_substring(texts, word, ignore_case=True).fill_null(False))
                holds[there] |= matched[stage.at[there]]
        found &= holds
    return found


def _ordered(catalogue: Catalogue, clips: np.ndarray, sort: str, run: Predictions | None) -> np.ndarray:
    if sort in ("long", "short"):
        lengths = numbers(catalogue.table["n_frames"])[clips]
        return clips[np.argsort(-lengths if sort == "long" else lengths, kind="stable")]
    if sort in ("sure", "unsure", "wrong") and run is not None:
        confidence = np.where(run.scored, run.confidence, np.nan)[clips]
        if sort == "wrong":
            confidence = np.where(run.right[clips], np.nan, confidence)
        keys = confidence if sort == "unsure" else -confidence
        return clips[np.argsort(keys, kind="stable")]  # NaN is last
    if (codes := _codes(catalogue, sort, run)) is not None:
        known = codes[clips].astype(np.int64)
        return clips[np.argsort(np.where(known < 0, np.iinfo(np.int64).max, known), kind="stable")]
    return clips


def _codes(catalogue: Catalogue, sort: str, run: Predictions | None) -> np.ndarray | None:
    """What clips are ordered by, as numbers; -1, which comes last, where a clip has nothing of the kind."""
    if sort == "status":
        return len(STATUSES) - 1 - np.maximum(catalogue.status, 0)
    if sort == "predicted":
        return run.predicted if run is not None else None
    return {"label": catalogue.label.codes, "subject": catalogue.subject.codes}.get(sort)
