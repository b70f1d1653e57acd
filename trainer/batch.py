"""Cached tensors of some clips, as every method takes them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass
class Batch:
    """Cached tensors of B clips. ``motion`` is on the patch grid, in [0, 1]; padding is false in ``text_mask``;
    ``sentence_end`` marks each sentence's end token, CLIP's embedding of the sentence."""

    visual: Float[Tensor, "batch instants patches width"]
    frame: Float[Tensor, "batch instants width"]
    text: Float[Tensor, "batch text width"]
    text_mask: Bool[Tensor, "batch text"]
    sentence_end: Bool[Tensor, "batch text"]
    motion: Float[Tensor, "batch instants patches"]

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on a device."""
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))

    def drop_patches(self, dropout: float) -> Batch:
        """The batch without that share of each frame's patches, drawn anew for every frame, in torch's random state.

        What is trained on half of the patches learns from them in half the time, and cannot lean on a single one
        (Liu et al., "PatchDropout", WACV 2023).
        """
        if dropout == 0:
            return self
        kept = max(1, round((1 - dropout) * self.motion.shape[2]))
        places = torch.rand_like(self.motion).argsort(2)[..., :kept]  # [B, T, kept]
        wide = places[..., None].expand(-1, -1, -1, self.visual.shape[3])
        return replace(self, visual=self.visual.gather(2, wide), motion=self.motion.gather(2, places))

    def frame_features(self) -> Float[Tensor, "batch instants twice_width"]:
        """Each frame as a whole: [class token; mean patch]."""
        return torch.cat([self.frame, self.visual.mean(2)], dim=-1)
