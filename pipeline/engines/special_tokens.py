"""Text that cannot act: control tokens inside captions and prompts are broken before a chat template sees them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from grace.pipeline.engines.base import Message

_TOKEN = re.compile(r"[^\w\s].*\w")
"""How a control token looks: a sign and a word (``<image>``), not a word or blanks that a tokenizer added."""

_USUAL = re.compile(
    r"<\|[^<>|\s]{1,40}\|>|</?(?:s|pad|unk|bos|eos|image|img|video|audio|mask|(?:start|end)_of_\w+)>|\[/?INST\]"
    r"|<</?SYS>>|<[\uff5c\u2502][^<>]{1,40}[\uff5c\u2502]>",
    re.IGNORECASE,
)
"""Control tokens of the chat models in use, for servers, which do not tell theirs."""


def escape_special_tokens(text: str, tokens: Iterable[str]) -> str:
    """``text`` with each of a tokenizer's control ``tokens`` broken by a blank: ``<|im_end|>`` to ``< |im_end|>``."""
    for token in tokens:
        if _TOKEN.search(token) and token in text:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def escape_known_special_tokens(text: str) -> str:
    """The same for a model whose tokens are not known: what looks like a control token of any usual model."""
    return _USUAL.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)


def texts_in(message: Message) -> str:
    """All text of a message, its parts one after another."""
    return "\n".join(part["text"] for part in message["content"] if part["type"] == "text")
