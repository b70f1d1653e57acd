"""The texts of a clip as they are encoded: sentences, whose words become tokens, or clauses, each of them one token."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from grace.pipeline.sentences import split_sentences
from grace.pipeline.store import Row
from grace.pipeline.tokens.settings import TokensSettings

_CLAUSE = re.compile(r"[,;:]\s+(?:and\s+|then\s+|while\s+)*|\s+(?:then|while|before|after)\s+")
"""Where one movement ends and the next one begins."""

_LEAST = 3
"""Letters of a clause: what is shorter says nothing of a face."""

_PHASE_WORDS: Mapping[str, str] = {"onset": "is beginning", "apex": "is held", "offset": "is fading"}
"""A cue's phase in words that any text encoder knows."""


def texts_of(row: Row, settings: TokensSettings) -> list[list[str]]:
    r"""The texts of a clip, the one that ``tokens.text`` names first, then up to ``tokens.texts`` its captions.

    Args:
        row: The clip's ``description``, ``caption`` (one per line) and ``cues``.
        settings: ``text``, ``texts`` and ``text_unit``.

    Returns:
        Of each text its sentences or, under ``text_unit: cue``, its clauses: those of the description are its cues.

    Example:
        >>> row = {"description": "The brows rise. The lips part.", "caption": "A face.\nSurprised?", "cues": []}
        >>> texts_of(row, TokensSettings(texts=2))
        [['The brows rise.', 'The lips part.'], ['A face.']]
    """
    captions = [line for line in row["caption"].split("\n") if line.strip()]
    by_cue = settings.text_unit == "cue"
    others = [clauses(text) if by_cue else split_sentences(text) for text in captions]
    if settings.text == "caption":
        return others[: settings.texts] if settings.texts > 1 else [[part for text in others for part in text]]
    if not by_cue:
        return [split_sentences(row["description"]), *others][: settings.texts]
    return [cue_clauses(row) or clauses(row["description"]), *others][: settings.texts]


def cue_clauses(row: Row) -> list[str]:
    """A clause for each cue of a clip.

    Example:
        >>> cue = {"region": "brows", "action": "inner brows rise", "intensity": "slightly", "phase": "apex"}
        >>> cue_clauses({"cues": [cue]})
        ['Brows: inner brows rise slightly, which is held.']
    """
    return [
        f"{cue['region'].capitalize()}: {cue['action']} {cue['intensity']}, which {_PHASE_WORDS[cue['phase']]}."
        for cue in row.get("cues") or []
    ]


def clauses(text: str) -> list[str]:
    """The clauses of a text, cut at punctuation and between movements.

    Example:
        >>> clauses("The brows rise slightly, and then the lips part. The jaw drops while the eyes widen.")
        ['The brows rise slightly', 'the lips part.', 'The jaw drops', 'the eyes widen.']
    """
    parts = [part.strip() for sentence in split_sentences(text) for part in _CLAUSE.split(sentence)]
    return [part for part in parts if sum(letter.isalpha() for letter in part) >= _LEAST]


def shown_units(row: Row, settings: TokensSettings) -> Sequence[str]:
    """What each token of a clip's first text stands for, under ``text_unit: cue``."""
    (first, *_) = texts_of(row, settings) or [[]]
    return first
