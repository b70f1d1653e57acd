"""What a model has answered, without what is no answer: thoughts, control characters, special tokens, endless text.

Every response passes through :func:`clean_response` before captioning or refining judges it. Each function takes time
in proportion to the length of the text, whatever the text is.
"""

from __future__ import annotations

import re
from dataclasses import replace

from grace.pipeline.engines import Response
from grace.pipeline.engines.special_tokens import escape_known_special_tokens
from grace.pipeline.engines.thoughts import (
    ANSWER_HEADING,
    CLOSING,
    FINAL_CHANNEL,
    FINAL_HEADING,
    FINAL_WORD,
    HEADING,
    OPENING,
    THINKING_WORD,
)

MAX_CHARACTERS = 20_000
"""The longest answer that is read, without its thoughts; a description has about a thousand characters."""

_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ud800-\udfff\ufff9-\ufffb]"
)
"""Control characters, invisible ones, those that turn the direction of writing, and halves of surrogate pairs."""
_ANSWER = re.compile(
    r"<answer>|</answer>|<\|(?:begin|end)_of_(?:box|solution)\|>|<\|(?:start|end)_response\|>", re.IGNORECASE
)
"""Marks that some reasoning models put around what they answer after thinking."""
_THINKING_ALOUD = re.compile(
    r"\W{0,3}(?:(?:okay|ok|alright|all right|hmm+|so|well|wait|right|got it|first(?:ly)?)\b\W{1,3}){0,3}"
    r"(?:let['’]?s\b|let me\b|i need to\b|i['’]ll\b|i (?:will|should|have to)\b|i['’]m (?:going|asked)\b|the user\b|"
    r"we (?:need|have|are asked|should|must)\b|my task\b|the task\b|the (?:prompt|question|instruction)\b|"
    r"thinking process\b|thought process\b)",
    re.IGNORECASE,
)
"""How the thoughts of reasoning models begin when their chat template has opened them already."""

CUT_THOUGHTS = (
    "the model was still thinking when its tokens ended: raise max_tokens, or turn thinking off with "
    "chat_template_kwargs: {enable_thinking: false}"
)


def clean_response(response: Response) -> Response:
    """``response`` with the text that a model meant as its answer.

    Args:
        response: What an engine returned.

    Raises:
        ValueError: It holds no answer: nothing but thoughts, or more than :data:`MAX_CHARACTERS`; the message is the
            cause.

    Example:
        >>> clean_response(Response("Is it fear? No.</think>The brows rise.")).text
        'The brows rise.'
    """
    text = drop_thoughts(response.text)
    if text is None or (response.finish_reason == "length" and text is response.text and _thinking_aloud(text)):
        raise ValueError(CUT_THOUGHTS)
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"the answer has {len(text):,} characters, more than {MAX_CHARACTERS:,}")
    return replace(response, text=plain_text(_marked_answer(text)))


def drop_thoughts(text: str) -> str | None:
    """``text`` after the last mark that closes thoughts; None when thoughts are open at its end.

    The opening mark may be missing: many chat templates write it themselves. Thoughts under a heading end where an
    answer is announced.

    Example:
        >>> drop_thoughts("<think>Fear?</think>The brows rise."), drop_thoughts("The brows. <thinking>Or")
        ('The brows rise.', None)
    """
    ends = [found.end() for pattern in (CLOSING, FINAL_CHANNEL, FINAL_HEADING) for found in pattern.finditer(text)]
    if text.startswith(THINKING_WORD):  # channels whose marks the tokenizer left out of the text
        place = text.rfind(FINAL_WORD)
        if place >= 0:
            ends.append(place + len(FINAL_WORD))
        elif text[len(THINKING_WORD) : len(THINKING_WORD) + 1].isupper():
            return None
    rest = text[max(ends) :] if ends else text
    answer = _under_heading(rest) if HEADING.match(rest) else rest
    return None if answer is None or OPENING.search(answer) else answer


def _under_heading(text: str) -> str | None:
    """What ``text``, which begins with thoughts under a heading, answers; None when it does not come to that."""
    if answers := list(ANSWER_HEADING.finditer(text)):
        return text[answers[-1].end() :]
    start = text.find("{")  # an object needs no heading, and of several the last counts
    return text[start:] if start >= 0 else None


def plain_text(text: str) -> str:
    """``text`` without unprintable characters, its special tokens broken, so that no tokenizer takes them as such.

    Example:
        >>> plain_text("The lips part.\\x1b<|endoftext|>")
        'The lips part.< |endoftext|>'
    """
    return escape_known_special_tokens(_UNPRINTABLE.sub("", text)).strip()


def _marked_answer(text: str) -> str:
    """What stands in the last ``<answer>``, or after the last mark; all of ``text`` where nothing is marked."""
    marks = list(_ANSWER.finditer(text))
    opened = [place for place, mark in enumerate(marks) if not mark[0].lower().startswith(("</", "<|end"))]
    if not opened:
        return text
    last = opened[-1]
    end = marks[last + 1].start() if last + 1 < len(marks) else len(text)
    return text[marks[last].end() : end]


def _thinking_aloud(text: str) -> bool:
    return bool(_THINKING_ALOUD.match(text))
