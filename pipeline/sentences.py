"""Splitting text into sentences, and long sentences into parts; only whitespace is lost."""

from __future__ import annotations

import re
from collections.abc import Callable

_END = re.compile(r"(?:(?<=[.!?…])|(?<=[.!?…][\"')\]”’]))\s+|(?<=[。！？])|(?<!\s)[^\S\n]*\n\s*")
_CLAUSE = re.compile(r"(?<=[,;:])\s+")
_WHITESPACE = re.compile(r"\s+")


def collapse_whitespace(text: str) -> str:
    """``text`` on one line with single spaces."""
    return " ".join(text.split())


def split_sentences(text: str) -> list[str]:
    """The sentences of ``text``, in order, without the whitespace between them.

    Example:
        >>> split_sentences("The brows rise. The lips part!")
        ['The brows rise.', 'The lips part!']
    """
    return [part for part in (piece.strip() for piece in _END.split(text)) if part]


def split_to_length(sentence: str, max_tokens: int, count: Callable[[str], int]) -> list[str]:
    """``sentence`` halved again and again until each part has at most ``max_tokens`` tokens, as ``count`` counts them.

    A cut is made at the clause boundary nearest the middle, else at the nearest whitespace, else (one endless word) in
    the middle; nothing but whitespace at the cuts is lost.

    Args:
        sentence: The sentence; a part of one character is never cut.
        max_tokens: The most tokens of a part.
        count: Gives the tokens of a text.

    Example:
        >>> split_to_length("The brows rise, the lips part", 3, lambda text: len(text.split()))
        ['The brows rise,', 'the lips part']
    """
    if count(sentence) <= max_tokens or len(sentence) < 2:
        return [sentence]
    end, start = _middle_cut(sentence)
    return split_to_length(sentence[:end], max_tokens, count) + split_to_length(sentence[start:], max_tokens, count)


def _middle_cut(sentence: str) -> tuple[int, int]:
    """Where the first half ends and the second one starts."""
    length = len(sentence)
    for boundary, share in ((_CLAUSE, 0.25), (_WHITESPACE, 0.0)):
        cuts = [found.span() for found in boundary.finditer(sentence)]
        inner = [cut for cut in cuts if share * length < cut[0] and cut[1] < (1 - share) * length]
        if inner:
            return min(inner, key=lambda cut: abs(cut[0] - length / 2))
    return length // 2, length // 2
