"""Reads the class prompts (each class in words) that the tokens stage cached, for the method ``template``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from grace.pipeline.store import UserError, read_table
from grace.pipeline.store.formats import decode_meta
from grace.pipeline.store.schemas import TEMPLATES, TEMPLATES_FILE
from grace.trainer.data import Cache


def load_class_prompts(cache: Cache) -> Float[Tensor, "classes width"]:
    """One embedding per class: the mean over its prompts, each scaled to length 1.

    Raises :class:`UserError` when the file is missing, was made by another model than the tokens, or lacks a class.
    """
    if not cache.aligned:
        raise UserError(
            "Method template compares videos with texts in one space, and tokens.vision and tokens.text_encoder are "
            "two models: choose another method, or one tokens.model for both."
        )
    path = cache.folder / "tokens" / TEMPLATES_FILE
    rows = read_table(path, TEMPLATES)
    _check_model(cache, decode_meta(TEMPLATES, path).get("cache_key") or {})
    means = []
    for label in cache.labels:
        embeddings = np.array([row["embedding"] for row in rows if row["label"] == label], dtype=np.float32)
        if embeddings.shape[1:] != (cache.width,) or not np.isfinite(embeddings).all():
            raise UserError(f"{path} has no sound prompt for '{label}': remove it and run `grace tokens` again.")
        means.append((embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).mean(0))
    return torch.from_numpy(np.stack(means))


def _check_model(cache: Cache, cache_key: dict[str, Any]) -> None:
    """Embeddings of one model mean nothing beside tokens of another."""
    tokens = cache.cache_key()["tokens"] or {}
    if cache_key.get("model") != tokens.get("model"):
        raise UserError(
            f"{cache.folder / 'tokens' / TEMPLATES_FILE} was made by another model than the tokens beside it: "
            f"run `grace tokens` again."
        )
