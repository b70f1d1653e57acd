"""The one training loop of the pocket models: Muon and AdamW, warm-up and cosine, bfloat16 where it is fast, resumable.

Muon (Jordan et al. 2024) updates the matrices inside the layers, AdamW everything else. Measured on the vision tower
after 300 steps: mean AUC of the actions on unseen people 0.78 with Muon, 0.69 with AdamW alone. The LLM gained nothing.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from grace.pipeline.devices import choose_dtype

if TYPE_CHECKING:
    import torch

BUILD = Path(__file__).parent / "build"
"""Folder of rendered frames and checkpoints; not in git."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Schedule:
    """Steps and learning rates: linear warm-up over a share of the steps, then cosine decay to a twentieth.

    ``rate`` is AdamW's; ``muon`` is Muon's, scaled so that its updates have the magnitude of AdamW's (Liu et al. 2025,
    *Muon is scalable for LLM training*); without it, AdamW updates everything.
    """

    steps: int
    rate: float = 1e-3
    muon: float | None = None
    warmup: float = 0.05
    weight_decay: float = 0.05

    def factor(self, step: int) -> float:
        """The share of the full learning rates at a step."""
        start = max(1, int(self.warmup * self.steps))
        if step < start:
            return (step + 1) / start
        passed = (step - start) / max(1, self.steps - start)
        return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, passed)))


def fit(
    name: str,
    model: torch.nn.Module,
    loss: Callable[[int], torch.Tensor],
    schedule: Schedule,
    every: int = 100,
    build: Path = BUILD,
) -> None:
    """Train ``model`` in place for ``schedule.steps`` steps of ``loss(step)``.

    ``loss`` derives its batch from the step's number, so an interrupted run resumes from ``<build>/<name>.pt`` with the
    same result. Every ``every`` steps, a line is logged and that file is written.
    """
    import torch

    file = build / f"{name}.pt"
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizers = _optimizers(model, schedule)
    full = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    first = 0
    if file.exists():
        saved = torch.load(file, weights_only=True)
        model.load_state_dict(saved["model"])
        for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        first = int(saved["step"])
    lower = choose_dtype("auto", torch.device("cpu")) == torch.bfloat16  # without units for it, it is far slower
    model.train()
    total, started = 0.0, time.monotonic()
    for step in range(first, schedule.steps):
        torch.manual_seed(step)
        for optimizer, rates in zip(optimizers, full, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * schedule.factor(step)
        with torch.autocast("cpu", torch.bfloat16, enabled=lower):
            value = loss(step)
        model.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimizer in optimizers:
            optimizer.step()
        total += float(value.detach())
        if (step + 1) % every == 0 or step + 1 == schedule.steps:
            seconds = (time.monotonic() - started) / (step + 1 - first)
            mean = total / ((step % every) + 1)
            logger.info("%s step %d/%d loss %.4f %.3f s/step", name, step + 1, schedule.steps, mean, seconds)
            total = 0.0
            states = [optimizer.state_dict() for optimizer in optimizers]
            partial = file.with_suffix(".part")
            torch.save({"model": model.state_dict(), "optimizers": states, "step": step + 1}, partial)
            partial.replace(file)
    model.eval()


def _optimizers(model: torch.nn.Module, schedule: Schedule) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of transformer layers; AdamW for embeddings, heads, norms and biases."""
    import torch

    learning = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    inner = [weight for name, weight in learning if schedule.muon and weight.ndim == 2 and "layers." in name]
    outer = [weight for _, weight in learning if not any(weight is moved for moved in inner)]
    groups = [
        {"params": [weight for weight in outer if weight.ndim > 1], "weight_decay": schedule.weight_decay},
        {"params": [weight for weight in outer if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=schedule.rate, betas=(0.9, 0.98), fused=True)
    if not schedule.muon:
        return [adamw]
    muon = torch.optim.Muon(inner, lr=schedule.muon, weight_decay=schedule.weight_decay, adjust_lr_fn="match_rms_adamw")
    return [muon, adamw]
