"""What a text says, as one number whose bits are the audit's findings: the gallery finds texts by them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache

from grace.pipeline.audit.lexicon import (
    ACTION_WORDS,
    EMOTION_WORDS,
    IDENTITY_WORDS,
    actions_in,
    emotion_words,
    identity_words,
)
from grace.pipeline.text.quality import english, looping, refusing
from grace.pipeline.vocabulary import REGION_WORDS, regions_in

KINDS = {
    "region": tuple(REGION_WORDS),
    "action": tuple(ACTION_WORDS),
    "emotion": tuple(EMOTION_WORDS),
    "identity": tuple(IDENTITY_WORDS),
    "fault": ("empty", "no region", "not English", "refusal", "loop"),
}
"""Kind of mark to its marks; ``region:brows`` is how an address names one."""

VERSION = 2
"""Rises when a text gets other marks or the table other columns, so that stored ones are made again."""


@cache
def bits() -> dict[str, int]:
    """Every mark by name, ``kind:mark``, and its bit."""
    names = [f"{kind}:{mark}" for kind, marks in KINDS.items() for mark in marks]
    return {name: 1 << number for number, name in enumerate(names)}


@lru_cache(maxsize=4096)
def marks_of(text: str) -> int:
    """The marks of a text, as the sum of their bits.

    Example:
        >>> found = marks_of("The brows rise and the eyes open wide in fear.")
        >>> [name for name, bit in bits().items() if found & bit]  # doctest: +NORMALIZE_WHITESPACE
        ['region:brows', 'region:eyes', 'action:brow raise', 'action:lid raise', 'emotion:fear']
    """
    known = bits()
    return sum({known[name] for name in _names(text)})


def _names(text: str) -> Iterator[str]:
    if not text.strip():
        yield "fault:empty"
        return
    regions = regions_in(text)
    yield from (f"region:{region}" for region in regions)
    yield from (f"action:{action}" for action in actions_in(text))
    yield from (f"emotion:{emotion}" for emotion, _ in emotion_words(text))
    yield from (f"identity:{kind}" for kind, _ in identity_words(text))
    if not regions:
        yield "fault:no region"
    if not english(text):
        yield "fault:not English"
    if refusing(text):
        yield "fault:refusal"
    if looping(text):
        yield "fault:loop"
