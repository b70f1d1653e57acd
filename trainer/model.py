"""The classifiers over cached tokens, to be read from top to bottom like the method section of a paper.

B clips of T instants with P patches each (N = T·P visual tokens) and L text tokens, D wide in the cache, d inside.
Four methods share their layers: ``vision`` sees pooled video only; ``template`` compares it with one text a class;
``narrative`` meets it with one embedding of the clip's whole text; ``grace`` lets every word meet patches and moments.
Liu et al., "GRACE", arXiv 2507.11892, 2025, has no public code; where it does not say, the formulas are our reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from grace.trainer.alignment import Alignment, Matcher, cosine_cost, unit
from grace.trainer.batch import Batch


@dataclass(frozen=True)
class ModelConfig:
    """Every size and switch of a classifier."""

    method: str = "grace"
    classes: int = 7
    instants: int = 16  # T
    patches: int = 64  # P
    width: int = 512  # D, of cached tokens
    hidden: int = 64  # d
    layers: int = 2  # of the temporal transformer
    heads: int = 4
    dropout: float = 0.2
    segments: int = 4  # S, of a clip's course
    transport: bool = True  # part: optimal transport; without it each word attends for itself
    epsilon: float = 0.05  # entropy of the plan
    sinkhorn_iterations: int = 30
    column_weight: float = 0.05  # rho: how firmly the plan is held to the visual marginal; infinite: exactly
    motion_exponent: float = 1.0  # gamma
    motion_within: str = "frame"  # what motion's weights are shares of: each frame, or the whole clip
    motion_attention: bool = True  # part: motion in the attention inside each frame
    motion_marginal: bool = True  # part: motion in the visual marginal
    motion_floor: float = 0.05  # epsilon beside m: patches at rest keep some weight

    def as_dict(self) -> dict[str, Any]:
        """Plain values for ``config.yaml``."""
        return asdict(self)

    def matcher(self) -> Matcher:
        """What joins words and visual tokens."""
        return Matcher(self.epsilon, self.sinkhorn_iterations, self.transport, self.column_weight)


@dataclass
class TransportProblem:
    """What the transport problem is made of, kept so that a loss can pose it again with other clips' texts."""

    text: Float[Tensor, "batch text shared"]
    visual: Float[Tensor, "batch visual shared"]
    text_marginal: Float[Tensor, "batch text"]  # a
    visual_marginal: Float[Tensor, "batch visual"]  # b
    instants: int  # T

    def problem(self) -> tuple[Tensor, Tensor, Tensor]:
        """Cost and marginals, as :class:`~grace.trainer.alignment.Matcher` takes them."""
        return cosine_cost(self.text, self.visual), self.text_marginal, self.visual_marginal


@dataclass
class Output:
    """Class scores; the plan and its tokens where the method has them."""

    logits: Float[Tensor, "batch classes"]
    alignment: Alignment | None = None
    tokens: TransportProblem | None = None


class Projection(nn.Linear):
    """Cached tokens, each normalised to mean 0 and variance 1, to the model's width: W (x − μ)/σ + b.

    The norm has no weights of its own: the linear layer would undo them.
    """

    def forward(self, tokens: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape hidden"]:
        """Projected tokens."""
        normal = nn.functional.layer_norm(tokens.float(), tokens.shape[-1:])
        return nn.functional.linear(normal, self.weight, self.bias)


class TemporalTransformer(nn.Module):
    """Instants see each other: learned places, then pre-norm transformer layers. [B, T, d] → [B, T, d]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.hidden
        self.place = nn.Parameter(torch.randn(config.instants, d) * 0.02)
        layer = nn.TransformerEncoderLayer(
            d, config.heads, 2 * d, config.dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, config.layers, norm=nn.LayerNorm(d), enable_nested_tensor=False)

    def forward(self, frames: Float[Tensor, "batch instants hidden"]) -> Float[Tensor, "batch instants hidden"]:
        """Frame tokens in the light of the whole clip."""
        mixed: Tensor = self.layers(frames + self.place)
        return mixed


class SegmentPooling(nn.Module):
    """A clip's course as one vector: weighted means of S segments of its instants, side by side, through a layer.

    A mean over all instants forgets what came first, and an expression has a beginning, a peak and an end (segments
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
        """One vector a clip; ``weight`` sums to 1 over its instants."""
        count = self.segment.shape[1]
        share = count * weight[:, None, :] * self.segment.T  # [B, S, T]
        joined: Tensor = self.join((share.to(frames.dtype) @ frames).flatten(1))
        return joined


class Fusion(nn.Module):
    """A word and what it saw, [u; v], through a layer: without one, a weighted sum of them would forget the weights."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.LayerNorm(2 * hidden), nn.Linear(2 * hidden, hidden), nn.GELU())

    def forward(
        self, word: Float[Tensor, "*shape hidden"], seen: Float[Tensor, "*shape hidden"]
    ) -> Float[Tensor, "*shape hidden"]:
        """One vector for both."""
        fused: Tensor = self.layer(torch.cat([word, seen], dim=-1))
        return fused


class Classifier(nn.Sequential):
    """Pooled features to class scores."""

    def __init__(self, width: int, config: ModelConfig) -> None:
        super().__init__(nn.LayerNorm(width), nn.Dropout(config.dropout), nn.Linear(width, config.classes))


class PooledVideo(nn.Module):
    """A clip as one vector, without motion or text: its frames as wholes, in each other's light, and their course."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.project = Projection(2 * config.width, config.hidden)
        self.temporal = TemporalTransformer(config)
        self.course = SegmentPooling(config)

    def forward(self, batch: Batch) -> Float[Tensor, "batch hidden"]:
        """One vector a clip."""
        frames = self.temporal(self.project(batch.frame_features()))  # [B, T, d]
        even = torch.full_like(frames[..., 0], 1 / frames.shape[1])
        pooled: Tensor = self.course(frames, even)
        return pooled


class Vision(nn.Module):
    """Baseline: pooled video and a linear classifier."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.video = PooledVideo(config)
        self.classifier = Classifier(config.hidden, config)

    def forward(self, batch: Batch) -> Output:
        """Class scores of a batch, from its video alone."""
        return Output(self.classifier(self.video(batch)))


class Template(nn.Module):
    """Rival: a class is what its prompts say. Scores are s · cos(W_v v, W_u e_k), e_k the cached embedding of class k's
    prompts, s learned (Zhao and Patras, "Prompting visual-language models for DFER", BMVC 2023)."""

    prompts: Float[Tensor, "classes width"]

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
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


class Narrative(nn.Module):
    """Rival: the text as a whole, the mean of its sentences' embeddings, meets the pooled video.

    With one word and one visual token the transport problem has one plan and costs 1 − cos(W_u u, W_v v), so that the
    same losses pull a clip and its own text together here, globally, as in :class:`Grace` by token.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.hidden
        self.matcher = config.matcher()
        self.video = PooledVideo(config)
        self.text = Projection(config.width, d)
        self.match_text = nn.Linear(d, d, bias=False)
        self.match_visual = nn.Linear(d, d, bias=False)
        self.meet = Fusion(d)
        self.classifier = Classifier(2 * d, config)

    def forward(self, batch: Batch) -> Output:
        """Class scores of a batch, and the distance of each clip to its text."""
        video = self.video(batch)  # [B, d]
        ends = batch.sentence_end.to(batch.text.dtype)
        mean = torch.einsum("bl,blw->bw", ends, batch.text) / ends.sum(1, keepdim=True)
        text = self.text(mean)  # [B, d]
        whole = torch.ones_like(video[:, :1], dtype=torch.float32)
        tokens = TransportProblem(self.match_text(text)[:, None], self.match_visual(video)[:, None], whole, whole, 1)
        logits = self.classifier(torch.cat([self.meet(text, video), video], dim=-1))
        return Output(logits, self.matcher(*tokens.problem()), tokens)


class FrameAttention(nn.Module):
    """Inside each frame, its class token looks at the patches: softmax(QKᵀ/√d + β·log(m + ε)) V, β learned a head.

    Q comes from the frame's class token, K and V from its patches: CLIP has let patches see each other already, and
    one query a frame costs P times less than all of them. With one query the projections of K and V are cheaper applied
    to Q and to the sum: q·(W x) = (Wᵀq)·x and Σ α (W x) = W Σ α x.
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
        """Frame tokens after one residual look at their patches."""
        query = self.query(frames).unflatten(-1, (self.heads, -1))
        key, value = (
            layer.weight.unflatten(0, (self.heads, -1)) for layer in (self.key, self.value)
        )  # [heads, d/heads, d]
        q = torch.einsum("bthe,hed->bthd", query, key)
        scores = torch.einsum("bthd,btpd->bthp", q, patches) / query.shape[-1] ** 0.5
        if self.beta is not None:
            scores = scores + self.beta[:, None] * torch.log(motion + self.floor)[:, :, None, :]
        seen = torch.einsum("bthp,btpd->bthd", scores.softmax(-1), patches)
        seen = torch.einsum("bthd,hed->bthe", seen, value).flatten(2)
        return frames + self.dropout(self.out(seen))


def motion_scores(
    motion: Float[Tensor, "batch instants patches"], exponent: float, floor: float, within: str
) -> Float[Tensor, "batch instants patches"]:
    """log μ, μ = (m + ε)^γ as shares of each frame: motion says where to look, and saliency alone when.

    Within the clip μ = (m + ε)^γ as it is, and instants that move weigh more; docs/ablation.md compares them.
    """
    scores = exponent * torch.log(motion + floor)
    return scores.log_softmax(2) if within == "frame" else scores


class Grace(nn.Module):
    """Words of the description meet patches and moments of the video along an optimal transport plan."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.hidden
        self.config = config
        self.matcher = config.matcher()
        self.visual = Projection(config.width, d)
        self.frame = Projection(2 * config.width, d)
        self.text = Projection(config.width, d)
        self.inside = FrameAttention(config)
        self.temporal = TemporalTransformer(config)
        self.course = SegmentPooling(config)
        self.salience = nn.Linear(d, 1)  # of words
        self.saliency = nn.Linear(d, 1)  # of visual tokens
        self.match = nn.Linear(config.width, config.width, bias=False)  # W_u
        nn.init.zeros_(self.match.weight)
        self.meet = Fusion(d)
        self.classifier = Classifier(2 * d, config)

    def forward(self, batch: Batch) -> Output:
        """Class scores of a batch, its plan [B, L, T·P], and the tokens that the plan joins."""
        words = self.text(batch.text)  # U [B, L, d]
        patches, frames = self.encode_video(batch)  # V [B, T, P, d], [B, T, d]
        visual = patches.flatten(1, 2)  # [B, N, d]

        # The cost is posed in CLIP's shared space and starts as its own cosine, which knows the parts of a face before
        # anything is trained. One matrix suffices (u·v depends on W_uᵀW_v alone); on the text's side it costs least.
        tokens = TransportProblem(
            text=batch.text + self.match(batch.text),
            visual=batch.visual.flatten(1, 2),
            text_marginal=self.text_marginal(words, batch.text_mask),
            visual_marginal=self.visual_marginal(patches, batch.motion),
            instants=patches.shape[1],
        )
        alignment = self.matcher(*tokens.problem())

        aligned = self.align(words, visual, alignment.plan, tokens.text_marginal)  # [B, d]
        path = alignment.plan.sum(1).unflatten(1, patches.shape[1:3]).sum(2)  # mass that arrives at each instant [B, T]
        course = self.course(frames, path)
        return Output(self.classifier(torch.cat([aligned, course], dim=-1)), alignment, tokens)

    def encode_video(
        self, batch: Batch
    ) -> tuple[Float[Tensor, "batch instants patches hidden"], Float[Tensor, "batch instants hidden"]]:
        """Patches that have seen their frame and, through it, the clip; and the frames themselves."""
        patches = self.visual(batch.visual)  # [B, T, P, d]
        frames = self.inside(self.frame(batch.frame_features()), patches, batch.motion)  # [B, T, d]
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
            exponent, floor, within = self.config.motion_exponent, self.config.motion_floor, self.config.motion_within
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
        seen = plan.to(visual.dtype) @ visual  # [B, L, d]
        seen = seen / marginal[..., None].clamp_min(1e-9)
        fused = self.meet(words, seen)
        return torch.einsum("bl,bld->bd", marginal.to(fused.dtype), fused)


Model = Vision | Template | Narrative | Grace

MODELS: Mapping[str, type[Model]] = {"vision": Vision, "template": Template, "narrative": Narrative, "grace": Grace}
"""Method name to class; each takes a :class:`ModelConfig` and maps a :class:`Batch` to an :class:`Output`."""


def build(config: ModelConfig, prompts: Float[Tensor, "classes width"] | None = None) -> Model:
    """The classifier of a configuration, freshly initialised from torch's random state.

    ``prompts`` are the class embeddings of ``template``; a model whose weights are loaded afterwards finds them there.
    """
    model = MODELS[config.method](config)
    if isinstance(model, Template) and prompts is not None:
        model.prompts.copy_(prompts)
    return model
