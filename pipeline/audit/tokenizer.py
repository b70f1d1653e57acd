"""The tokenizer whose tokens an audit counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grace.pipeline.checkpoints import load_tokenizer, model_name
from grace.pipeline.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def load_fast_tokenizer(name: str, revision: str | None = None) -> PreTrainedTokenizerFast:
    """The tokenizer of a CLIP, one that reports where in the text each token lies.

    Args:
        name: A folder, an installed model (``pocket/clip``) or a hub id.
        revision: Branch, tag or commit of a hub model.

    Raises:
        UserError: When there is no such tokenizer, or it does not report positions.
    """
    from transformers import PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.set_verbosity_error()  # texts beyond the model's length are what is being counted
    try:
        tokenizer = load_tokenizer(name, revision)
    except UserError as error:
        raise UserError(f"There is no tokenizer '{name}': name a CLIP with --tokenizer ({error}).") from None
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UserError(f"The tokenizer of {name} does not report where its tokens lie: name another with --tokenizer.")
    tokenizer.name_or_path = model_name(name)
    return tokenizer
