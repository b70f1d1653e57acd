"""What the trainer needs to know: the keys of ``train`` in ``params.yaml``, without its parser."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from grace.pipeline.store import UserError

METHODS = ("vision", "template", "narrative", "grace")
PROTOCOLS = ("held-out", "best-test")
WITHIN = ("frame", "clip")
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class TrainSettings:
    """How one fold is trained. Names and defaults mirror ``grace.pipeline.settings.Train``, where each is explained."""

    method: str = "grace"
    protocol: str = "held-out"
    seed: int = 0
    epochs: int = 30
    batch: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    patience: int = 8
    smoothing: int = 3
    validation: float = 0.15
    ema: float = 0.9
    clip_norm: float = 1.0
    hidden: int = 64
    layers: int = 2
    heads: int = 4
    dropout: float = 0.2
    patch_dropout: float = 0.5
    segments: int = 4
    epsilon: float = 0.05
    sinkhorn_iterations: int = 30
    column_weight: float = 0.05
    motion_exponent: float = 1.0
    motion_within: str = "frame"
    transport_weight: float = 0.1
    contrastive_weight: float = 0.1
    logit_adjustment: float = 1.0
    motion_attention: bool = True
    motion_marginal: bool = True
    transport: bool = True
    precision: str = "auto"
    device: str = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UserError(f"train.method is '{self.method}': choose one of {', '.join(METHODS)}.")
        if self.protocol not in PROTOCOLS:
            raise UserError(f"train.protocol is '{self.protocol}': choose one of {', '.join(PROTOCOLS)}.")
        if self.precision not in PRECISIONS:
            raise UserError(f"train.precision is '{self.precision}': choose one of {', '.join(PRECISIONS)}.")
        if self.motion_within not in WITHIN:
            raise UserError(f"train.motion_within is '{self.motion_within}': choose one of {', '.join(WITHIN)}.")
        if self.hidden % self.heads:
            raise UserError(f"train.hidden ({self.hidden}) must be a multiple of train.heads ({self.heads}).")

    @classmethod
    def of(cls, content: dict[str, Any]) -> TrainSettings:
        """Settings from a plain mapping. Raises :class:`UserError` naming a key that is unknown."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(content) - known):
            raise UserError(f"train has no key '{unknown[0]}' (known: {', '.join(sorted(known))}).")
        return cls(**content)

    @property
    def window(self) -> int:
        """Epochs whose mean score is an epoch's: ``smoothing``, or fewer where a run may end before; 1 in best-test."""
        return 1 if self.protocol == "best-test" else min(self.smoothing, self.epochs, self.patience)

    def identity(self) -> dict[str, Any]:
        """What changes the result: everything."""
        return asdict(self)
