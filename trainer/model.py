"""The classifiers over cached tokens, to be read from top to bottom like the method section of a paper.

B clips of T instants with P patches each (N = T·P visual tokens) and L text tokens; D is their width in the cache, d
the model's. Four methods share their layers: ``vision`` takes pooled video only; ``template`` compares it with one text
per class; ``narrative`` joins it with one embedding of the clip's whole text; ``grace`` aligns every word with patches
and instants. The paper (Liu et al. 2025, arXiv 2507.11892) has no public code; where it is silent, formulas are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from grace.trainer.alignment import Matcher, TransportProblem, unit
from grace.trainer.batch import Batch, Output, Sizes
from grace.trainer.settings import TrainSettings


@dataclass(frozen=True)
class ModelConfig:
    """Every size and switch of a classifier; their defaults are in :class:`~grace.trainer.settings.TrainSettings`."""

    method: str
    classes: int
    instants: int  # T
    patches: int  # P
    width: int  # D, of cached tokens
    hidden: int  # d
    layers: int  # of the temporal transformer
    heads: int
    dropout: float
    segments: int  # S, of a clip
    transport: bool  # part: optimal transport; without it each word attends for itself
    epsilon: float  # entropy of the plan
    sinkhorn_iterations: int
    marginal_relaxation: float  # rho: how firmly the plan is held to the visual marginal; infinite: exactly
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
        return Matcher(self.epsilon, self.sinkhorn_iterations, self.transport, self.marginal_relaxation)


class Projection(nn.Linear):
    """Cached tokens, each normalised to mean 0 and variance 1, to the model's width: W (x − μ)/σ + b.

    The norm has no weights of its own: the linear layer would undo them.
    """

    def forward(self, tokens: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape hidden"]:
        """Projected tokens."""
        normal = nn.functional.layer_norm(tokens.float(), tokens.shape[-1:])
        return nn.functional.linear(normal, self.weight, self.bias)


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


class SegmentPooling(nn.Module):
    """A clip as one vector: weighted means of S segments of its instants, concatenated, through a linear layer.

    A mean over all instants forgets what came first, and an expression has an onset, an apex and an offset (segments
    after Wang et al., "Temporal segment networks", ECCV 2016).
    """

    segment: Bool[Tensor, "instants segments"]

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        count = min(config.segments, config.instants)
        own = torch.arange(config.instants) * count // config.instants  # the segment of each instant
        self.register_buffer("segment", own[:, None] == torch.arange(count), persistent=False)
        self.join = nn.Linear(count * config.hidden, config.hidden)

    def forward(
        self, frames: Float[Tensor, "batch instants hidden"], weight: Float[Tensor, "batch instants"]
    ) -> Float[Tensor, "batch hidden"]:
        """One vector per clip; ``weight`` sums to 1 over its instants."""
        count = self.segment.shape[1]
        share = count * weight[:, None, :] * self.segment.T  # [B, S, T]
        joined: Tensor = self.join((share.to(frames.dtype) @ frames).flatten(1))
        return joined


class Fusion(nn.Module):
    """A word and the visual tokens aligned with it, [u; v] → d.

    Without it, a weighted mean of [u; v] over words would not depend on which v belongs to which u.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.LayerNorm(2 * hidden), nn.Linear(2 * hidden, hidden), nn.GELU())

    def forward(
        self, word: Float[Tensor, "*shape hidden"], visual: Float[Tensor, "*shape hidden"]
    ) -> Float[Tensor, "*shape hidden"]:
        """One vector for both."""
        fused: Tensor = self.layer(torch.cat([word, visual], dim=-1))
        return fused


class Classifier(nn.Sequential):
    """Pooled features to class scores."""

    def __init__(self, width: int, config: ModelConfig) -> None:
        super().__init__(nn.LayerNorm(width), nn.Dropout(config.dropout), nn.Linear(width, config.classes))


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


class Model(nn.Module):
    """A method: a :class:`~grace.trainer.batch.Batch` of cached tensors to an :class:`Output`.

    A subclass is trained by ``train.method: <its name in lower case>``, which ``METHODS`` in ``settings.py`` lists.

    Example:
        >>> sizes = Sizes(classes=3, instants=4, patches=9, width=16)
        >>> model = Grace(ModelConfig.from_settings(TrainSettings(hidden=8), sizes))
        >>> output = model(Batch.random(sizes, clips=2, words=5))
        >>> output.logits.shape, output.alignment.plan.shape
        (torch.Size([2, 3]), torch.Size([2, 5, 36]))
    """

    needs_class_prompts: ClassVar[bool] = False  # one embedding per class, given to :func:`build`
    aligns_words: ClassVar[bool] = False  # its plan has a row per word and a column per visual token

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, batch: Batch) -> Output:
        """Class scores of a batch."""
        raise NotImplementedError


class Vision(Model):
    """Baseline: pooled video and a linear classifier. Text and motion are not used."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.video = PooledVideo(config)
        self.classifier = Classifier(config.hidden, config)

    def forward(self, batch: Batch) -> Output:
        """Class scores of a batch, from its video alone."""
        return Output(self.classifier(self.video(batch)))


class Template(Model):
    """Rival: pooled video compared with the prompts of each class.

    Scores are s · cos(W_v v, W_u e_k), e_k the cached embedding of class k's prompts, s learned, as in Zhao and Patras,
    "Prompting visual-language models for DFER", BMVC 2023. The clip's own text and motion are not used.
    """

    needs_class_prompts = True
    prompts: Float[Tensor, "classes width"]

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        d = config.hidden
        self.video = PooledVideo(config)
        self.text = Projection(config.width, d)
        self.match_visual = nn.Sequential(nn.LayerNorm(d), nn.Dropout(config.dropout), nn.Linear(d, d, bias=False))
        self.match_text = nn.Linear(d, d, bias=False)
        self.scale = nn.Parameter(torch.tensor(10.0).log())
        self.register_buffer("prompts", torch.zeros(config.classes, config.width))  # saved with the weights

    def forward(self, batch: Batch) -> Output:
        """Class scores of a batch: how near its video is to each class's prompts."""
        video = unit(self.match_visual(self.video(batch)))
        classes = unit(self.match_text(self.text(self.prompts)))  # [K, d]
        return Output(self.scale.exp().clamp(max=100.0) * video @ classes.mT)


class Narrative(Model):
    """Rival: the text as a whole, the mean of its sentences' embeddings, beside the pooled video. Motion is not used.

    With one word and one visual token the transport problem has one plan, of cost 1 − cos(W_u u, W_v v), so the same
    losses draw each clip towards its own text here (globally) as in :class:`Grace` (token by token).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        d = config.hidden
        self.matcher = config.matcher()
        self.video = PooledVideo(config)
        self.text = Projection(config.width, d)
        self.match_text = nn.Linear(d, d, bias=False)
        self.match_visual = nn.Linear(d, d, bias=False)
        self.fuse = Fusion(d)
        self.classifier = Classifier(2 * d, config)

    def forward(self, batch: Batch) -> Output:
        """Class scores of a batch, and the distance of each clip to its text."""
        video = self.video(batch)  # [B, d]
        ends = batch.sentence_end.to(batch.text.dtype)
        mean = torch.einsum("bl,blw->bw", ends, batch.text) / ends.sum(1, keepdim=True)
        text = self.text(mean)  # [B, d]
        whole = torch.ones_like(video[:, :1], dtype=torch.float32)
        problem = TransportProblem(self.match_text(text)[:, None], self.match_visual(video)[:, None], whole, whole, 1)
        logits = self.classifier(torch.cat([self.fuse(text, video), video], dim=-1))
        return Output(logits, self.matcher(*problem.costs_and_marginals()), problem)


class FrameAttention(nn.Module):
    """Attention of each frame to its patches: softmax(QKᵀ/√d + β·log(m + ε)) V, one learned β per head.

    Q comes from the frame as a whole, K and V from its patches: the patches of CLIP have attended to each other
    already, and one query per frame costs P times less than a query per patch. With one query the projections of K and
    V are cheaper applied to Q and to the sum: q·(W x) = (Wᵀq)·x and Σ α (W x) = W Σ α x.
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
        """Frame tokens after one residual step of attention."""
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


def motion_scores(
    motion: Float[Tensor, "batch instants patches"], exponent: float, floor: float, within: str
) -> Float[Tensor, "batch instants patches"]:
    """log μ, μ = (m + ε)^γ as shares of each frame: motion weights patches within a frame, not one frame over another.

    ``within`` the clip, μ = (m + ε)^γ as it is, and instants with more motion weigh more (see docs/ablation.md).
    """
    scores = exponent * torch.log(motion + floor)
    return scores.log_softmax(2) if within == "frame" else scores


class Grace(Model):
    """Words of the description aligned with patches and instants of the video by an optimal transport plan."""

    aligns_words = True

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        d = config.hidden
        self.matcher = config.matcher()
        self.visual = Projection(config.width, d)
        self.frame = Projection(2 * config.width, d)
        self.text = Projection(config.width, d)
        self.frame_attention = FrameAttention(config)
        self.temporal = TemporalTransformer(config)
        self.pool = SegmentPooling(config)
        self.salience = nn.Linear(d, 1)  # of words
        self.saliency = nn.Linear(d, 1)  # of visual tokens
        self.match = nn.Linear(config.width, config.width, bias=False)  # W_u
        nn.init.zeros_(self.match.weight)
        self.fuse = Fusion(d)
        self.classifier = Classifier(2 * d, config)

    def forward(self, batch: Batch) -> Output:
        """Class scores of a batch, its plan [B, L, T·P], and the transport problem that the plan solves."""
        words = self.text(batch.text)  # U [B, L, d]
        patches, frames = self.encode_video(batch)  # V [B, T, P, d], [B, T, d]
        visual = patches.flatten(1, 2)  # [B, N, d]

        # The cost lies in CLIP's shared space and starts as its own cosine, so words find parts of a face before any
        # training. One matrix suffices (u·v depends on W_uᵀW_v alone); on the text's side it costs least.
        problem = TransportProblem(
            text=batch.text + self.match(batch.text),
            visual=batch.visual.flatten(1, 2),
            text_marginal=self.text_marginal(words, batch.text_mask),
            visual_marginal=self.visual_marginal(patches, batch.motion),
            instants=patches.shape[1],
        )
        alignment = self.matcher(*problem.costs_and_marginals())

        aligned = self.align(words, visual, alignment.plan, problem.text_marginal)  # [B, d]
        mass = alignment.plan.sum(1).unflatten(1, patches.shape[1:3]).sum(2)  # that arrives at each instant [B, T]
        pooled = self.pool(frames, mass)  # [B, d]
        return Output(self.classifier(torch.cat([aligned, pooled], dim=-1)), alignment, problem)

    def encode_video(
        self, batch: Batch
    ) -> tuple[Float[Tensor, "batch instants patches hidden"], Float[Tensor, "batch instants hidden"]]:
        """Patches, to each of which its frame (and so the rest of the clip) is added; and the frames themselves."""
        patches = self.visual(batch.visual)  # [B, T, P, d]
        frames = self.frame_attention(self.frame(batch.frame_features()), patches, batch.motion)  # [B, T, d]
        frames = self.temporal(frames)
        return patches + frames[:, :, None, :], frames

    def text_marginal(
        self, words: Float[Tensor, "batch text hidden"], mask: Bool[Tensor, "batch text"]
    ) -> Float[Tensor, "batch text"]:
        """a = softmax(salience(U)) over real words; exactly 0 on padding."""
        return self.salience(words)[..., 0].float().masked_fill(~mask, -torch.inf).softmax(-1)

    def visual_marginal(
        self, patches: Float[Tensor, "batch instants patches hidden"], motion: Float[Tensor, "batch instants patches"]
    ) -> Float[Tensor, "batch visual"]:
        """b ∝ exp(saliency(V)) · μ, μ the weight of motion."""
        scores = self.saliency(patches)[..., 0].float()  # [B, T, P]
        if self.config.motion_marginal:
            exponent, floor, within = (
                self.config.motion_exponent,
                self.config.motion_floor,
                self.config.motion_normalisation,
            )
            scores = scores + motion_scores(motion.float(), exponent, floor, within)
        return scores.flatten(1).softmax(-1)

    def align(
        self,
        words: Float[Tensor, "batch text hidden"],
        visual: Float[Tensor, "batch visual hidden"],
        plan: Float[Tensor, "batch text visual"],
        marginal: Float[Tensor, "batch text"],
    ) -> Float[Tensor, "batch hidden"]:
        """z_l = [U_l ; Σ_n Π_ln V_n / a_l], through a layer, pooled with a."""
        matched = plan.to(visual.dtype) @ visual  # [B, L, d]
        matched = matched / marginal[..., None].clamp_min(1e-9)
        fused = self.fuse(words, matched)
        return torch.einsum("bl,bld->bd", marginal.to(fused.dtype), fused)


MODELS: Mapping[str, type[Model]] = {model.__name__.lower(): model for model in Model.__subclasses__()}
"""Method name to class."""


def build(config: ModelConfig, prompts: Float[Tensor, "classes width"] | None = None) -> Model:
    """The classifier of a configuration, freshly initialised from torch's random state, on the CPU.

    ``prompts`` are the class embeddings of ``template``; weights that are loaded afterwards replace them.
    """
    model = MODELS[config.method](config)
    if isinstance(model, Template) and prompts is not None:
        model.prompts.copy_(prompts)
    return model
