"""Canonical emotion labels, in the order that every ``label_id`` follows, and the names that data sets use for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

CANONICAL_LABELS: tuple[str, ...] = (
    "happiness",
    "sadness",
    "neutral",
    "anger",
    "surprise",
    "disgust",
    "fear",
    "contempt",
    "anxiety",
    "helplessness",
    "disappointment",
)

SEVEN = CANONICAL_LABELS[:7]
"""The classes of DFEW and FERV39k."""

LABEL_ID: dict[str, int] = {label: number for number, label in enumerate(CANONICAL_LABELS)}

_ALIASES: dict[str, str] = {
    "happy": "happiness",
    "joy": "happiness",
    "sad": "sadness",
    "neutrality": "neutral",
    "angry": "anger",
    "surprised": "surprise",
    "disgusted": "disgust",
    "fearful": "fear",
    "afraid": "fear",
    "contemptuous": "contempt",
    "anxious": "anxiety",
    "helpless": "helplessness",
    "disappointed": "disappointment",
}


def canonical(name: str) -> str | None:
    """The canonical label that a data set's name means.

    Args:
        name: A label in any case and form (``Happy``, ``angry``); emotions joined by ``_`` are a compound label.

    Returns:
        A label of :data:`CANONICAL_LABELS`, or a compound one with its parts in canonical order; None when the name
        means no emotion known here.

    Example:
        >>> canonical("Happy"), canonical("fear_surprise"), canonical("boredom")
        ('happiness', 'surprise_fear', None)
    """
    parts = [part.strip() for part in name.lower().split("_")]
    parts = [_ALIASES.get(part, part) for part in parts]
    if len(set(parts)) != len(parts) or any(part not in LABEL_ID for part in parts):
        return None
    return "_".join(sorted(parts, key=LABEL_ID.__getitem__))


def ordered(labels: Iterable[str]) -> list[str]:
    """Labels in canonical order: single ones, then compound ones by their parts."""

    def rank(label: str) -> tuple[int, list[int]]:
        parts = label.split("_")
        return len(parts), [LABEL_ID[part] for part in parts]

    return sorted(set(labels), key=rank)


def label_ids(classes: Sequence[str]) -> dict[str, int]:
    """The number of each class: a single label's index in ``CANONICAL_LABELS``; compound ones follow from 11."""
    compound = [label for label in classes if label not in LABEL_ID]
    numbers = LABEL_ID | {label: number for number, label in enumerate(compound, len(CANONICAL_LABELS))}
    return {label: numbers[label] for label in classes}
