"""Canonical emotion labels, in the one order that every ``label_id`` follows, and the names data sets use for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

LABELS: tuple[str, ...] = (
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

SEVEN = LABELS[:7]
"""The classes of DFEW and FERV39k."""

LABEL_ID: dict[str, int] = {label: number for number, label in enumerate(LABELS)}

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
    """The canonical label that a data set's name means, or None when it means none of them.

    ``Happy`` is happiness; emotions joined by ``_`` are a compound label, its parts in canonical order:
    ``fear_surprise`` is surprise_fear.
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
    """The number of each class: a single label's place in ``LABELS``; the set's compound ones follow from 11 on."""
    compound = [label for label in classes if label not in LABEL_ID]
    numbers = LABEL_ID | {label: number for number, label in enumerate(compound, len(LABELS))}
    return {label: numbers[label] for label in classes}
