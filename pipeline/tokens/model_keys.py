"""Which models made tokens, as it is stored with them."""

from __future__ import annotations

from typing import Any

from grace.pipeline.checkpoints import model_cache_key
from grace.pipeline.tokens.settings import TokensSettings


def model_cache_keys(settings: TokensSettings) -> dict[str, Any]:
    """Name and content of each model: ``model`` where it is one for both sides, else ``vision`` and ``text_encoder``.

    The trainer reads from it whether tokens of video and text lie in one space.

    Raises:
        UserError: There is no such model.

    Example:
        >>> sorted(model_cache_keys(TokensSettings()))
        ['model']
        >>> sorted(model_cache_keys(TokensSettings(text_encoder="pocket/llm")))
        ['text_encoder', 'vision']
    """
    if settings.aligned:
        return {"model": model_cache_key(*settings.vision_model)}
    return {
        "vision": model_cache_key(*settings.vision_model),
        "text_encoder": model_cache_key(*settings.text_model),
    }
