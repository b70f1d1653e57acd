"""What a language model answers about a clip: a description and cues, read from JSON that may be broken."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from grace.pipeline.sentences import split_sentences

Region = Literal["brows", "eyes", "nose", "cheeks", "mouth", "jaw"]
Intensity = Literal["slightly", "clearly", "strongly"]
Phase = Literal["onset", "apex", "offset"]

REGION_WORDS: dict[str, str] = {
    "brows": r"(?:eye)?brows?|forehead",
    "eyes": r"eyes?|(?:eye)?lids?|gaze|blink\w*|squint\w*|wink\w*",
    "nose": r"noses?|nostrils?",
    "cheeks": r"cheeks?",
    "mouth": r"mouths?|lips?|smil\w+|grin\w*|teeth|tongue|pout\w*",
    "jaw": r"jaws?|chins?",
}
"""The words by which a text names each region."""

_REGIONS = {region: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for region, words in REGION_WORDS.items()}
_INTENSITIES = {
    "slightly": r"slight|mild|faint|subtl|weak|little|low",
    "clearly": r"clear|moderate|medium|notic|visibl|distinct",
    "strongly": r"strong|intens|high|extreme|very|marked|wide",
}
_PHASES = {
    "onset": r"onset|begin|start|ris|build",
    "apex": r"apex|peak|hold|full",
    "offset": r"offset|end|fad|relax|fall",
}


def regions_in(text: str) -> set[str]:
    """The regions of the face that a text mentions, whatever it says of them."""
    return {region for region, words in _REGIONS.items() if words.search(text)}


def _region(value: Any) -> Any:
    found = sorted(regions_in(str(value)))
    return found[0] if len(found) == 1 else value


def _one_of(stems: dict[str, str]) -> BeforeValidator:
    """Bring a model's other words for the same (``mild``, ``peak``) to ours; what is unknown stays as it is."""

    def convert(value: Any) -> Any:
        found = [word for word, pattern in stems.items() if re.match(pattern, str(value).strip(), re.IGNORECASE)]
        return found[0] if found else value

    return BeforeValidator(convert)


class Cue(BaseModel):
    """One movement: which region, what it does, how strongly, and how it unfolds."""

    region: Annotated[Region, BeforeValidator(_region)]
    action: Annotated[str, Field(min_length=1)]
    intensity: Annotated[Intensity, _one_of(_INTENSITIES)]
    phase: Annotated[Phase, _one_of(_PHASES)]


class FineText(BaseModel):
    """The answer asked for; its JSON schema goes to engines that can decode under one."""

    description: Annotated[str, Field(min_length=1)]
    cues: list[Cue]


SCHEMA: dict[str, Any] = FineText.model_json_schema()
"""Made once: made for every clip, it doubled what refining costs beside its engine."""


@dataclass(frozen=True)
class ParsedAnswer:
    """What could be read from an answer, and what had to be dropped of it."""

    description: str
    cues: tuple[Cue, ...]
    dropped: tuple[str, ...] = ()
    repaired: bool = False  # the JSON was broken


def read_answer(text: str) -> ParsedAnswer:
    """Description and cues from a model's answer, its JSON repaired when it is broken.

    A cue that is none (no region of the face, no known intensity or phase) is dropped. Raises :class:`ValueError`
    with the cause when there is no description to be had.
    """
    answer, repaired = _load(text)
    description = answer.get("description")
    if not isinstance(description, str) or not collapse_whitespace(description):
        raise ValueError("the answer has no description")
    listed = answer.get("cues", [])
    if not isinstance(listed, list):
        raise ValueError("the answer's cues are not a list")
    cues: list[Cue] = []
    for cue in listed:
        try:
            cues.append(Cue.model_validate(cue))
        except ValidationError:
            continue
    lost = len(listed) - len(cues)
    dropped = (f"{_count(lost, 'cue')} without a known {', '.join(_FIELDS)} dropped",) if lost else ()
    return ParsedAnswer(collapse_whitespace(description), tuple(cues), dropped, repaired)


def drop_unsupported(caption: str, reading: ParsedAnswer) -> ParsedAnswer:
    """``reading`` without the cues and sentences that name a region which ``caption`` does not mention.

    Raises :class:`ValueError` when no sentence is left.
    """
    known = regions_in(caption)
    sentences = split_sentences(reading.description)
    kept = [sentence for sentence in sentences if regions_in(sentence) <= known]
    cues = tuple(cue for cue in reading.cues if cue.region in known)
    invented = regions_in(reading.description) | {cue.region for cue in reading.cues}
    added = [region for region in get_args(Region) if region in invented - known]
    if not kept:
        raise ValueError(f"the answer names what the caption does not mention: {', '.join(added)}")
    if not added:
        return reading
    lost = _count(len(sentences) - len(kept), "sentence"), _count(len(reading.cues) - len(cues), "cue")
    note = f"{' and '.join(lost)} dropped that name what the caption does not mention: {', '.join(added)}"
    return replace(reading, description=" ".join(kept), cues=cues, dropped=(*reading.dropped, note))


def collapse_whitespace(text: str) -> str:
    """``text`` on one line with single blanks."""
    return " ".join(text.split())


def _load(text: str) -> tuple[dict[str, Any], bool]:
    """The JSON object in an answer, and whether it is what a repair made of everything from its first brace on."""
    import json_repair

    text = re.sub(r"<think>.*?</think>", "", text, flags=re.DOTALL)  # some models think aloud before they answer
    start = text.find("{")
    if start < 0:
        raise ValueError("the answer holds no JSON")
    repaired = False
    try:
        answer = json.loads(text[start : text.rfind("}") + 1])
    except (json.JSONDecodeError, RecursionError):
        repaired = True
        try:
            answer = json_repair.loads(text[start:])
        except (ValueError, RecursionError):
            raise ValueError("the answer's JSON is beyond repair") from None
    # Text after the object makes the repair find several: the first one that describes is meant.
    found = answer if isinstance(answer, list) else [answer]
    objects = [item for item in found if isinstance(item, dict)]
    if not objects:
        raise ValueError("the answer's JSON is not an object")
    return next((item for item in objects if "description" in item), objects[0]), repaired


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


_FIELDS = tuple(Cue.model_fields)
