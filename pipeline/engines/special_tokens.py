"""Special tokens inside captions and prompts are broken before a chat template sees them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from grace.pipeline.engines.base import Message

_TOKEN = re.compile(r"[^\w\s].*\w")
"""The look of a special token: a sign and a word (``<image>``), not a word or whitespace that a tokenizer added."""

_KNOWN = re.compile(
    r"<\|[^<>|\s]{1,40}\|>|</?(?:s|pad|unk|cls|sep|bos|eos|image|img|video|audio|mask|unused\d{1,4})>"
    r"|</?[a-z]{1,20}(?:_[a-z\d]{1,20}){1,5}>|\[/?(?:INST|IMG|CLS|SEP|PAD|UNK|MASK|BOS|EOS)\]|<</?SYS>>"
    r"|<[\uff5c\u2502][^<>]{1,40}[\uff5c\u2502]>",
    re.IGNORECASE,
)
"""Special tokens of the usual chat models, for servers, which do not report theirs."""


def escape_special_tokens(text: str, tokens: Iterable[str]) -> str:
    """``text`` with a space inside each of a tokenizer's special ``tokens``.

    Example:
        >>> escape_special_tokens("The lips part.<|im_end|>", ["<|im_end|>"])
        'The lips part.< |im_end|>'
    """
    for token in tokens:
        if _TOKEN.search(token) and token in text:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def escape_known_special_tokens(text: str) -> str:
    """The same for a model whose tokens are not known: whatever looks like a special token of a usual model."""
    return _KNOWN.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)


def texts_in(message: Message) -> str:
    """All text of a message, one line per part."""
    return "\n".join(part["text"] for part in message["content"] if part["type"] == "text")
