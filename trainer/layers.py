"""The layers that the methods share: standardised tokens, the temporal transformer, pooling, attention, heads.

B clips of T instants with P patches each (N = T·P visual tokens) and L text tokens; D are widths in the cache, d the
model's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from grace.trainer.alignment import Matcher
from grace.trainer.batch import Batch, Sizes
from grace.trainer.settings import TrainSettings


@dataclass(frozen=True)
class ModelConfig:
    """Every size and switch of a classifier; their defaults are in :class:`~grace.trainer.settings.TrainSettings`."""

    method: str
    classes: int
    instants: int  # T
    patches: int  # P
    width: int  # D_v, of cached visual tokens
    text_width: int  # D_u, of cached text tokens
    aligned: bool  # whether both lie in one space
    hidden: int  # d
    layers: int  # of the temporal transformer
    heads: int
    dropout: float
    readout_dropout: float  # of the features that heads read linearly
    segments: int  # S, of a clip
    queries: int  # of the method queries
    probe: str  # what the method probe reads
    transport: bool  # part: optimal transport; without it each word attends for itself
    epsilon: float  # entropy of the plan
    sinkhorn_iterations: int
    marginal_relaxation: float  # rho_v: how firmly the plan is held to the visual marginal; infinite: exactly
    text_relaxation: float  # rho_t: how firmly to the text's
    motion_exponent: float  # gamma
    motion_normalisation: str  # what the weights of motion are shares of: each frame, or the whole clip
    motion_attention: bool  # part: motion in the attention inside each frame
    motion_marginal: bool  # part: motion in the visual marginal
    motion_floor: float  # epsilon beside m: patches at rest keep some weight

    @classmethod
    def from_settings(cls, settings: TrainSettings, sizes: Sizes) -> ModelConfig:
        """Sizes from the cache, everything else from the settings of the same name."""
        known = settings.model_dump() | asdict(sizes)
        return cls(**{field.name: known[field.name] for field in fields(cls) if field.name in known})

    def matcher(self) -> Matcher:
        """What joins words and visual tokens."""
        rho_v, rho_t = self.marginal_relaxation, self.text_relaxation
        return Matcher(self.epsilon, self.sinkhorn_iterations, self.transport, rho_v, rho_t)


class Standard(nn.Module):
    """Features with the mean and the spread that they have in the training clips taken out: (x − μ)/σ.

    Tokens of a CLIP share a large mean, beside which what differs from clip to clip is small: a norm of each token by
    itself leaves it there. :func:`~grace.trainer.standardisation.standardise` measures μ and σ; until then they are 0
    and 1.
    """

    mean: Float[Tensor, " width"]
    spread: Float[Tensor, " width"]

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))

    def forward(self, features: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape width"]:
        """The standardised features, in float32."""
        return (features.float() - self.mean) / self.spread


class Projection(nn.Linear):
    """Standardised cached tokens to the model's width: W (x − μ)/σ + b."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__(width, hidden)
        self.standard = Standard(width)

    def forward(self, tokens: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape hidden"]:
        """Projected tokens."""
        # (W/σ) x + (b − W μ/σ), which needs no pass over the tokens; in float32, as clips differ by little beside μ.
        with torch.autocast(tokens.device.type, enabled=False):
            weight = self.weight / self.standard.spread
            return nn.functional.linear(tokens.float(), weight, self.bias - weight @ self.standard.mean)


class TemporalTransformer(nn.Module):
    """Self-attention over instants: learned positions, then pre-norm transformer layers. [B, T, d] → [B, T, d]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.hidden
        self.position = nn.Parameter(torch.randn(config.instants, d) * 0.02)
        layer = nn.TransformerEncoderLayer(
            d, config.heads, 2 * d, config.dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, config.layers, norm=nn.LayerNorm(d), enable_nested_tensor=False)

    def forward(self, frames: Float[Tensor, "batch instants hidden"]) -> Float[Tensor, "batch instants hidden"]:
        """Frame tokens that have attended to all instants of the clip."""
        mixed: Tensor = self.layers(frames + self.position)
        return mixed


def segments_of(instants: int, count: int) -> Bool[Tensor, "instants segments"]:
    """Which of ``count`` segments of equal length each instant belongs to."""
    count = min(count, instants)
    own = torch.arange(instants) * count // instants
    return own[:, None] == torch.arange(count)


class SegmentPooling(nn.Module):
    """A clip as one vector: weighted means of S segments of its instants, concatenated, through a linear layer.

    A mean over all instants forgets what came first, and an expression has an onset, an apex and an offset (segments
    after Wang et al., "Temporal segment networks", ECCV 2016).
    """

    segment: Bool[Tensor, "instants segments"]

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.register_buffer("segment", segments_of(config.instants, config.segments), persistent=False)
        self.join = nn.Linear(self.segment.shape[1] * config.hidden, config.hidden)

    def forward(
        self, frames: Float[Tensor, "batch instants hidden"], weight: Float[Tensor, "batch instants"]
    ) -> Float[Tensor, "batch hidden"]:
        """One vector per clip; ``weight`` sums to 1 over its instants."""
        count = self.segment.shape[1]
        share = count * weight[:, None, :] * self.segment.T  # [B, S, T]
        joined: Tensor = self.join((share.to(frames.dtype) @ frames).flatten(1))
        return joined


class Fusion(nn.Module):
    """A word and what is aligned with it to one vector, [u; v; …] → d.

    Without it, a weighted mean of [u; v] over words would not depend on which v belongs to which u.
    """

    def __init__(self, hidden: int, more: int = 0) -> None:
        super().__init__()
        width = 2 * hidden + more
        self.layer = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU())

    def forward(self, *parts: Float[Tensor, "*shape _"]) -> Float[Tensor, "*shape hidden"]:
        """One vector for all of them."""
        fused: Tensor = self.layer(torch.cat(parts, dim=-1))
        return fused


class VideoStatistics(nn.Module):
    """Class tokens over a clip: mean, largest and spread, and the means of its S segments. [B, (3 + S)·D]."""

    segment: Float[Tensor, "instants segments"]

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        segment = segments_of(config.instants, config.segments).float()
        self.register_buffer("segment", segment / segment.sum(0), persistent=False)
        self.width = (3 + segment.shape[1]) * config.width

    def forward(self, batch: Batch) -> Float[Tensor, "batch features"]:
        """The features of each clip."""
        frame = batch.frame.float()
        parts = torch.einsum("btw,ts->bsw", frame, self.segment).flatten(1)
        return torch.cat([frame.mean(1), frame.amax(1), frame.std(1, correction=0), parts], dim=1)


class TextStatistics(nn.Module):
    """Words over a text: mean and largest. [B, 2·D]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.width = 2 * config.text_width

    def forward(self, batch: Batch) -> Float[Tensor, "batch features"]:
        """The features of each text; zero for a clip without one."""
        text, words = batch.text.float(), batch.text_mask[..., None]
        mean = (text * words).sum(1) / words.sum(1)
        largest = text.masked_fill(~words, -torch.inf).amax(1)
        return torch.cat([mean, largest], dim=1)


class Head(nn.Module):
    """Class scores of a representation of width d and, linearly, of the statistics of cached tokens.

    The linear reading is a logistic regression, which small sets bear better than a transformer; the deep part learns
    what that leaves over (after Cheng et al., "Wide & deep learning for recommender systems", 2016).
    """

    def __init__(self, config: ModelConfig, deep: int = 0, statistics: int = 0) -> None:
        super().__init__()
        if deep:
            self.deep = nn.Sequential(nn.LayerNorm(deep), nn.Dropout(config.dropout), nn.Linear(deep, config.classes))
        if statistics:
            self.standard = Standard(statistics)
            self.dropout = nn.Dropout(config.readout_dropout)
            self.linear = nn.Linear(statistics, config.classes)
            nn.init.zeros_(self.linear.weight)

    def forward(
        self, deep: Float[Tensor, "batch hidden"], statistics: Float[Tensor, "batch features"] | None = None
    ) -> Float[Tensor, "batch classes"]:
        """Class scores of a batch."""
        scores: Tensor = self.deep(deep)
        return scores if statistics is None else scores + self.read(statistics)

    def read(self, statistics: Float[Tensor, "batch features"]) -> Float[Tensor, "batch classes"]:
        """The linear part of the scores."""
        scores: Tensor = self.linear(self.dropout(self.standard(statistics)))
        return scores


class PooledVideo(nn.Module):
    """A clip as one vector, without motion or text: whole frames, through the temporal transformer, pooled evenly."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.project = Projection(2 * config.width, config.hidden)
        self.temporal = TemporalTransformer(config)
        self.pool = SegmentPooling(config)

    def forward(self, batch: Batch) -> Float[Tensor, "batch hidden"]:
        """One vector per clip."""
        frames = self.temporal(self.project(batch.frame_features()))  # [B, T, d]
        even = torch.full_like(frames[..., 0], 1 / frames.shape[1])
        pooled: Tensor = self.pool(frames, even)
        return pooled


class PooledWords(nn.Module):
    """A text as one vector: words through a layer, weighted by their salience."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.hidden
        self.layer = nn.Sequential(nn.Linear(d, d), nn.GELU())
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, words: Float[Tensor, "batch text hidden"], marginal: Float[Tensor, "batch text"]
    ) -> Float[Tensor, "batch hidden"]:
        """One vector per text."""
        layered = self.dropout(self.layer(words))
        return torch.einsum("bl,bld->bd", marginal.to(layered.dtype), layered)


class FrameAttention(nn.Module):
    """Attention of each frame to its patches: softmax(QKᵀ/√d + β·log(m + ε)) V, one learned β per head.

    Q comes from the frame as a whole, K and V from its patches: patches have attended to each other already, and one
    query per frame costs P times less than a query per patch. With one query the projections of K and V are cheaper
    applied to Q and to the sum: q·(W x) = (Wᵀq)·x and Σ α (W x) = W Σ α x.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.floor = config.heads, config.motion_floor
        self.beta = nn.Parameter(torch.full((config.heads,), 0.5)) if config.motion_attention else None
        self.query = nn.Sequential(nn.LayerNorm(config.hidden), nn.Linear(config.hidden, config.hidden))
        self.key = nn.Linear(config.hidden, config.hidden, bias=False)
        self.value = nn.Linear(config.hidden, config.hidden, bias=False)
        self.out = nn.Linear(config.hidden, config.hidden)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        frames: Float[Tensor, "batch instants hidden"],
        patches: Float[Tensor, "batch instants patches hidden"],
        motion: Float[Tensor, "batch instants patches"],
    ) -> Float[Tensor, "batch instants hidden"]:
        """Frame tokens after one residual step of attention.

        Args:
            frames: Each frame as a whole [B, T, d].
            patches: Its patches [B, T, P, d].
            motion: m of each patch [B, T, P], in [0, 1].

        Returns:
            Frame tokens [B, T, d].
        """
        query = self.query(frames).unflatten(-1, (self.heads, -1))
        key, value = (
            layer.weight.unflatten(0, (self.heads, -1)) for layer in (self.key, self.value)
        )  # [heads, d/heads, d]
        q = torch.einsum("bthe,hed->bthd", query, key)
        scores = torch.einsum("bthd,btpd->bthp", q, patches) / query.shape[-1] ** 0.5
        if self.beta is not None:
            scores = scores + self.beta[:, None] * torch.log(motion + self.floor)[:, :, None, :]
        attended = torch.einsum("bthp,btpd->bthd", scores.softmax(-1), patches)
        attended = torch.einsum("bthd,hed->bthe", attended, value).flatten(2)
        return frames + self.dropout(self.out(attended))


def text_marginal(
    scores: Float[Tensor, "batch text 1"], mask: Bool[Tensor, "batch text"]
) -> Float[Tensor, "batch text"]:
    """a = softmax(salience(U)) over real words; exactly 0 on padding."""
    return scores[..., 0].float().masked_fill(~mask, -torch.inf).softmax(-1)


def motion_scores(
    motion: Float[Tensor, "batch instants patches"], exponent: float, floor: float, within: str
) -> Float[Tensor, "batch instants patches"]:
    """log μ, μ = (m + ε)^γ as shares of each frame: motion weights patches within a frame, not one frame over another.

    ``within`` the clip, μ = (m + ε)^γ as it is, and instants with more motion weigh more (see docs/ablation.md).

    Args:
        motion: m [B, T, P], in [0, 1].
        exponent: γ ≥ 0; 0 gives all patches of a frame the same weight.
        floor: ε > 0; patches at rest keep some weight.
        within: ``frame`` or ``clip``.

    Returns:
        log μ [B, T, P]; within a frame, μ sums to 1 over its patches.

    Example:
        >>> motion_scores(torch.tensor([[[0.0, 1.0]]]), exponent=1.0, floor=0.5, within="frame").exp()
        tensor([[[0.2500, 0.7500]]])
    """
    scores = exponent * torch.log(motion + floor)
    return scores.log_softmax(2) if within == "frame" else scores
