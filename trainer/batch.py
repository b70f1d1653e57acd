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
    width: int  # D_v, of a visual token
    text_width: int = 0  # D_u, of a text token; the same as D_v if not given
    aligned: bool = True  # whether tokens of video and text lie in one space

    def __post_init__(self) -> None:
        if not self.text_width:
            object.__setattr__(self, "text_width", self.width)


@dataclass
class Batch:
    """Cached tensors of B clips. ``motion`` is on the patch grid, in [0, 1]; padding is false in ``text_mask``;
    ``sentence_end`` marks each sentence's end token, the embedding of the whole sentence. A clip without text has one
    word of zeros, and is false in ``has_text``."""

    visual: Float[Tensor, "batch instants patches width"]
    frame: Float[Tensor, "batch instants width"]
    text: Float[Tensor, "batch text text_width"]
    text_mask: Bool[Tensor, "batch text"]
    sentence_end: Bool[Tensor, "batch text"]
    motion: Float[Tensor, "batch instants patches"]
    has_text: Bool[Tensor, " batch"]

    @classmethod
    def random(cls, sizes: Sizes, clips: int, words: int) -> Batch:
        """Random tokens and motion in the shapes of a cache, for examples, tests and timing; sentences of 16 words.

        Args:
            sizes: Instants T, patches P and widths.
            clips: B.
            words: L of every clip, 1 at least.

        Example:
            >>> batch = Batch.random(Sizes(classes=3, instants=4, patches=9, width=16), clips=2, words=5)
            >>> batch.visual.shape, batch.text.shape
            (torch.Size([2, 4, 9, 16]), torch.Size([2, 5, 16]))
        """
        ends = torch.arange(words).remainder(16).eq(15)
        ends[-1] = True
        return cls(
            visual=torch.randn(clips, sizes.instants, sizes.patches, sizes.width),
            frame=torch.randn(clips, sizes.instants, sizes.width),
            text=torch.randn(clips, words, sizes.text_width),
            text_mask=torch.ones(clips, words, dtype=torch.bool),
            sentence_end=ends.expand(clips, -1).clone(),
            motion=torch.rand(clips, sizes.instants, sizes.patches),
            has_text=torch.ones(clips, dtype=torch.bool),
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
        frame = torch.arange(indices[..., 0].numel(), device=indices.device)[:, None] * self.motion.shape[2]
        rows = (
            frame + indices.flatten(0, 1)
        ).flatten()  # whole tokens are copied, which a gather does number by number
        visual = self.visual.flatten(0, 2).index_select(0, rows).unflatten(0, indices.shape)
        return replace(self, visual=visual, motion=self.motion.gather(2, indices))

    def drop_text(self, dropped: Bool[Tensor, " batch"]) -> Batch:
        """The batch without the texts of the clips that ``dropped`` marks."""
        if not bool(dropped.any()):
            return self
        first = torch.zeros_like(self.text_mask)
        first[:, 0] = True
        gone = dropped[:, None]
        return replace(
            self,
            text=self.text.masked_fill(gone[..., None], 0.0),
            text_mask=torch.where(gone, first, self.text_mask),
            sentence_end=torch.where(gone, first, self.sentence_end),
            has_text=self.has_text & ~dropped,
        )

    def shift(self, largest: float) -> Batch:
        """The batch with each clip's instants shifted by up to ``largest`` of them, drawn from torch's random state.

        The first or last instant is repeated where the clip ends, so that no clip loses its order.
        """
        if largest == 0:
            return self
        instants = self.motion.shape[1]
        by = (torch.rand(len(self.motion), 1, device=self.motion.device) * 2 - 1) * largest
        at = (torch.arange(instants, device=by.device) + by).round().long().clamp(0, instants - 1)  # [B, T]
        clip = torch.arange(len(at), device=at.device)[:, None]
        return replace(self, visual=self.visual[clip, at], frame=self.frame[clip, at], motion=self.motion[clip, at])

    def frame_features(self) -> Float[Tensor, "batch instants twice_width"]:
        """Each frame as a whole: [class token; mean patch]."""
        return torch.cat([self.frame, self.visual.mean(2)], dim=-1)


@dataclass
class Output:
    """Class scores, joined and by head; the solved transport problem and its plan where the method has them."""

    logits: Float[Tensor, "batch classes"]
    heads: dict[str, Float[Tensor, "batch classes"]]
    speaks: Bool[Tensor, "heads batch"]  # of which clips each head says something: none without the text that it reads
    has_text: Bool[Tensor, " batch"]
    alignment: Alignment | None = None
    problem: TransportProblem | None = None
