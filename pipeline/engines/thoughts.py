"""How reasoning models mark their thoughts: which text opens them, and which closes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_NAMES = r"(?:seed:)?(?:think|thinking|thoughts?|reason|reasoning|reflection|analysis|scratchpad)"
_SPECIAL = r"(?:think|thinking|thought)"

OPENING = re.compile(
    rf"<\s{{0,3}}{_NAMES}\b[^<>]{{0,40}}>|\[THINK(?:ING)?\]|◁think▷|<\|(?:(?:begin|start)_of_)?{_SPECIAL}\|>"
    r"|<\|channel\|>\s{0,3}(?:analysis|commentary)|<\|channel>\s{0,3}thought",
    re.IGNORECASE,
)
"""Marks that open thoughts: Qwen, DeepSeek, GLM, Magistral, Kimi, gpt-oss, Gemma and their kin."""
CLOSING = re.compile(
    rf"<\s{{0,3}}/\s{{0,3}}{_NAMES}\b[^<>]{{0,40}}>|\[/THINK(?:ING)?\]|◁/think▷|<\|(?:end_of_|/){_SPECIAL}\|>|<channel\|>",
    re.IGNORECASE,
)
"""Marks that close them."""
FINAL_CHANNEL = re.compile(r"<\|channel\|>\s{0,3}final[^<>|]{0,40}<\|message\|>", re.IGNORECASE)
"""Where the answer begins for models that speak in channels (gpt-oss)."""
THINKING_WORD, FINAL_WORD = "analysis", "assistantfinal"
"""What is left of their marks in text without special tokens."""


def opened_thoughts(prompt: str) -> str:
    """The mark with which a rendered prompt opens thoughts at its very end; empty when it does not.

    Example:
        >>> opened_thoughts("<|im_start|>assistant\\n<think>\\n"), opened_thoughts("<think>\\n\\n</think>\\n\\n")
        ('<think>', '')
    """
    end = prompt[-80:].rstrip()
    marks = [found for found in OPENING.finditer(end) if found.end() == len(end)]
    return marks[0][0] if marks else ""


def thought_tokens(vocabulary: Mapping[str, int]) -> dict[int, str]:
    """Those of a tokenizer's tokens that open or close thoughts, by id."""
    return {
        number: token for token, number in vocabulary.items() if OPENING.fullmatch(token) or CLOSING.fullmatch(token)
    }


def decode_with_marks(tokens: list[int], marks: Mapping[int, str], decode: Callable[[list[int]], str]) -> str:
    """The text of ``tokens``, with the marks of thoughts in it even where ``decode`` leaves special tokens out.

    Args:
        tokens: Generated tokens.
        marks: The tokenizer's tokens that open or close thoughts, by id.
        decode: Tokens to text.

    Example:
        >>> decode_with_marks([1, 9, 2], {9: "</think>"}, lambda tokens: " ".join(map(str, tokens)))
        '1</think>2'
    """
    pieces, start = [], 0
    for place, token in enumerate(tokens):
        if token in marks:
            pieces += [decode(tokens[start:place]), marks[token]]
            start = place + 1
    return "".join([*pieces, decode(tokens[start:])])
