"""The classifiers over cached tokens, to be read from top to bottom like the method section of a paper.

B clips of T instants with P patches each (N = T·P visual tokens) and L text tokens; D_v and D_u are their widths in
the cache, d the model's. Each method has heads, which read the video, the text, or both as they are aligned; each head
has a loss of its own, and their scores are joined late. ``vision`` reads the video alone; ``template`` compares it
with one text per class; ``narrative`` joins it with one embedding of the whole text; ``grace`` aligns every word with
patches and instants. Controls are in ``controls.py``. The paper (Liu et al. 2025, arXiv 2507.11892) has no public code;
where it is silent, formulas are ours.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from grace.trainer.alignment import Alignment, TransportProblem, unit
from grace.trainer.batch import Batch, Output
from grace.trainer.layers import (
    FrameAttention,
    Fusion,
    Head,
    ModelConfig,
    PooledVideo,
    PooledWords,
    Projection,
    SegmentPooling,
    TemporalTransformer,
    TextStatistics,
    VideoStatistics,
    motion_scores,
    text_marginal,
)


class Model(nn.Module):
    """A method, trained by ``train.method: <its name in lower case>``: cached tensors to an :class:`Output`.

    Example:
        >>> from grace.trainer.batch import Sizes
        >>> from grace.trainer.settings import TrainSettings
        >>> sizes = Sizes(classes=3, instants=4, patches=9, width=16)
        >>> model = Grace(ModelConfig.from_settings(TrainSettings(hidden=8), sizes))
        >>> output = model(Batch.random(sizes, clips=2, words=5))
        >>> output.logits.shape, output.alignment.plan.shape, list(output.heads)
        (torch.Size([2, 3]), torch.Size([2, 5, 36]), ['video', 'text', 'aligned'])
    """

    heads: ClassVar[tuple[str, ...]]
    of_text: ClassVar[frozenset[str]] = frozenset({"text", "aligned"})  # heads that say nothing without a text
    needs_class_prompts: ClassVar[bool] = False  # one embedding per class, given to :func:`build`
    aligns_words: ClassVar[bool] = False  # its plan has a row per word and a column per visual token
    joining: Float[Tensor, " heads"]

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer(
            "joining", torch.ones(len(self.heads))
        )  # weights of the heads, set by the validation clips

    @property
    def reads_text(self) -> bool:
        """Whether any head reads the text of a clip."""
        return not self.of_text.isdisjoint(self.heads)

    @property
    def reads_only_text(self) -> bool:
        """Whether every head reads the text."""
        return self.of_text.issuperset(self.heads)

    def forward(self, batch: Batch) -> Output:
        """Class scores of a batch."""
        raise NotImplementedError

    def joined(
        self,
        batch: Batch,
        *scores: Float[Tensor, "batch classes"],
        alignment: Alignment | None = None,
        problem: TransportProblem | None = None,
    ) -> Output:
        """Late joining: Σ_h w_h · scores_h, without the heads that read a text where a clip has none.

        Args:
            batch: The clips, which of them have a text.
            scores: Of each head [B, K], in the order of ``heads``; K classes.
            alignment: The plan, of a method that aligns.
            problem: The transport problem that it solves.

        Returns:
            The joined scores [B, K], those of each head, and what else is given.
        """
        shown = torch.stack([self.speaks(head, batch) for head in self.heads])  # [heads, B]
        weight = self.joining[:, None] * shown
        logits = torch.einsum("hb,hbk->bk", weight, torch.stack([each.float() for each in scores]))
        heads = dict(zip(self.heads, scores, strict=True))
        return Output(logits, heads, shown, batch.has_text, alignment, problem)

    def speaks(self, head: str, batch: Batch) -> Bool[Tensor, " batch"]:
        """Of which clips a head has something to say."""
        return batch.has_text if head in self.of_text else torch.ones_like(batch.has_text)


class Vision(Model):
    """Baseline: pooled video. Text and motion are not used."""

    heads = ("video",)

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.video = PooledVideo(config)
        self.statistics = VideoStatistics(config)
        self.video_head = Head(config, config.hidden, self.statistics.width)

    def forward(self, batch: Batch) -> Output:
        """Class scores of a batch, from its video alone."""
        return self.joined(batch, self.video_head(self.video(batch), self.statistics(batch)))


class Template(Model):
    """Rival: pooled video compared with the prompts of each class.

    Scores are s · cos(W_v v, W_u e_k), e_k the cached embedding of class k's prompts, s learned, as in Zhao and Patras,
    "Prompting visual-language models for DFER", BMVC 2023, beside the linear reading that every video head has. The
    clip's own text and motion are not used.
    """

    heads = ("video",)
    needs_class_prompts = True
    prompts: Float[Tensor, "classes width"]

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        d = config.hidden
        self.video = PooledVideo(config)
        self.text = Projection(config.text_width, d)
        self.match_visual = nn.Sequential(nn.LayerNorm(d), nn.Dropout(config.dropout), nn.Linear(d, d, bias=False))
        self.match_text = nn.Linear(d, d, bias=False)
        self.scale = nn.Parameter(torch.tensor(10.0).log())
        self.statistics = VideoStatistics(config)
        self.linear = Head(config, statistics=self.statistics.width)
        self.register_buffer("prompts", torch.zeros(config.classes, config.text_width))  # saved with the weights

    def forward(self, batch: Batch) -> Output:
        """Class scores of a batch: how near its video is to each class's prompts."""
        video = unit(self.match_visual(self.video(batch)))
        classes = unit(self.match_text(self.text(self.prompts)))  # [K, d]
        near = self.scale.exp().clamp(max=100.0) * video @ classes.mT
        return self.joined(batch, near + self.linear.read(self.statistics(batch)))


class Narrative(Model):
    """Rival: the text as a whole, the mean of its sentences' embeddings, beside the pooled video. Motion is not used.

    With one word and one visual token the transport problem has one plan, of cost 1 − cos(W_u u, W_v v), so the same
    losses draw each clip towards its own text here (globally) as in :class:`Grace` (token by token).
    """

    heads = ("video", "text", "aligned")

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        d = config.hidden
        self.matcher = config.matcher()
        self.video = PooledVideo(config)
        self.text = Projection(config.text_width, d)
        self.match_text = nn.Linear(d, d, bias=False)
        self.match_visual = nn.Linear(d, d, bias=False)
        self.fuse = Fusion(d)
        self.statistics = VideoStatistics(config)
        self.video_head = Head(config, d, self.statistics.width)
        self.text_head = Head(config, d, config.text_width)
        self.aligned_head = Head(config, d)

    def forward(self, batch: Batch) -> Output:
        """Class scores of a batch, and the distance of each clip to its text."""
        video = self.video(batch)  # [B, d]
        ends = batch.sentence_end.to(batch.text.dtype)
        mean = torch.einsum("bl,blw->bw", ends, batch.text) / ends.sum(1, keepdim=True)
        text = self.text(mean)  # [B, d]
        whole = torch.ones_like(video[:, :1], dtype=torch.float32)
        problem = TransportProblem(self.match_text(text)[:, None], self.match_visual(video)[:, None], whole, whole, 1)
        return self.joined(
            batch,
            self.video_head(video, self.statistics(batch)),
            self.text_head(text, mean),
            self.aligned_head(self.fuse(text, video)),
            alignment=self.matcher(*problem.costs_and_marginals()),
            problem=problem,
        )


class AlignedVideo(nn.Module):
    """Words, or queries in their place, aligned with patches and instants by an optimal transport plan."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.hidden
        self.config = config
        self.matcher = config.matcher()
        self.visual = Projection(config.width, d)
        self.frame = Projection(2 * config.width, d)
        self.frame_attention = FrameAttention(config)
        self.temporal = TemporalTransformer(config)
        self.pool = SegmentPooling(config)
        self.salience = nn.Linear(d, 1)  # of words
        self.saliency = nn.Linear(d, 1)  # of visual tokens
        self.fuse = Fusion(d, more=2)

    def encode_video(
        self, batch: Batch, patches: Float[Tensor, "batch instants patches hidden"]
    ) -> tuple[Float[Tensor, "batch instants patches hidden"], Float[Tensor, "batch instants hidden"]]:
        """Patches V, to each of which its frame (and so the rest of the clip) is added; and the frames themselves.

        ``patches`` are the projected visual tokens, ``visual(batch.visual)``.
        """
        frames = self.frame_attention(self.frame(batch.frame_features()), patches, batch.motion)  # [B, T, d]
        frames = self.temporal(frames)
        return patches + frames[:, :, None, :], frames

    def visual_marginal(
        self, patches: Float[Tensor, "batch instants patches hidden"], motion: Float[Tensor, "batch instants patches"]
    ) -> Float[Tensor, "batch visual"]:
        """b ∝ exp(saliency(V)) · μ, μ the weight of motion."""
        scores = self.saliency(patches)[..., 0].float()  # [B, T, P]
        if self.config.motion_marginal:
            c = self.config
            weight = motion_scores(motion.float(), c.motion_exponent, c.motion_floor, c.motion_normalisation)
            scores = scores + weight
        return scores.flatten(1).softmax(-1)

    def align(
        self,
        words: Float[Tensor, "batch text hidden"],
        visual: Float[Tensor, "batch visual hidden"],
        alignment: Alignment,
        cost: Float[Tensor, "batch text visual"],
        marginal: Float[Tensor, "batch text"],
    ) -> Float[Tensor, "batch hidden"]:
        """z_l = [U_l ; Σ_n Π_ln V_n / r_l ; Σ_n Π_ln C_ln / r_l ; r_l / a_l], r = Π1, fused, pooled with a.

        Args:
            words: U [B, L, d].
            visual: V [B, N, d].
            alignment: Holds the plan Π [B, L, N].
            cost: C [B, L, N].
            marginal: a [B, L], 0 for padding.

        Returns:
            One vector per clip [B, d].
        """
        plan = alignment.plan
        sent = plan.sum(2).clamp_min(1e-9)  # r [B, L]
        matched = (plan.to(visual.dtype) @ visual) / sent[..., None]  # [B, L, d]
        paid = (plan * cost).sum(2) / sent
        kept = sent / marginal.clamp_min(1e-9) * (marginal > 0)
        fused = self.fuse(words, matched.to(words.dtype), torch.stack([paid, kept], dim=-1).to(words.dtype))
        return torch.einsum("bl,bld->bd", marginal.to(fused.dtype), fused)


class Grace(Model):
    """Words of the description aligned with patches and instants of the video by an optimal transport plan."""

    heads = ("video", "text", "aligned")
    aligns_words = True

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        d = config.hidden
        self.text = Projection(config.text_width, d)
        self.aligner = AlignedVideo(config)
        self.pooled = PooledWords(config)
        if config.aligned:
            self.match_text = nn.Linear(config.text_width, config.width, bias=False)  # W_u, beside the identity
            nn.init.zeros_(self.match_text.weight)
        else:
            self.match_text, self.match_visual = (nn.Linear(d, d, bias=False) for _ in range(2))  # W_u, W_v
        self.video_statistics, self.text_statistics = VideoStatistics(config), TextStatistics(config)
        self.video_head = Head(config, d, self.video_statistics.width)
        self.text_head = Head(config, d, self.text_statistics.width)
        self.aligned_head = Head(config, d)

    def forward(self, batch: Batch) -> Output:
        """Class scores of a batch, its plan [B, L, T·P], and the transport problem that the plan solves."""
        words = self.text(batch.text)  # U [B, L, d]
        projected = self.aligner.visual(batch.visual)  # [B, T, P, d]
        patches, frames = self.aligner.encode_video(batch, projected)  # V [B, T, P, d], [B, T, d]
        problem = self.problem(batch, words, projected, patches)
        cost, a, b = problem.costs_and_marginals()
        alignment = self.aligner.matcher(cost, a, b)

        aligned = self.aligner.align(words, patches.flatten(1, 2), alignment, cost, a)  # [B, d]
        attended = self.aligner.pool(frames, b.unflatten(1, patches.shape[1:3]).sum(2))  # [B, d]
        return self.joined(
            batch,
            self.video_head(attended, self.video_statistics(batch)),
            self.text_head(self.pooled(words, a), self.text_statistics(batch)),
            self.aligned_head(aligned),
            alignment=alignment,
            problem=problem,
        )

    def problem(
        self,
        batch: Batch,
        words: Float[Tensor, "batch text hidden"],
        projected: Float[Tensor, "batch instants patches hidden"],
        patches: Float[Tensor, "batch instants patches hidden"],
    ) -> TransportProblem:
        """C = 1 − cos(W_u u, W_v v), and the marginals.

        In a shared space it starts as that space's own cosine, so words find parts of a face before any training; one
        matrix suffices there (u·v depends on W_uᵀW_v alone), and on the text's side it costs least. Tokens of two
        spaces are projected first.

        Args:
            batch: The cached tokens and the motion.
            words: U [B, L, d], projected words.
            projected: Projected visual tokens [B, T, P, d]; read for tokens of two spaces only.
            patches: V [B, T, P, d], the same after their frame was added.

        Returns:
            The problem of L words and N = T·P visual tokens.
        """
        if self.config.aligned:
            text, visual = batch.text + self.match_text(batch.text), batch.visual.flatten(1, 2)
        else:
            text, visual = self.match_text(words), self.match_visual(projected.flatten(1, 2))
        return TransportProblem(
            text=text,
            visual=visual,
            text_marginal=text_marginal(self.aligner.salience(words), batch.text_mask),
            visual_marginal=self.aligner.visual_marginal(patches, batch.motion),
            instants=patches.shape[1],
        )
