"""What every method takes and gives: cached tensors of some clips, their sizes, and the output."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from grace.trainer.alignment import Alignment, TransportProblem


@dataclass(frozen=True)
class Sizes:
    """What a model takes from the cache rather than from the settings."""

    classes: int
    instants: int  # T
    patches: int  # P, per frame
    width: int  # D, of a token


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

    @classmethod
    def random(cls, sizes: Sizes, clips: int, words: int) -> Batch:
        """Random tokens and motion in the shapes of a cache, for examples, tests and timing; sentences of 16 words."""
        ends = torch.arange(words).remainder(16).eq(15)
        ends[-1] = True
        return cls(
            visual=torch.randn(clips, sizes.instants, sizes.patches, sizes.width),
            frame=torch.randn(clips, sizes.instants, sizes.width),
            text=torch.randn(clips, words, sizes.width),
            text_mask=torch.ones(clips, words, dtype=torch.bool),
            sentence_end=ends.expand(clips, -1).clone(),
            motion=torch.rand(clips, sizes.instants, sizes.patches),
        )

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on a device."""
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))

    def drop_patches(self, dropout: float) -> Batch:
        """The batch without that share of each frame's patches, drawn for each frame from torch's random state.

        A step on half of the patches takes half the time, and a model cannot rely on a single patch (Liu et al.,
        "PatchDropout", WACV 2023).
        """
        if dropout == 0:
            return self
        kept = max(1, round((1 - dropout) * self.motion.shape[2]))
        indices = torch.rand_like(self.motion).argsort(2)[..., :kept]  # [B, T, kept]
        expanded = indices[..., None].expand(-1, -1, -1, self.visual.shape[3])
        return replace(self, visual=self.visual.gather(2, expanded), motion=self.motion.gather(2, indices))

    def frame_features(self) -> Float[Tensor, "batch instants twice_width"]:
        """Each frame as a whole: [class token; mean patch]."""
        return torch.cat([self.frame, self.visual.mean(2)], dim=-1)


@dataclass
class Output:
    """Class scores; the solved transport problem and its plan where the method has them."""

    logits: Float[Tensor, "batch classes"]
    alignment: Alignment | None = None
    problem: TransportProblem | None = None
