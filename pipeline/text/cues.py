"""What a language model answers about a clip: a description and cues, read from JSON that may be broken."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from grace.pipeline.sentences import collapse_whitespace, split_sentences
from grace.pipeline.text.answers import drop_thoughts, plain_text
from grace.pipeline.text.json_objects import last_object
from grace.pipeline.text.meanings import intensity_meant, phase_meant
from grace.pipeline.vocabulary import REGIONS, Intensity, Phase, Region, regions_in

MAX_VALUE = 300
"""Characters of a cue's field that are read: an action has a few words."""
_NO_ACTION = frozenset({"none", "n/a", "null", "unknown", "no action", "no movement", "not visible", "nothing"})


def _region(value: Any) -> Any:
    found = sorted(regions_in(str(value)[:MAX_VALUE]))
    return found[0] if len(found) == 1 else value


def _action(value: Any) -> Any:
    """One line that says something; anything else becomes nothing, which is refused."""
    text = collapse_whitespace(plain_text(value[:MAX_VALUE])) if isinstance(value, str) else ""
    return "" if not any(map(str.isalpha, text)) or text.lower() in _NO_ACTION else text


class Cue(BaseModel):
    """One movement: which region, what it does, how strongly, and how it unfolds."""

    region: Annotated[Region, BeforeValidator(_region)]
    action: Annotated[str, Field(min_length=1), BeforeValidator(_action)]
    intensity: Annotated[Intensity, BeforeValidator(intensity_meant)]
    phase: Annotated[Phase, BeforeValidator(phase_meant)]


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
    answer, repaired = last_object(text, "description")
    description = _description(answer.get("description"))
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
    return ParsedAnswer(description, tuple(cues), dropped, repaired)


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


def _description(value: Any) -> str:
    """The text on one line. What JSON writes as escapes is seen here for the first time: thoughts, special tokens."""
    text = drop_thoughts(value) if isinstance(value, str) else None
    if text is None or not (described := collapse_whitespace(plain_text(text))):
        raise ValueError("the answer has no description")
    return described


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


_FIELDS = tuple(Cue.model_fields)
