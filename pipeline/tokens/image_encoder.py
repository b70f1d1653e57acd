"""Face crops to tokens: how they are prepared for any model, and any vision transformer of transformers.

- Caron et al., "Emerging properties in self-supervised vision transformers", ICCV 2021; Oquab et al., "DINOv2", 2024.
- He et al., "Masked autoencoders are scalable vision learners", CVPR 2022 (ViT-MAE).
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from grace.pipeline.errors import UserError

Pixels = UInt8[Tensor, "frames *pixels"]
"""Prepared images: [frames, 3, side, side], or [frames, patches, values] for models that take patches."""

ImageTokens = tuple[Float[Tensor, "frames patches dim"], Float[Tensor, "frames dim"]]
"""Patch tokens and class token of each frame."""


@dataclass
class ImageEncoder(ABC):
    """A model that turns face crops into a token per patch and one per frame.

    Args:
        model: The model, on its device and in evaluation mode.
    """

    model: Any
    _unchanged_shapes: dict[tuple[int, ...], bool] = field(default_factory=dict, init=False, repr=False)

    @property
    @abstractmethod
    def image_processor(self) -> Any:
        """The rule by which transformers prepares images for the model."""

    @abstractmethod
    def images(self, pixels: Pixels) -> ImageTokens:
        """Patch tokens and class token of each frame."""

    def prepare(self, image: UInt8[np.ndarray, "height width 3"]) -> UInt8[Tensor, "*pixels"]:
        """An image in the size that the model takes, by the processor's own rule. Safe to call from threads.

        Scaling and normalising wait for :meth:`images`: on the device, and on a quarter of the bytes to get there.
        An image that has the size already is not resized again.
        """
        if image.shape not in self._unchanged_shapes:
            self._unchanged_shapes[image.shape] = self._processor_is_identity(image.shape)
        if self._unchanged_shapes[image.shape]:
            return torch.from_numpy(image).permute(2, 0, 1)
        return self._resized(image)

    def _processor_is_identity(self, shape: tuple[int, ...]) -> bool:
        """Whether the processor's rule changes nothing in images of this shape: noise would show it."""
        noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        return torch.equal(self._resized(noise), torch.from_numpy(noise).permute(2, 0, 1))

    def _resized(self, image: UInt8[np.ndarray, "height width 3"]) -> UInt8[Tensor, "*pixels"]:
        prepared = self.image_processor(Image.fromarray(image), do_rescale=False, do_normalize=False)
        return torch.from_numpy(np.ascontiguousarray(prepared["pixel_values"][0], dtype=np.uint8))

    def normalise(self, pixels: Pixels) -> Float[Tensor, " frames *pixels"]:
        """Pixels as the vision tower takes them, by the processor's own rule."""
        rule = self.image_processor
        values = pixels.to(self.model.device).to(torch.float32)
        if rule.do_rescale:
            values.mul_(rule.rescale_factor)
        if rule.do_normalize:
            mean, std = (self._by_channel(values.new_tensor(each)) for each in (rule.image_mean, rule.image_std))
            values.sub_(mean).div_(std)
        return values.to(self.model.dtype)

    def _by_channel(self, values: Float[Tensor, " channels"]) -> Float[Tensor, "*shape"]:
        """One value per channel, in a shape that broadcasts over the pixels."""
        return values.view(-1, 1, 1)


@dataclass
class VisionEncoder(ImageEncoder):
    """A vision transformer by itself: DINOv2, DINOv3, ViT, ViT-MAE, or the vision side of a CLIP.

    Args:
        model: The model, on its device and in evaluation mode.
        processor: Its image processor.

    Example:
        >>> from transformers import ViTConfig, ViTImageProcessor, ViTModel
        >>> sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
        >>> model = ViTModel(ViTConfig(**sizes, image_size=32, patch_size=16)).eval()
        >>> encoder = VisionEncoder(model, ViTImageProcessor(size={"height": 32, "width": 32}))
        >>> patches, classes = encoder.images(torch.stack([encoder.prepare(np.zeros((64, 64, 3), np.uint8))]))
        >>> tuple(patches.shape), tuple(classes.shape)
        ((1, 4, 8), (1, 8))
    """

    processor: Any = None

    def __post_init__(self) -> None:
        if hasattr(self.model.config, "mask_ratio"):  # ViT-MAE hides most patches unless told otherwise
            self.model.config.mask_ratio = 0.0

    @property
    def image_processor(self) -> Any:
        """The model's image processor."""
        return self.processor

    @torch.inference_mode()
    def images(self, pixels: Pixels) -> ImageTokens:
        """The last hidden states of the patches, row by row, and of the class token.

        A model without a class token gives its pooled output in its place, or the mean of its patches. Register tokens
        are left out. Position embeddings are interpolated when the images are not of the size of pre-training.
        """
        values = self.normalise(pixels)
        seen = self.model(pixel_values=values, **self._options(values))
        hidden = seen.last_hidden_state
        if hidden.ndim != 3:
            raise self._refusal()
        count = self._side(values) ** 2
        special = hidden.shape[1] - count
        if special < 0:
            raise self._refusal()
        if (norm := getattr(self.model, "post_layernorm", None)) is not None and special:  # CLIP's, of class tokens
            hidden = norm(hidden)
        pooled = getattr(seen, "pooler_output", None)
        whole = hidden[:, 0] if special else pooled if pooled is not None else hidden.mean(1)
        return hidden[:, special:], whole

    def _options(self, values: Tensor) -> dict[str, Any]:
        """What the model's forward pass takes beside pixels, as far as it knows of it."""
        known = inspect.signature(self.model.forward).parameters
        options: dict[str, Any] = {}
        if "interpolate_pos_encoding" in known and values.shape[-1] != self.model.config.image_size:
            options["interpolate_pos_encoding"] = True
        if "noise" in known:  # ViT-MAE shuffles patches by it: ascending noise leaves them in order
            ascending = torch.linspace(0, 1, self._side(values) ** 2, device=values.device)
            options["noise"] = ascending.expand(len(values), -1)
        return options

    def _side(self, values: Tensor) -> int:
        size = getattr(self.model.config, "patch_size", None)
        size = size[0] if isinstance(size, list | tuple) and len(set(size)) == 1 else size
        if not isinstance(size, int):
            raise self._refusal()
        return math.floor(values.shape[-1] / size)

    def _refusal(self) -> UserError:
        return UserError(
            "tokens.vision must be a vision transformer with a square grid of patches, not a "
            f"{type(self.model).__name__}."
        )
