"""What the methods of ``model.py`` are held against: the text alone, patches read without words, a linear probe."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from grace.trainer.alignment import TransportProblem
from grace.trainer.batch import Batch, Output
from grace.trainer.layers import (
    Head,
    ModelConfig,
    PooledWords,
    Projection,
    Standard,
    TextStatistics,
    VideoStatistics,
    text_marginal,
)
from grace.trainer.model import AlignedVideo, Model


class Text(Model):
    """Control: the words of the text. The video is not used."""

    heads = ("text",)

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.text = Projection(config.text_width, config.hidden)
        self.salience = nn.Linear(config.hidden, 1)
        self.pooled = PooledWords(config)
        self.statistics = TextStatistics(config)
        self.text_head = Head(config, config.hidden, self.statistics.width)

    def forward(self, batch: Batch) -> Output:
        """Class scores of a batch, from its texts alone."""
        words = self.text(batch.text)
        pooled = self.pooled(words, text_marginal(self.salience(words), batch.text_mask))
        return self.joined(batch, self.text_head(pooled, self.statistics(batch)))


class Queries(Model):
    """Control: learned queries in the words' place, so that patches are read as finely as in GRACE, without words."""

    heads = ("video", "aligned")
    of_text = frozenset()

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        d = config.hidden
        self.queries = nn.Parameter(torch.randn(config.queries, d))
        self.aligner = AlignedVideo(config)
        self.match_text, self.match_visual = (nn.Linear(d, d, bias=False) for _ in range(2))
        self.statistics = VideoStatistics(config)
        self.video_head, self.aligned_head = Head(config, d, self.statistics.width), Head(config, d)

    def forward(self, batch: Batch) -> Output:
        """Class scores of a batch, from its video alone."""
        words = self.queries.expand(len(batch.visual), -1, -1)
        tokens = self.aligner.visual(batch.visual)
        patches, frames = self.aligner.encode_video(batch, tokens)
        a = self.aligner.salience(words)[..., 0].float().softmax(-1)
        b = self.aligner.visual_marginal(patches, batch.motion)
        projected = self.match_visual(tokens.flatten(1, 2))
        problem = TransportProblem(self.match_text(words), projected, a, b, patches.shape[1])
        cost = problem.costs_and_marginals()[0]
        alignment = self.aligner.matcher(cost, a, b)
        aligned = self.aligner.align(words, patches.flatten(1, 2), alignment, cost, a)
        attended = self.aligner.pool(frames, b.unflatten(1, patches.shape[1:3]).sum(2))
        video = self.video_head(attended, self.statistics(batch))
        return self.joined(batch, video, self.aligned_head(aligned), alignment=alignment)


class Probe(Model):
    """Floor: a logistic regression on the statistics of class tokens, of words, or of both (``train.probe``).

    Its weights are found by :func:`~grace.trainer.probe.fit_probe` rather than by the training loop.
    """

    heads = ("linear",)

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        video, text = VideoStatistics(config), TextStatistics(config)
        sides: dict[str, list[VideoStatistics | TextStatistics]] = {"video": [video], "text": [text]}
        read = sides.get(config.probe, [video, text])
        self.statistics = nn.ModuleList(read)
        width = sum(part.width for part in read)
        self.standard = Standard(width)
        self.linear = nn.Linear(width, config.classes)

    @property
    def reads_text(self) -> bool:
        """Whether the regression reads words."""
        return self.config.probe != "video"

    @property
    def reads_only_text(self) -> bool:
        """Whether the regression reads nothing but words."""
        return self.config.probe == "text"

    def features(self, batch: Batch) -> Float[Tensor, "batch features"]:
        """What the regression reads."""
        return torch.cat([part(batch) for part in self.statistics], dim=1)

    def forward(self, batch: Batch) -> Output:
        """Class scores of a batch."""
        return self.joined(batch, self.linear(self.standard(self.features(batch))))
