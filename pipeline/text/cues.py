"""What a language model answers about a clip: a description and cues, read from JSON that may be broken."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from grace.pipeline.sentences import collapse_whitespace, split_sentences
from grace.pipeline.vocabulary import REGIONS, Intensity, Phase, Region, regions_in

_INTENSITY_STEMS = {
    "slightly": r"slight|mild|faint|subtl|weak|little|low",
    "clearly": r"clear|moderate|medium|notic|visibl|distinct",
    "strongly": r"strong|intens|high|extreme|very|marked|wide",
}
_PHASE_STEMS = {
    "onset": r"onset|begin|start|ris|build",
    "apex": r"apex|peak|hold|full",
    "offset": r"offset|end|fad|relax|fall",
}


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
    intensity: Annotated[Intensity, _one_of(_INTENSITY_STEMS)]
    phase: Annotated[Phase, _one_of(_PHASE_STEMS)]


class FineText(BaseModel):
    """The answer asked for; its JSON schema goes to engines that can decode under one."""

    description: Annotated[str, Field(min_length=1)]
    cues: list[Cue]


SCHEMA: dict[str, Any] = FineText.model_json_schema()
"""Made once: made for every clip, it doubled what refining costs beside its engine."""


@dataclass(frozen=True)
class ParsedAnswer:
    """What an answer says, and which parts of it had to be dropped."""

    description: str
    cues: tuple[Cue, ...]
    dropped: tuple[str, ...] = ()
    repaired: bool = False  # the JSON was broken


def read_answer(text: str) -> ParsedAnswer:
    """The description and the cues in a model's answer, whose JSON is repaired when it is broken.

    A cue without a region of the face, an action, a known intensity and a known phase is dropped.

    Args:
        text: What the model wrote; text around the JSON is ignored.

    Raises:
        ValueError: There is no description in it; the message is the cause.

    Example:
        >>> read_answer('{"description": "The lips part.", "cues": []}').description
        'The lips part.'
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


def drop_unsupported(caption: str, answer: ParsedAnswer) -> ParsedAnswer:
    """``answer`` without the cues and sentences that name a region which ``caption`` does not mention.

    Raises :class:`ValueError` when no sentence is left.
    """
    known = regions_in(caption)
    sentences = split_sentences(answer.description)
    kept = [sentence for sentence in sentences if regions_in(sentence) <= known]
    cues = tuple(cue for cue in answer.cues if cue.region in known)
    invented = regions_in(answer.description) | {cue.region for cue in answer.cues}
    added = [region for region in REGIONS if region in invented - known]
    if not kept:
        raise ValueError(f"the answer names what the caption does not mention: {', '.join(added)}")
    if not added:
        return answer
    lost = _count(len(sentences) - len(kept), "sentence"), _count(len(answer.cues) - len(cues), "cue")
    note = f"{' and '.join(lost)} dropped that name what the caption does not mention: {', '.join(added)}"
    return replace(answer, description=" ".join(kept), cues=cues, dropped=(*answer.dropped, note))


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
