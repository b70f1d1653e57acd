"""``train`` and ``evaluate`` in ``params.yaml``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from grace.pipeline.section import Count, NotNegative, Positive, Section, Share


class TrainSettings(Section):
    """The trainer (``grace train``)."""

    method: Literal["vision", "template", "narrative", "grace"] = "grace"
    protocol: Literal["held-out", "best-test"] = "held-out"
    seed: int = 0
    epochs: Count = 30
    batch: Count = 32
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 0.05
    warmup: Share = 0.1  # share of all steps
    patience: Count = 8  # epochs without a better validation UAR
    smoothing: Count = 3  # epochs whose mean validation UAR is an epoch's score
    validation: Share = 0.15  # share of the training fold
    ema: Share = 0.9  # of the averaged weights, a step
    clip_norm: Positive = 1.0  # of the gradient
    hidden: Count = 64
    layers: Count = 2
    heads: Count = 4
    dropout: Share = 0.2
    patch_dropout: Share = 0.5  # share of each frame's patches left out of a training step
    segments: Count = 4  # of a clip's course: what comes first is not averaged with what comes last
    epsilon: Positive = 0.05  # entropic regularisation
    sinkhorn_iterations: Count = 30
    column_weight: Positive = 0.05  # rho: how firmly plans keep the visual marginal; .inf: exactly
    motion_exponent: NotNegative = 1.0  # gamma
    motion_within: Literal["frame", "clip"] = "frame"  # motion weighs patches of a frame, or instants as well
    transport_weight: NotNegative = 0.1  # lambda 1
    contrastive_weight: NotNegative = 0.1  # lambda 2; 0 switches the term off
    logit_adjustment: NotNegative = 1.0  # tau, for the long tail; 0 switches it off
    motion_attention: bool = True  # each switch removes one part alone, all else as it was
    motion_marginal: bool = True
    transport: bool = True  # false: each word attends for itself
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # of the layers; auto: bfloat16 on GPUs
    device: str = "auto"
    threads: Count = 1  # of the processor; part of the result, since sums are split by thread

    @model_validator(mode="after")
    def _heads_divide_hidden(self) -> TrainSettings:
        if self.hidden % self.heads:
            raise ValueError(f"train.hidden ({self.hidden}) must be a multiple of train.heads ({self.heads})")
        return self

    @property
    def window(self) -> int:
        """Epochs whose mean score is an epoch's: ``smoothing``, or fewer where a run may end before; 1 in best-test."""
        return 1 if self.protocol == "best-test" else min(self.smoothing, self.epochs, self.patience)

    def cache_key(self) -> dict[str, Any]:
        """What changes the result: everything."""
        return self.model_dump()


class EvaluateSettings(Section):
    """Scores of all folds together (``grace evaluate``)."""

    bootstrap: Count = 1000
    confidence: Share = 0.95
    published: str | None = None  # CSV of published rows to print beside: dataset, method, year, uar, war, protocol
