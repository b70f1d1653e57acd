"""How reasoning models mark their thoughts: which text opens them, and which closes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_NAMES = r"(?:seed:)?(?:think|thinking|thoughts?|reason|reasoning|reflection|analysis|scratchpad)"
_SPECIAL = r"(?:think|thinking|thought)"
_LESS, _GREATER = r"(?:<|&(?:amp;)?(?:lt|#60|#x3c);)", r"(?:>|&(?:amp;)?(?:gt|#62|#x3e);)"
"""Brackets, also as HTML writes them, which some servers do."""

OPENING = re.compile(
    rf"{_LESS}\s{{0,3}}{_NAMES}\b[^<>]{{0,40}}?{_GREATER}|\[THINK(?:ING)?\]|◁think▷"
    rf"|{_LESS}\|(?:(?:begin|start)_(?:of_)?)?{_SPECIAL}\|{_GREATER}|<unused94>(?:\s{{0,3}}thought\b)?"
    r"|<\|channel\|>\s{0,3}(?:analysis|commentary)|<\|channel>\s{0,3}thought",
    re.IGNORECASE,
)
"""Marks that open thoughts: Qwen, DeepSeek, GLM, Magistral, Kimi, Command A, MedGemma, gpt-oss, Gemma and their kin."""
CLOSING = re.compile(
    rf"{_LESS}\s{{0,3}}/\s{{0,3}}{_NAMES}\b[^<>]{{0,40}}?{_GREATER}|\[/THINK(?:ING)?\]|◁/think▷"
    rf"|{_LESS}\|(?:end_(?:of_)?|/){_SPECIAL}\|{_GREATER}|<unused95>|<channel\|>",
    re.IGNORECASE,
)
"""Marks that close them."""
HEADING = re.compile(
    r"[\s#*_>]{0,8}(?:(?:here is |here['’]s )?(?:my|the) )?(?:thinking|thoughts?|reasoning|chain of thought)"
    r"(?: (?:process|steps?|trace))?[*_]{0,3}\s{0,2}:",
    re.IGNORECASE,
)
"""How a text begins whose thoughts stand under a heading."""
_ANSWER = r"(?:answer|response|output|caption|description)[*_]{0,3}\s{0,2}:[*_]{0,3}"
FINAL_HEADING = re.compile(rf"^[\s#*_>]{{0,8}}(?:(?:my|the) )?final {_ANSWER}", re.IGNORECASE | re.MULTILINE)
"""Where the answer begins in any text: a line of its own that says so."""
ANSWER_HEADING = re.compile(rf"\b(?:final|corrected) {_ANSWER}|^[\s#*_>]{{0,8}}{_ANSWER}", re.IGNORECASE | re.MULTILINE)
"""Where it begins in a text whose thoughts stand under a heading."""
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
