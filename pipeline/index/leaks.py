"""Who or what is on both sides of a fold: one person, or one file under two names, in training and in test."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from grace.pipeline.store import Row
from grace.pipeline.store.schemas import FOLD_COLUMNS


def on_both_sides(rows: Sequence[Row], column: str) -> Iterator[tuple[str, str]]:
    """Clips of a test part whose value of ``column`` a training clip of the same fold shares.

    Args:
        rows: Rows of ``clips.parquet``.
        column: ``subject`` or ``content``; an empty value is shared by nobody.

    Yields:
        The test clip, and which fold, value and training clip it is about; one pair for each value and fold.

    Example:
        >>> folds = {name: "" for name in FOLD_COLUMNS}
        >>> rows = [
        ...     {"clip_id": "a", "subject": "anna", **folds, "fold_1": "train"},
        ...     {"clip_id": "b", "subject": "anna", **folds, "fold_1": "test"},
        ... ]
        >>> list(on_both_sides(rows, "subject"))
        [('b', 'fold 1: anna is in train too (a)')]
    """
    for fold in FOLD_COLUMNS:
        sides: dict[str, dict[str, list[str]]] = {"train": defaultdict(list), "test": defaultdict(list)}
        for row in rows:
            if row[column] and row[fold] in sides:
                sides[row[fold]][row[column]].append(row["clip_id"])
        for value in sorted(sides["train"].keys() & sides["test"].keys()):
            shown = value if column == "subject" else "the same content"
            yield (
                sides["test"][value][0],
                f"{fold.replace('_', ' ')}: {shown} is in train too ({sides['train'][value][0]})",
            )
