"""Canonical emotion labels, in the one order that every ``label_id`` follows, and the names data sets use for them."""

from __future__ import annotations

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
    """The canonical label that a data set's name means (``Happy`` is happiness), or None when it means none of them."""
    key = name.strip().lower()
    key = _ALIASES.get(key, key)
    return key if key in LABEL_ID else None


def used(labels: set[str]) -> list[str]:
    """Those labels in canonical order: the classes of a ``folder`` data set."""
    return [label for label in LABELS if label in labels]
