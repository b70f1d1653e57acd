"""How a clip's tokens lie in the columns of its row: frames by patches, sentences one after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float16, Int32

from grace.pipeline.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

SentenceTokens = tuple[Float16[np.ndarray, "_tokens text_width"], Int32[np.ndarray, " _tokens"]]
"""The tokens of one sentence and their vocabulary ids; the last one is the end token, the sentence's embedding."""

VisualTokens = tuple[Float16[np.ndarray, "_time patches dim"], Float16[np.ndarray, "_time dim"]]
"""The patch tokens and class tokens of some frames, or of one clip."""


def pack_text(sentences: Sequence[SentenceTokens], length: int, dim: int) -> tuple[dict[str, np.ndarray], int]:
    """The text columns of one clip: its sentences one after another, each ending in its end token.

    Where the last sentence that fits is cut, its end token is kept in place of a word: it still holds the whole
    sentence.

    Args:
        sentences: For each sentence its tokens, float16 [n, D], and their vocabulary ids, int32 [n].
        length: L, how many tokens the columns hold (``tokens.text_length``).
        dim: D, the width of a text token.

    Returns:
        The columns ``text`` float16 [L, D], ``text_mask`` bool [L] (tokens, not padding), ``text_id`` int32 [L] and
        ``sentence`` int16 [L] (the number of each token's sentence, -1 for padding); and how many tokens did not fit.

    Example:
        >>> first = np.ones((2, 3), np.float16), np.array([7, 2], np.int32)
        >>> second = np.ones((4, 3), np.float16), np.array([5, 6, 8, 2], np.int32)
        >>> columns, dropped = pack_text([first, second], length=5, dim=3)
        >>> columns["text_id"].tolist(), columns["sentence"].tolist(), dropped
        ([7, 2, 5, 6, 2], [0, 0, 1, 1, 1], 1)
    """
    columns = {
        "text": np.zeros((length, dim), np.float16),
        "text_mask": np.zeros(length, bool),
        "text_id": np.zeros(length, np.int32),
        "sentence": np.full(length, -1, np.int16),
    }
    start, total = 0, sum(len(ids) for _, ids in sentences)
    for number, (tokens, ids) in enumerate(sentences):
        free = length - start
        if free <= 0:
            break
        if len(ids) > free:
            tokens, ids = np.concatenate([tokens[: free - 1], tokens[-1:]]), np.append(ids[: free - 1], ids[-1])
        stop = start + len(ids)
        columns["text"][start:stop] = tokens
        columns["text_id"][start:stop] = ids
        columns["text_mask"][start:stop] = True
        columns["sentence"][start:stop] = number
        start = stop
    return columns, total - start


def pooled_to_grid(
    patches: Float[Tensor, "frames patches dim"], side: int | None
) -> Float[Tensor, "frames pooled dim"]:
    """Patch tokens of a square grid averaged to ``side`` by ``side`` patches; as they are where that is their grid.

    Raises :class:`UserError` when the model has fewer patches than that.

    Example:
        >>> import torch
        >>> patches = torch.arange(16.0).view(1, 16, 1)  # 4 × 4
        >>> pooled_to_grid(patches, 2).flatten().tolist()
        [2.5, 4.5, 10.5, 12.5]
    """
    import torch

    own = round(patches.shape[1] ** 0.5)
    if side is None or side == own:
        return patches
    if side > own:
        raise UserError(f"tokens.grid is {side}, and the model has {own} patches per side: lower it, or leave it out.")
    maps = patches.unflatten(1, (own, own)).permute(0, 3, 1, 2)
    pooled: Tensor = torch.nn.functional.adaptive_avg_pool2d(maps.float(), side).to(patches.dtype)
    return pooled.flatten(2).mT


def to_float16(tokens: Tensor) -> np.ndarray:
    """Tokens as they are stored: float16, in memory."""
    import torch

    return tokens.to(torch.float16).cpu().numpy()
