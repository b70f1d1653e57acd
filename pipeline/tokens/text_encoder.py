"""Sentences to a token per word and one for the sentence, by any text encoder of transformers.

- Reimers and Gurevych, "Sentence-BERT", EMNLP 2019: a sentence's embedding is the mean of its tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import AutoTokenizer

from grace.pipeline.errors import UserError
from grace.pipeline.tokens.checkpoint import Checkpoint

TextTokens = tuple[
    Float[Tensor, "sentences length dim"], Int[Tensor, "sentences length"], Bool[Tensor, "sentences length"]
]
"""Tokens of each sentence, their vocabulary ids, and which of them count: words, then the sentence's embedding."""

LONGEST = 512
"""Tokens of a sentence at most, for models that name no limit of their own."""

Pooling = Literal["mean", "first", "last"]
"""Which hidden state stands for a sentence: the mean of its tokens', the first one's (``[CLS]``), or the last one's."""


@runtime_checkable
class TextEncoder(Protocol):
    """A model that turns sentences into tokens.

    ``max_text_tokens`` are the tokens that a sentence may have, without special ones; ``text_width`` the dimensions
    of a token.
    """

    max_text_tokens: int

    @property
    def text_width(self) -> int:
        """Dimensions of a text token."""

    def count(self, text: str) -> int:
        """How many tokens a text has, without special ones."""

    def texts(self, sentences: Sequence[str]) -> TextTokens:
        """Tokens of each sentence, their vocabulary ids, and which of them count: words, then the sentence's own."""


@dataclass
class SentenceEncoder:
    """A text model by itself, such as MiniLM: hidden states by word, pooled by sentence.

    Args:
        model: The model, on its device and in evaluation mode.
        tokenizer: Its tokenizer.
        pooling: How a sentence's hidden states become its embedding (``tokens.text_pooling``).
    """

    model: Any
    tokenizer: Any
    pooling: Pooling = "mean"

    @classmethod
    def of(cls, checkpoint: Checkpoint, pooling: Pooling = "mean") -> SentenceEncoder:
        """The encoder of an opened checkpoint. Raises :class:`UserError` when it is no text encoder."""
        tokenizer = checkpoint.part(AutoTokenizer)
        if not getattr(tokenizer, "is_fast", False) or not hasattr(checkpoint.model.config, "hidden_size"):
            raise UserError(
                f"The model {checkpoint.name} is a {type(checkpoint.model).__name__}: tokens.text_encoder must be a "
                "text encoder of transformers with a fast tokenizer."
            )
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return cls(checkpoint.model, tokenizer, pooling)

    def __post_init__(self) -> None:
        self.tokenizer.padding_side = "right"
        positions = getattr(self.model.config, "max_position_embeddings", LONGEST)
        longest = min(self.tokenizer.model_max_length, positions, LONGEST)
        self.max_text_tokens = longest - self.tokenizer.num_special_tokens_to_add()

    @property
    def text_width(self) -> int:
        """Dimensions of a text token."""
        return int(self.model.config.hidden_size)

    def count(self, text: str) -> int:
        """How many tokens a text has, without special ones."""
        return len(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    @torch.inference_mode()
    def texts(self, sentences: Sequence[str]) -> TextTokens:
        """Tokens of each sentence, their vocabulary ids, and which of them count: words, then the sentence's own.

        A word's token is its last hidden state. The sentence's token follows the last word; special tokens are
        left out, but take part in the mean, as in Sentence-BERT.
        """
        batch = self.tokenizer(list(sentences), padding=True, return_special_tokens_mask=True, return_tensors="pt").to(
            self.model.device
        )
        ids, real, words = batch["input_ids"], batch["attention_mask"].bool(), ~batch["special_tokens_mask"].bool()
        hidden = self.model(input_ids=ids, attention_mask=batch["attention_mask"]).last_hidden_state
        pooled = self._pooled(hidden, real)
        # One more position holds the sentence's token, so that it has a place behind any number of words.
        hidden = torch.cat([hidden, pooled[:, None]], dim=1)
        end = self.tokenizer.sep_token_id or self.tokenizer.eos_token_id or 0
        ids = torch.nn.functional.pad(ids, (0, 1), value=end)
        return hidden, ids, torch.nn.functional.pad(words & real, (0, 1), value=True)

    def _pooled(
        self, hidden: Float[Tensor, "sentences length dim"], real: Bool[Tensor, "sentences length"]
    ) -> Float[Tensor, "sentences dim"]:
        if self.pooling == "first":
            return hidden[:, 0]
        if self.pooling == "last":
            last = real.sum(1) - 1
            return hidden[torch.arange(len(hidden), device=hidden.device), last]
        weight = real.to(hidden.dtype)
        return torch.einsum("nl,nld->nd", weight, hidden) / weight.sum(1, keepdim=True).clamp_min(1)
