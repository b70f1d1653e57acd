"""What a model means by its own words for how strongly something moves, and how far the movement has come."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MAX_WORDS = 12
"""More words than this are a sentence, which may say anything."""

_INTENSITY = {
    "slightly": r"slight\w*|mild\w*|faint\w*|subtl\w*|weak\w*|little|low|light|lightly|gentl\w*|minor|minimal\w*"
    r"|soft\w*|tiny|small|imperceptibl\w*|barely|hardly|scarcely",
    "clearly": r"clear\w*|moderate\w*|medium|distinct\w*|definite\w*",
    "strongly": r"strong\w*|intens\w*|high|marked\w*|wide|widely|pronounced|dramatic\w*|forceful\w*|powerful\w*"
    r"|maxim\w*|large|great|severe\w*",
}
_INTENSITY_ALONE = {"clearly": r"notic\w*|visibl\w*|apparent\w*", "strongly": r"extreme\w*|very|highly|much"}
"""What degree words and words of mere visibility mean where no other word says more."""

_WEAKER = r"\s+(?:(?:weak|faint|small|soft|slight|light|gentl|subtl|mild|dimm?|shallow|low|narrow)(?:e|e?r)?\b)"
"""Beside a word of growth: what grows weaker fades."""
_PHASE = {
    "onset": r"onset|ris(?:e|es|ing)|build\w*|emerg(?:e|es|ing|ence)|appear(?:s|ing|ance)?"
    rf"|increas(?:e|es|ing)|grow(?:s|ing|th)?(?!{_WEAKER})|develop(?:s|ing|ment)?",
    "apex": r"apex|peak\w*|hold\w*|held|maxim\w*|sustain\w*|plateau\w*|climax",
    "offset": r"offset|end(?:s|ed|ing)?|fad(?:e|es|ed|ing)|relax\w*|fall(?:s|ing)?|releas\w*|return\w*|declin\w*"
    r"|decreas\w*|diminish\w*|disappear\w*|subsid\w*|vanish\w*|eas(?:e|es|ed|ing)|wan(?:e|es|ed|ing)|weaken\w*"
    r"|lessen\w*|soften\w*|shrink\w*|dwindl\w*|reced\w*|abat\w*|dissipat\w*|taper\w*|ebb\w*|lett?(?:s|ing)? (?:go|up)"
    r"|(?:dying|dies|died|going|coming|settling|winding|wearing|dropping) (?:down|away|off)"
    rf"|grow(?:s|ing)?{_WEAKER}|(?:get|becom|turn)(?:s|t?ing|es)?{_WEAKER}",
}
_PHASE_ALONE = {"onset": r"start\w*|begin\w*|began|early|initial\w*", "apex": r"full|fully"}

_DEGREE = re.compile(
    r"\b(?:very|quite|rather|fairly|somewhat|extreme(?:ly)?|highly|really|so|too|more|most|much|a bit|pretty|fully|full"
    r"|completely|entirely|totally|partly|partially|slowly|quickly|gradually|just|still|now|already|again|increasingly"
    r"|intensity|intensities|visibl[ey]|noticeabl[ey]|apparent(?:ly)?"
    r"|(?:early|late)(?= \w)|began(?= to )|(?:start|begin)(?:s|ing|ning)?(?= to (?!end|finish))"
    r"|(?:start|begin)n?ing(?= (?!of\b|and\b|to\b)))\b"
)
"""Words that say how much of another word is meant, or that it sets in, and are skipped beside it."""
_UNCLEAR = re.compile(
    r"\b(?:no|not|non|never|none|without|neither|nor|hardly any|before|after|until|towards?|from|near|nearly|almost"
    r"|approach\w*|pre|post|unclear|unknown|unsure|either|maybe|perhaps|(?:fad|eas)\w+ in(?:to)?|fall\w* into|ends? up"
    r"|less|least|lower|than|below|under|short of|decreasingly|anything but|lack\w*|past|pass(?:ed|es|ing)?|beyond|over"
    r"|leav\w+|exit\w*|los(?:e|es|ing|s|t)|stop\w*|ceas\w*|halt\w*|fail\w*|finish\w*|done"
    r"|on (?:the|its|their) way|lead(?:s|ing)?|(?:head|mov|go|com|turn)ing (?:to|into|for)|up to|transition\w*"
    r"|full (?:develop|grow|emerg|appear)\w*|(?:held|hold|holds|holding|kept|keeping) back)\b|n['’]t\b|\?"
)
"""Words that turn a meaning round or make it doubtful."""


def intensity_meant(value: Any) -> Any:
    """``slightly``, ``clearly`` or ``strongly``, where ``value`` means exactly one of these; else ``value`` itself.

    Example:
        >>> intensity_meant("very slightly"), intensity_meant("Extreme"), intensity_meant("slight to strong")
        ('slightly', 'strongly', 'slight to strong')
    """
    return _meant(value, _INTENSITY, _INTENSITY_ALONE)


def phase_meant(value: Any) -> Any:
    """``onset``, ``apex`` or ``offset``, where ``value`` means exactly one of these; else ``value`` itself.

    Example:
        >>> phase_meant("starting to fade"), phase_meant("Peak"), phase_meant("onset to apex")
        ('offset', 'apex', 'onset to apex')
    """
    return _meant(value, _PHASE, _PHASE_ALONE)


def _meant(value: Any, meanings: Mapping[str, str], alone: Mapping[str, str]) -> Any:
    if not isinstance(value, str) or value in meanings or len(value) > 200:
        return value
    text = " ".join(value.lower().replace("_", " ").replace("-", " ").split())
    if _UNCLEAR.search(text) or len(text.split()) > MAX_WORDS:
        return value
    rest = _DEGREE.sub(" ", text)
    found = _named(rest, meanings) | _named(rest, alone) or _named(text, alone)
    return found.pop() if len(found) == 1 else value


def _named(text: str, meanings: Mapping[str, str]) -> set[str]:
    return {meaning for meaning, words in meanings.items() if re.search(rf"\b(?:{words})\b", text)}
