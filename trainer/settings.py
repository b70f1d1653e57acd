"""``train`` and ``evaluate`` in ``params.yaml``; the names of methods and protocols, once for everybody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, field_validator

from grace.pipeline.section import Count, NotNegative, Positive, Section, Share

METHODS: Mapping[str, str] = {
    "vision": "pooled video alone",
    "template": "pooled video beside class prompts",
    "narrative": "pooled video beside one embedding of the clip's whole text",
    "grace": "words of a description matched with patches and instants by optimal transport",
    "text": "the words of a text alone, without the video",
    "queries": "learned queries in the place of words, matched with patches and instants",
    "probe": "a logistic regression on the statistics of tokens: the floor of every other method",
}
"""Each method in a few words. A new method is a class of that name, its line in ``methods.py``, and one here."""

PREFIX: Mapping[str, str] = {"held-out": "", "best-test": "best_test_"}
"""Each protocol (``protocol.py`` explains them), and what stands before its scores in tables and files."""

LOGGERS = ("dvclive", "tensorboard", "wandb")
"""Tools that can follow a run while it trains; all but DVCLive are packages to install."""

if TYPE_CHECKING:
    from typing import TypeAlias

    Method: TypeAlias = str
    Protocol: TypeAlias = str
    Tool: TypeAlias = str
else:
    Method, Protocol, Tool = Literal[tuple(METHODS)], Literal[tuple(PREFIX)], Literal[LOGGERS]


class TrainSettings(Section):
    """The trainer (``grace train``)."""

    model_config = ConfigDict(validate_default=True)  # a default may not fit beside a value that was set

    method: Method = "grace"
    protocol: Protocol = "held-out"
    seed: int = 0
    epochs: Count = 30
    batch: Count = 32
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 0.05
    warmup: Share = 0.1  # share of all steps
    patience: Count = 8  # epochs without a better validation UAR
    selection_window: Count = 3  # epochs over which the validation UAR is averaged to choose an epoch
    validation: Share = 0.15  # share of the training fold
    train_size: Share = 1.0  # share of each class's training clips that is learned from, for learning curves
    ema: Share = 0.9  # decay of the averaged weights, per step
    clip_norm: Positive = 1.0  # largest norm of the gradient
    seeds: Count = 1  # runs of each fold, from train.seed on; tables show their mean and spread
    targets: Literal["label", "votes"] = "label"  # votes: the shares of a clip's raters, where it has some
    sampling: Literal["natural", "balanced"] = "natural"  # balanced: each class equally often in an epoch
    text: Literal["own", "shuffled", "none"] = "own"  # shuffled: of another clip, a control; none: without
    text_dropout: Share = 0.1  # share of the clips of a step whose text is left out
    mirror: bool = True  # draw the mirrored view where the cache holds it (tokens.views)
    jitter: NotNegative = 0.0  # instants by which a clip is shifted in a training step, at most
    standardise: bool = True  # cached features by the mean and spread of the training clips
    hidden: Count = 64
    layers: Count = 2
    heads: Count = 4
    dropout: Share = 0.2
    readout_dropout: Share = 0.5  # of the statistics that heads read linearly
    head_weight: Share = 0.5  # of the heads' own losses, against that of their joined scores
    join: Literal["validation", "sum"] = "validation"  # how heads are joined: weights from validation clips, or even
    patch_dropout: Share = 0.5  # share of each frame's patches left out of a training step
    segments: Count = 4  # of a clip, each averaged by itself: what comes first is not averaged with what comes last
    epsilon: Positive = 0.05  # entropic regularisation
    sinkhorn_iterations: Count = 30
    marginal_relaxation: Positive = 0.05  # rho_v: how firmly plans keep the visual marginal; .inf: exactly
    text_relaxation: Positive = float("inf")  # rho_t: the same of the text's, whose words then may keep their mass
    motion_exponent: NotNegative = 1.0  # gamma
    motion_normalisation: Literal["frame", "clip"] = (
        "frame"  # motion weights patches within a frame, or instants as well
    )
    motion_floor: Positive = 0.05  # epsilon beside m: patches at rest keep some weight
    transport_weight: NotNegative = 0.1  # lambda 1
    contrastive_weight: NotNegative = 0.1  # lambda 2; 0 switches the term off
    queries: Count = 16  # of the method queries
    probe: Literal["video", "text", "both"] = "both"  # what the method probe reads
    logit_adjustment: NotNegative = 1.0  # tau, for the long tail; 0 switches it off
    motion_attention: bool = True  # each switch removes one part alone, all else as it was
    motion_marginal: bool = True
    transport: bool = True  # false: cross-attention, each word attends for itself
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # of the layers; auto: bfloat16 on GPUs
    device: str = "auto"
    threads: Count = 1  # of the processor; part of the result, since sums are split by thread
    loggers: list[Tool] = ["dvclive"]  # also tensorboard, wandb (offline, unless WANDB_MODE is set)

    # ``info`` is a pydantic.ValidationInfo, a protocol that the type checks of the tests cannot check at run time.

    @field_validator("validation")
    @classmethod
    def _held_out_needs_a_share(cls, validation: float, info: Any) -> float:
        if info.data.get("protocol") == "held-out" and not 0 < validation < 1:
            raise ValueError("protocol held-out needs a share between 0 and 1, such as 0.15")
        return validation

    @field_validator("heads")
    @classmethod
    def _heads_divide_hidden(cls, heads: int, info: Any) -> int:
        if info.data.get("hidden", 0) % heads:
            raise ValueError(f"must divide train.hidden ({info.data['hidden']})")
        return heads

    @field_validator("targets")
    @classmethod
    def _probe_learns_labels(cls, targets: str, info: Any) -> str:
        if targets == "votes" and info.data.get("method") == "probe":
            raise ValueError("the method probe learns from labels only: set train.targets to label")
        return targets

    @property
    def window(self) -> int:
        """Epochs whose scores are averaged: ``selection_window``, or fewer if a run may end sooner; 1 in best-test."""
        return 1 if self.protocol == "best-test" else min(self.selection_window, self.epochs, self.patience)

    def cache_key(self) -> dict[str, Any]:
        """The settings that change the result: all but those of the tools that look on."""
        return self.model_dump(exclude={"loggers"})


class EvaluateSettings(Section):
    """Scores of all folds together (``grace evaluate``)."""

    bootstrap: Count = 1000
    confidence: Share = 0.95
    published: str | None = None  # CSV of published rows to print beside; null: the table that ships; none: no rows
