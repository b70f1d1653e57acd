"""The one training loop of the pocket models: AdamW, warm-up and cosine, bfloat16 on the CPU, resumable."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

BUILD = Path(__file__).parent / "build"
"""Where drawn frames, checkpoints and logs lie; not in git."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: ``rate`` is reached after ``warmup`` of the steps and falls to a twentieth by cosine."""

    steps: int
    rate: float
    warmup: float = 0.05
    weight_decay: float = 0.05

    def at(self, step: int) -> float:
        """The learning rate of a step."""
        start = max(1, int(self.warmup * self.steps))
        if step < start:
            return self.rate * (step + 1) / start
        share = (step - start) / max(1, self.steps - start)
        return self.rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, share))))


def fit(
    name: str,
    model: torch.nn.Module,
    loss: Callable[[int], torch.Tensor],
    schedule: Schedule,
    every: int = 100,
    build: Path = BUILD,
) -> None:
    """Train ``model`` in place for ``schedule.steps`` steps of ``loss(step)``.

    ``loss`` draws its batch from the step's number, so a run that was stopped goes on from ``<build>/<name>.pt`` as if
    it had not been. Each ``every`` steps it prints a line and writes that file.
    """
    import torch

    file = build / f"{name}.pt"
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in parameters if parameter.ndim > 1]
    plain = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": schedule.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=schedule.rate, betas=(0.9, 0.98), fused=True)
    first = 0
    if file.exists():
        saved = torch.load(file, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        first = int(saved["step"])
    model.train()
    total, started = 0.0, time.monotonic()
    for step in range(first, schedule.steps):
        torch.manual_seed(step)
        for group in optimizer.param_groups:
            group["lr"] = schedule.at(step)
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(step)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        total += float(value.detach())
        if (step + 1) % every == 0 or step + 1 == schedule.steps:
            pace = (time.monotonic() - started) / (step + 1 - first)
            mean = total / ((step % every) + 1)
            print(f"{name} step {step + 1}/{schedule.steps} loss {mean:.4f} {pace:.3f} s/step", flush=True)
            total = 0.0
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            partial = file.with_suffix(".part")
            torch.save(state, partial)
            partial.replace(file)
    model.eval()
