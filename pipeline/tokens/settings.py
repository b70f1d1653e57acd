"""``tokens`` in ``params.yaml``: tokens of video and text."""

from __future__ import annotations

from typing import Literal

from grace.pipeline.section import Count, Section


class TokensSettings(Section):
    """Tokens of video and text (``grace tokens``)."""

    model: str = "pocket/clip"  # of CLIP's family: one space for both sides
    revision: str | None = None
    vision: str | None = None  # a vision transformer in the place of the model's image side, such as DINOv2
    vision_revision: str | None = None
    text_encoder: str | None = None  # in the place of its text side: a sentence encoder, such as MiniLM
    text_encoder_revision: str | None = None
    text_pooling: Literal["mean", "first", "last"] = "mean"  # of a text_encoder: which hidden state is the sentence's
    image_size: Count | None = None  # pixels per side that a vision transformer sees; none: what its processor says
    grid: Count | None = None  # patches per side that are stored, averaged from the model's; none: all of them
    patch_path: Literal["output", "value"] = "output"  # value: CLIP's patches from its last layer's value path
    views: tuple[Literal["mirrored"], ...] = ()  # further views of each clip, drawn in training
    batch: Count = 64  # frames
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = "auto"
    device: str = "auto"
    storage: Literal["float16", "int8"] = "float16"  # int8 has a scale for each token, and half the size
    patches: Count | None = None  # patches kept per frame, those with most motion and saliency; none: all of them
    text: Literal["description", "caption"] = "description"  # caption: the coarse text in place of the fine one
    text_unit: Literal["word", "cue"] = "word"  # cue: one token for the clause of each cue
    texts: Count = 1  # of a clip at most: the text above, then its captions
    text_length: Count = 128  # L
    class_prompts: dict[str, list[str]] = {}  # class to sentences of what it looks like, over those that ship

    @property
    def vision_model(self) -> tuple[str, str | None]:
        """The model that encodes images, and its revision."""
        return (self.model, self.revision) if self.vision is None else (self.vision, self.vision_revision)

    @property
    def text_model(self) -> tuple[str, str | None]:
        """The model that encodes texts, and its revision."""
        if self.text_encoder is None:
            return self.model, self.revision
        return self.text_encoder, self.text_encoder_revision

    @property
    def aligned(self) -> bool:
        """Whether tokens of images and texts lie in one space: both are one model's."""
        return self.vision_model == self.text_model
