"""JSON objects in text that a model wrote: the last whole one counts, a broken one is repaired."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from grace.pipeline.strict_yaml import nesting

MAX_DEPTH = 50
"""A description has three levels; readers of JSON take time and memory with each."""
MAX_REPAIR = 8_000
"""Characters of broken JSON that are repaired: the time of a repair may grow with their square."""

_DECODER = json.JSONDecoder(parse_int=float)  # int() refuses thousands of digits


@dataclass(frozen=True)
class Found:
    """Where an object begins and ends, and what it holds; None for one that is broken."""

    start: int
    end: int
    content: dict[str, Any] | None


def last_object(text: str, key: str) -> tuple[dict[str, Any], bool]:
    """The last object of ``text`` that has ``key``, and whether it had to be repaired.

    A model that corrects itself writes a second object, which then is what it means.

    Args:
        text: An answer; whatever stands around the objects is ignored.
        key: What the object holds. Where none does, it is the last object at all.

    Raises:
        ValueError: There is no object, or it is beyond repair.

    Example:
        >>> last_object('{"a": 1} No: {"a": 2}', "a")
        ({'a': 2.0}, False)
    """
    if "{" not in text:
        raise ValueError("the answer holds no JSON")
    if nesting(text) > MAX_DEPTH:
        raise ValueError("the answer's JSON is nested too deeply")
    found = list(_objects(text))
    whole = [each for each in found if each.content is not None and key in each.content] or _last_started(text, key)
    after = whole[-1].end if whole else 0
    broken = next((each for each in found if each.content is None and each.start >= after), None)
    if broken and whole and text[whole[-1].start :].startswith(text[broken.start :]):
        broken = None  # the same once more, and cut
    repaired = _repair(text[broken.start :], key) if broken and len(text) - broken.start <= MAX_REPAIR else None
    if repaired is not None and (key in repaired or not whole):
        return repaired, True
    if whole:
        return dict(whole[-1].content or {}), False
    others = [each.content for each in found if each.content is not None]
    if not others:
        raise ValueError("the answer's JSON is beyond repair")
    return others[-1], False


def text_after_last(text: str, key: str) -> str:
    """What follows the last whole object with ``key``; empty when there is none, or it is that object started again."""
    whole = [each for each in _objects(text) if each.content is not None and key in each.content]
    if not whole:
        return ""
    rest = text[whole[-1].end :].strip(" \t\r\n`")
    return "" if text[whole[-1].start :].startswith(rest) else rest


def _objects(text: str) -> Iterator[Found]:
    """Every outermost object, in order. Each character is read once."""
    start = text.find("{")
    while start >= 0:
        try:
            content, end = _DECODER.raw_decode(text, start)
            yield Found(start, end, content)
        except json.JSONDecodeError as error:
            end = max(error.pos, start + 1)
            yield Found(start, end, None)
        start = text.find("{", end)


def _last_started(text: str, key: str) -> list[Found]:
    """The whole object that begins last with ``key``, for when a quote that is open before it hides where it begins."""
    starts = [found.start() for found in re.finditer(rf'\{{\s*+"{re.escape(key)}"\s*+:', text)]
    try:
        content, end = _DECODER.raw_decode(text, starts[-1])
    except (IndexError, json.JSONDecodeError):
        return []
    return [Found(starts[-1], end, content)]


def _repair(text: str, key: str) -> dict[str, Any] | None:
    """What a repair makes of everything from a broken object on; None when that is no object."""
    import json_repair

    try:
        made = json_repair.loads(text)
    except (ValueError, RecursionError):
        return None
    objects = [each for each in (made if isinstance(made, list) else [made]) if isinstance(each, dict)]
    described = [each for each in objects if key in each] or objects
    return described[-1] if described else None
