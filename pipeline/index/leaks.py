"""Who or what is on both sides of a fold: one person, or one file under two names, in training and in test."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from grace.pipeline.store import Row
from grace.pipeline.store.schemas import fold_column


def on_both_sides(rows: Sequence[Row], column: str, folds: Sequence[int]) -> Iterator[tuple[str, str]]:
    """Clips of a test part whose value of ``column`` a clip that trains or validates in the same fold shares.

    Args:
        rows: Rows of ``clips.parquet``.
        column: ``subject`` or ``content``; an empty value is shared by nobody.
        folds: Numbers of the folds.

    Yields:
        The test clip, and which fold, value and training clip it is about; one pair for each value and fold.

    Example:
        >>> rows = [
        ...     {"clip_id": "a", "subject": "anna", "fold_1": "train"},
        ...     {"clip_id": "b", "subject": "anna", "fold_1": "test"},
        ... ]
        >>> list(on_both_sides(rows, "subject", [1]))
        [('b', 'fold 1: anna is in train too (a)')]
    """
    for fold in folds:
        learnt: dict[str, list[str]] = defaultdict(list)
        tested: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            part = row[fold_column(fold)]
            if row[column] and part:
                (tested if part == "test" else learnt)[row[column]].append(row["clip_id"])
        for value in sorted(learnt.keys() & tested.keys()):
            shown = value if column == "subject" else "the same content"
            yield tested[value][0], f"fold {fold}: {shown} is in train too ({learnt[value][0]})"
