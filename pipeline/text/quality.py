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


ROUNDS = 4
"""So often a loop says the same before it is one."""
NUMBERED_ROUNDS = 24
"""So often entries of a list may say the same: once for each picture that a model is shown."""
MAX_PERIOD = 60
"""Words of one round."""
MAX_TAIL = 8_000
"""Characters at the end of a text in which loops are looked for."""
_PUNCTUATION = ".,;:!?()[]{}\"'“”‘’*#-–—_|/"
_NUMBER = re.compile(
    r"^(?:\d+\w{0,2}|[ivx]{1,5}|[a-z]|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|first|second|third"
    r"|fourth|fifth|sixth|seventh|eighth|ninth|tenth)$|\d+(?:[.,:]\d+)*"
)
"""What numbers the entries of a list: 1, 1st, iv, b, two, third; and any number within a word."""


def looping(text: str, cut: bool = False) -> bool:
    """Whether ``text`` ends in the same words again and again: at least four rounds of up to sixty words.

    Case, punctuation and numbers do not tell rounds apart: a numbered list whose entries are all the same loops too,
    if it was ``cut`` at the limit of tokens, or has more rounds than a clip has instants.

    Example:
        >>> looping("1. The brows rise. 2. The brows rise. 3. The brows rise. 4. The brows rise. 5. The", cut=True)
        True
    """
    written = text[-MAX_TAIL:].lower().split()
    if cut:
        written = written[:-1]  # half a word
    words = [word.strip(_PUNCTUATION) or word for word in written]
    numberless = [_NUMBER.sub("#", word) for word in words]
    numbered = ROUNDS if cut else NUMBERED_ROUNDS
    return _repeats(words, ROUNDS) or _repeats(numberless, numbered) or _stutters(text)


def _repeats(words: list[str], rounds: int) -> bool:
    for period in range(1, MAX_PERIOD + 1):
        tail = max(rounds * period, 12)
        if len(words) < tail:
            return False
        end = words[-tail:]
        if end[period:] == end[:-period]:
            return True
    return False


def _stutters(text: str) -> bool:
    """Whether the text ends in the same few characters over and over, without blanks between."""
    end = text[-MAX_TAIL:].rstrip()
    for period in range(1, 21):
        tail = end[-24 * period :]
        if len(tail) == 24 * period and tail[period:] == tail[:-period] and not any(map(str.isspace, tail)):
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


def rejection_reason(text: str, cut: bool = False) -> str:
    """Why a text that a model wrote cannot be used; empty when it can. ``cut``: its tokens ended before it did.

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
    if looping(text, cut):
        return "the model repeats itself"
    return "" if english(text) else "the text is not English"
