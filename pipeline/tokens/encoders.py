"""The two encoders of the tokens step: one aligned model for both sides, or any two models."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from transformers import AutoImageProcessor

from grace.pipeline.errors import UserError
from grace.pipeline.tokens.checkpoint import Checkpoint
from grace.pipeline.tokens.encoder import FAMILIES, ClipEncoder, SiglipEncoder
from grace.pipeline.tokens.image_encoder import ImageEncoder, VisionEncoder
from grace.pipeline.tokens.settings import TokensSettings
from grace.pipeline.tokens.text_encoder import SentenceEncoder, TextEncoder


@dataclass
class Encoders:
    """What encodes face crops, and what encodes texts; one object where one model does both."""

    images: ImageEncoder
    texts: TextEncoder
    lock: Lock = field(default_factory=Lock, init=False, repr=False)
    """Held while one shard is encoded; another one's frames are decoded, or its tokens written, meanwhile."""

    @classmethod
    def load(cls, settings: TokensSettings) -> Encoders:
        """Open ``tokens.model``, or ``tokens.vision`` and ``tokens.text_encoder`` in the place of its sides.

        Raises:
            UserError: A model is missing, cannot be opened, or is not of its kind.

        Example:
            >>> encoders = Encoders.load(TokensSettings(device="cpu"))
            >>> encoders.images is encoders.texts, encoders.texts.text_width
            (True, 128)
        """
        opened: dict[tuple[str, str | None], Any] = {}

        def checkpoint(model: str, revision: str | None) -> Checkpoint:
            if (model, revision) not in opened:
                opened[model, revision] = Checkpoint.load(model, revision, settings.dtype, settings.device)
            found: Checkpoint = opened[model, revision]
            return found

        images = _image_encoder(checkpoint(*settings.vision_model), settings)
        if settings.aligned:
            assert isinstance(images, ClipEncoder)
            return cls(images, images)
        return cls(images, _text_encoder(checkpoint(*settings.text_model), settings))


def _image_encoder(checkpoint: Checkpoint, settings: TokensSettings) -> ImageEncoder:
    """The image side of a model of CLIP's family, or a vision transformer by itself."""
    if settings.aligned or settings.vision is None or type(checkpoint.model).__name__ in FAMILIES:
        both = ClipEncoder.of(checkpoint)
        if settings.image_size is not None:
            raise UserError(f"tokens.image_size goes with a tokens.vision by itself, and {checkpoint.name} is a CLIP.")
        if settings.patch_path == "value" and isinstance(both, SiglipEncoder):
            raise UserError(f"tokens.patch_path: value is CLIP's, and {checkpoint.name} is a SigLIP: leave it out.")
        both.patch_path = settings.patch_path
        return both
    if settings.patch_path == "value":
        raise UserError(f"tokens.patch_path: value is CLIP's, and {checkpoint.name} is none: leave it out.")
    sized: dict[str, Any] = {}
    if settings.image_size is not None:
        side = settings.image_size
        sized = {"size": {"height": side, "width": side}, "crop_size": {"height": side, "width": side}}
    return VisionEncoder(checkpoint.model, checkpoint.part(AutoImageProcessor, **sized))


def _text_encoder(checkpoint: Checkpoint, settings: TokensSettings) -> TextEncoder:
    """The text side of a model of CLIP's family, or a text encoder by itself."""
    if settings.text_encoder is None or type(checkpoint.model).__name__ in FAMILIES:
        return ClipEncoder.of(checkpoint)
    return SentenceEncoder.of(checkpoint, settings.text_pooling)
