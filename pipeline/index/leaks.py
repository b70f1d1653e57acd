"""Who or what is on both sides of a fold: one person, or one file under two names, in two of its parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from grace.pipeline.store import Row
from grace.pipeline.store.schemas import fold_column

LEARNED_BEFORE = {"test": ("train", "val"), "val": ("train",)}
"""A part that is scored to the parts that an epoch was learned from, or chosen by, before."""


def on_both_sides(rows: Sequence[Row], column: str, folds: Sequence[int], scored: str) -> Iterator[tuple[str, str]]:
    """Clips of a part that is scored whose value of ``column`` a clip of the parts before it in the same fold shares.

    Args:
        rows: Rows of ``clips.parquet``.
        column: ``subject`` or ``content``; an empty value is shared by nobody.
        folds: Numbers of the folds.
        scored: ``test``, or ``val``, by which the epoch is chosen.

    Yields:
        The scored clip, and which fold, value and other clip it is about; one pair for each value and fold.

    Example:
        >>> rows = [
        ...     {"clip_id": "a", "subject": "anna", "fold_1": "train"},
        ...     {"clip_id": "b", "subject": "anna", "fold_1": "test"},
        ... ]
        >>> list(on_both_sides(rows, "subject", [1], "test"))
        [('b', 'fold 1: anna is in train too (a)')]
    """
    before = LEARNED_BEFORE[scored]
    for fold in folds:
        parts: dict[str, dict[str, str]] = defaultdict(dict)  # value to part to its first clip
        for row in rows:
            if row[column] and (part := row[fold_column(fold)]):
                parts[row[column]].setdefault(part, row["clip_id"])
        for value, clips in sorted(parts.items()):
            learned = next((part for part in before if part in clips), None)
            if learned and scored in clips:
                shown = value if column == "subject" else "the same content"
                yield clips[scored], f"fold {fold}: {shown} is in {learned} too ({clips[learned]})"
