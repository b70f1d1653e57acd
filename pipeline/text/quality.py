"""Whether a generated text can be used at all: no refusal, no endless repetition, English."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_REFUSAL = re.compile(
    r"^\W*(?:i['’]?m sorry|i am sorry|sorry\b|i apologi[sz]e|unfortunately,? i\b|as an ai\b"
    r"|i['’]?m (?:unable|not able) to\b|i am (?:unable|not able) to\b|i (?:can(?:no|['’])t|won['’]t|cannot) "
    r"(?:help|assist|provide|describe|identify|fulfil|comply|do|see|view|process|analy[sz]e)\b)",
    re.IGNORECASE,
)
_COMMON = frozenset(
    _WORD.findall(
        "a an the of and or to in on at as is are was it its this that then with by for from into while but not no "
        "slightly clearly strongly there where when which both very more first after before"
    )
)
"""Words that no English text is without, and those that texts on faces use most."""


def looping(text: str) -> bool:
    """Whether ``text`` ends in the same words again and again: at least four rounds of up to thirty words."""
    words = text.split()
    for period in range(1, 31):
        tail = max(4 * period, 12)
        if len(words) < tail:
            continue
        end = words[-tail:]
        if end[period:] == end[:-period]:
            return True
    return False


def refusing(text: str) -> bool:
    """Whether ``text`` begins as the answers of models that decline."""
    return bool(_REFUSAL.search(text[:200]))


def english(text: str) -> bool:
    """Whether ``text`` can be English; below eight words only its letters are checked."""
    letters = [character for character in text if character.isalpha()]
    if sum(character.isascii() for character in letters) < 0.8 * len(letters):
        return False
    words = [word.lower() for word in _WORD.findall(text)]
    return len(words) < 8 or sum(word in _COMMON for word in words) >= 0.08 * len(words)


def rejection_reason(text: str) -> str:
    """Why a text that a model wrote cannot be used; empty when it can.

    Example:
        >>> rejection_reason("I'm sorry, but I can't help with that.")
        'the model refuses'
        >>> rejection_reason("The brows rise.")
        ''
    """
    if not any(character.isalpha() for character in text):
        return "the model wrote no text"
    if refusing(text):
        return "the model refuses"
    if looping(text):
        return "the model repeats itself"
    return "" if english(text) else "the text is not English"
