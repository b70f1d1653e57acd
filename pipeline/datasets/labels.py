"""Canonical emotion labels and the names that data sets use for them; a label of a set's own keeps its name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from unicodedata import normalize

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

_RANK: dict[str, int] = {label: number for number, label in enumerate(CANONICAL_LABELS)}

_NAMES: dict[str, str] = {
    "happiness": "happy hap joy joyful",
    "sadness": "sad unhappy",
    "neutral": "neutrality neu",
    "anger": "angry ang",
    "surprise": "surprised sur surprize",
    "disgust": "disgusted dis",
    "fear": "fearful fea scared afraid",
    "contempt": "contemptuous con",
    "anxiety": "anxious anx",
    "helplessness": "helpless hel",
    "disappointment": "disappointed",
}
_ALIASES: dict[str, str] = {name: label for label, names in _NAMES.items() for name in names.split()}


MISSING = frozenset({"nan", "na", "n/a", "<na>", "#n/a", "null"})
"""What programs write into a table where a label is missing; a class only where the user names it."""
_INVISIBLE = re.compile("[\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")


def plain_name(written: str) -> str:
    """A name in Unicode's composed form, without invisible characters, in which equal names might differ.

    Example:
        >>> plain_name("Jose\\u0301\\u200b") == "Jos\\u00e9"
        True
    """
    return written if written.isascii() else _INVISIBLE.sub("", normalize("NFC", written)).strip()


def canonical(name: str) -> str | None:
    """The canonical label that a data set's name means, if it means one.

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
    if len(set(parts)) != len(parts) or any(part not in _RANK for part in parts):
        return None
    return "_".join(sorted(parts, key=_RANK.__getitem__))


def class_name(written: str) -> str:
    """The name of a class: the canonical label that it means, else its own name in lower case.

    Example:
        >>> class_name("ANG"), class_name(" Boredom ")
        ('anger', 'boredom')
    """
    name = plain_name(written)
    return canonical(name) or " ".join(name.lower().split())


def label_names(names: Sequence[str] | Mapping[int | str, str]) -> dict[str, str]:
    """Label as a list writes it to the class that it means; of a list of classes, their numbers from 0.

    Example:
        >>> label_names(["Happy", "calm"]), label_names({1: "neu"})
        ({'0': 'happiness', '1': 'calm'}, {'1': 'neutral'})
    """
    pairs = names.items() if isinstance(names, Mapping) else enumerate(names)
    return {str(written).strip(): class_name(name) for written, name in pairs}


def ordered(labels: Iterable[str]) -> list[str]:
    """Each label once: canonical ones in their order, then compound ones by their parts, then others as they come.

    Example:
        >>> ordered(["calm", "fear", "surprise_fear", "anger", "calm"])
        ['anger', 'fear', 'surprise_fear', 'calm']
    """

    def rank(label: str) -> tuple[int, list[int]]:
        parts = label.split("_")
        known = all(part in _RANK for part in parts)
        return (len(parts), [_RANK[part] for part in parts]) if known else (len(CANONICAL_LABELS) + 1, [])

    return sorted(dict.fromkeys(labels), key=rank)
