"""``tokens`` in ``params.yaml``: tokens of video and text."""

from __future__ import annotations

from typing import Literal

from grace.pipeline.section import Count, Section


class TokensSettings(Section):
    """CLIP tokens of video and text (``grace tokens``)."""

    model: str = "pocket/clip"
    revision: str | None = None
    batch: Count = 64  # frames
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = "auto"
    device: str = "auto"
    storage: Literal["float16", "int8"] = "float16"  # int8 has a scale for each token, and half the size
    patches: Count | None = None  # patches kept per frame, those with most motion and saliency; none: all of them
    text: Literal["description", "caption"] = "description"  # caption: the coarse text in place of the fine one
    text_length: Count = 128  # L
