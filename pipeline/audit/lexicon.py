"""The words an audit looks for: emotions, identity, and what each region of the face does. Edit them here.

Patterns are regular expressions of whole words, upper and lower case alike. They are a reading of everyday English,
not a licensed lexicon: the audit lists the words it found, so that a reader can judge them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

EMOTION_WORDS: dict[str, str] = {
    "happiness": r"happ(?:y|ier|iest|ily|iness)|joy(?:s|ful|fully|ous)?|cheer(?:y|ful|fully|fulness)|delight\w*|"
    r"amus(?:ed|ement|ing)|glad\w*|pleas(?:ed|ure)|elat(?:ed|ion)|glee\w*|content(?:ed|ment)|excite(?:d|ment)|"
    r"satisf(?:ied|action)|enjoy\w*|jovial|mirth\w*|euphori\w+",
    "sadness": r"sad(?:ly|ness|der|dened)?|sorrow\w*|grie(?:f|ve|ving|ved)|melanchol\w+|unhapp\w+|gloom\w*|mourn\w*|"
    r"despair\w*|despond\w+|dejected|somber|sombre|depress\w+|miser(?:y|able)|heartbroken|anguish\w*",
    "neutral": r"neutral\w*|emotionless|expressionless|impassive\w*|calm(?:ly|ness)?|compos(?:ed|ure)|seren(?:e|ity)|"
    r"indifferen\w+|stoic\w*",
    "anger": r"ang(?:er|ered|ry|rily|rier)|fur(?:y|ious|iously)|(?:en)?raged?|outrag\w+|irritat\w+|annoy\w+|"
    r"hostil\w+|frustrat\w+|aggressi\w+|indigna\w+|resent\w+|exasperat\w+|displeas\w+|wrath\w*",
    "surprise": r"surpris\w+|astonish\w+|amaz\w+|shock(?:ed|ing)?|startl\w+|stunned|disbelief|bewilder\w+",
    "disgust": r"disgust\w*|revulsion|revolt(?:ed|ing)|repuls\w+|distaste\w*|aversion|nausea\w*|loath\w+|repugnan\w+",
    "fear": r"fear\w*|afraid|scared|terrif\w+|terror|fright\w*|horrif\w+|horror|panic\w*|dread\w*|alarmed?",
    "contempt": r"contempt\w*|disdain\w*|scorn\w*|smug\w*|derisi\w+|condescen\w+",
    "anxiety": r"anxi(?:ety|ous|ously)|nervous\w*|worr(?:y|ied|ies|ying)|apprehens\w+|uneas\w+|concern(?:ed)?|"
    r"distress\w*|stress(?:ed)?",
    "helplessness": r"helpless\w*|powerless\w*|hopeless\w*|resign(?:ed|ation)|vulnerab\w+",
    "disappointment": r"disappoint\w*|dismay\w*|regret\w*|disillusion\w*|dissatisf\w+",
}
"""Canonical emotion to the words that claim it."""

IDENTITY_WORDS: dict[str, str] = {
    "sex": r"m[ae]n|wom[ae]n|boys?|girls?|males?|females?|he|him|his|himself|she|her|hers|herself|gentlem[ae]n|"
    r"lady|ladies|mother|father|mom|dad|husband|wife|son|daughter|brother|sister",
    "age": r"young(?:er)?|elder(?:ly)?|older|middle-aged|aged|child(?:ren)?|kids?|teen\w*|adults?|toddlers?|"
    r"bab(?:y|ies)|infants?|youth\w*|old (?:m[ae]n|wom[ae]n|person|people|lady|gentleman)",
    "origin": r"asians?|africans?|caucasians?|hispanics?|latin[oa]s?|europeans?|indians?|arabs?|chinese|japanese|"
    r"koreans?|ethnic\w*|rac(?:e|ial)|(?:black|white) (?:m[ae]n|wom[ae]n|person|people|male|female|boy|girl)|"
    r"(?:dark|light|fair|pale|brown|olive)[- ]skin(?:ned)?",
}
"""What a caption of a face must not guess, and the words that guess it."""

_LIPS, _MOUTH, _EYES, _BROWS = r"lips?", r"mouth", r"eyes|eyelids|lids", r"(?:eye)?brows?"
_CORNERS = r"corners?|lip corners|mouth corners"
_UP, _DOWN = (
    r"up|upward\w*|upturn\w*|lift\w*|rais\w+|ris(?:e|es|ing)|curl\w*",
    r"down|downward\w*|downturn\w*|droop\w*|drop\w*",
)

ACTION_WORDS: dict[str, tuple[tuple[str, str], ...]] = {
    "brow raise": ((_BROWS, r"rais\w+|ris(?:e|es|ing|en)|lift\w*|arch\w*|elevat\w+|upward\w*"),),
    "brow lower": (
        (_BROWS, r"lower\w*|furrow\w*|knit\w*|draw\w*|contract\w*|press\w* together"),
        (r"brow|forehead", r"furrow\w*|creas\w+|wrinkl\w+"),
    ),
    "lid raise": ((_EYES, r"wide|widen\w*|open\w* wide|bulg\w+|lift wide open"),),
    "lid tighten": ((_EYES, r"narrow\w*|squint\w*|tight\w*|crinkl\w+"), (r"squint\w*", "")),
    "eyes close": ((_EYES, r"clos\w+|shut\w*"), (r"blink\w*", "")),
    "gaze turn": ((r"eyes|gaze|looks?|looking|glanc\w+", r"down|downcast|downward\w*|aside|away|avert\w*|sideways"),),
    "nose wrinkle": ((r"nose|nostrils?", r"wrinkl\w+|scrunch\w*|crinkl\w+|flar\w+"),),
    "cheek raise": ((r"cheeks?", r"rais\w+|lift\w*|bunch\w*|ris(?:e|es|ing)|puff\w*"),),
    "upper lip raise": ((r"upper lip", r"rais\w+|curl\w*|lift\w*"), (r"sneer\w*", "")),
    "smile": ((r"smil\w+|grin\w*|laugh\w*", ""), (_CORNERS, rf"pull\w* up\w*|{_UP}")),
    "dimple": ((r"dimpl\w+|smirk\w*", ""),),
    "lip corner drop": ((r"frown\w*", ""), (_CORNERS, _DOWN + r"|turn\w* down\w*"), (_MOUTH, r"downturn\w*")),
    "lower lip drop": ((r"lower lip", r"drops?|dropp\w+|depress\w+"),),
    "lip stretch": (("lips|mouth", r"stretch\w*"),),
    "lip tighten": ((_LIPS + "|mouth", r"press\w*|purs\w+|tight\w*|compress\w+|thin line|firm line"),),
    "lips part": ((_LIPS, r"part|parts|parted|parting|apart|open\w*"), (_MOUTH, r"open\w*|agape|ajar")),
    "jaw drop": ((r"jaw", r"drop\w*|slack\w*|open\w*"), (_MOUTH, r"wide open|gap(?:es|ing)|agape")),
    "jaw clench": ((r"jaw\w*|teeth", r"clench\w*|tight\w*|set|grit\w*"),),
    "chin raise": ((r"chin", r"rais\w+|push\w*|lift\w*|ris(?:e|es|ing)|jut\w*|trembl\w+"), (r"pout\w*", "")),
}
"""Facial action to (part, movement) pairs near each other in one clause; a word with an empty movement is enough.

After the action units of Ekman, Friesen & Hager, *Facial Action Coding System* (2002), as far as everyday words go:
inner and outer brow raise are one, gaze and clenched jaws are added.
"""


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE)


def _near(part: str, movement: str) -> re.Pattern[str]:
    """The part and its movement in either order, at most four words apart."""
    if not movement:
        return _words(part)
    between = r"[^\w]+(?:[\w'’-]+[^\w]+){0,4}"
    return _words(rf"(?:{part}){between}(?:{movement})|(?:{movement}){between}(?:{part})")


_EMOTIONS = {emotion: _words(pattern) for emotion, pattern in EMOTION_WORDS.items()}
_IDENTITY = {kind: _words(pattern) for kind, pattern in IDENTITY_WORDS.items()}
_ACTIONS = {name: tuple(_near(*pair) for pair in pairs) for name, pairs in ACTION_WORDS.items()}
_CLAUSE = re.compile(r"[,;:.!?…—]+|\b(?:while|with)\b|\band (?=(?:the|their|his|her|a|an)\b)", re.IGNORECASE)
_NEGATED = re.compile(
    r"(?:\b(?:no|not|never|without|neither|nor|lack(?:s|ing)?|absence|rather than|instead of|devoid)|n['’]t)"
    r"\b(?:\W+\w+){0,3}\W*$",
    re.IGNORECASE,
)


def emotion_words(text: str) -> Iterator[tuple[str, str]]:
    """Each emotion word of ``text`` and the emotion it claims; one that is denied ("no sign of anger") claims none."""
    for emotion, pattern in _EMOTIONS.items():
        for found in pattern.finditer(text):
            clause = re.split(r"[,;:.!?]", text[: found.start()])[-1]
            if not _NEGATED.search(clause):
                yield emotion, found[0].lower()


def without_emotion_words(text: str) -> str:
    """``text`` with every emotion word, denied ones too, taken out."""
    for pattern in _EMOTIONS.values():
        text = pattern.sub(" ", text)
    return text


def identity_words(text: str) -> Iterator[tuple[str, str]]:
    """Each word of ``text`` that guesses who is shown, and what it guesses: sex, age or origin."""
    for kind, pattern in _IDENTITY.items():
        for found in pattern.finditer(text):
            yield kind, found[0].lower()


def actions_in(text: str) -> set[str]:
    """The facial actions that ``text`` names, read clause by clause."""
    clauses = [clause for clause in _CLAUSE.split(text) if clause and clause.strip()]
    return {
        name
        for name, patterns in _ACTIONS.items()
        if any(pattern.search(clause) for pattern in patterns for clause in clauses)
    }
