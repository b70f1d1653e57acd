"""How long training will take on this machine, from a few timed steps on random tokens."""

from __future__ import annotations

import time

import numpy as np
import torch

from grace.pipeline.devices import choose_device, keep_freed_memory
from grace.trainer.batch import Batch, Sizes
from grace.trainer.determinism import lower_precision, reproducible
from grace.trainer.layers import ModelConfig
from grace.trainer.losses import LossConfig, total_loss
from grace.trainer.methods import build
from grace.trainer.settings import TrainSettings

TIMED_STEPS = 3


def seconds_per_clip(settings: TrainSettings, sizes: Sizes, words: int) -> float:
    """Seconds that a clip of these sizes and so many ``words`` takes in a training step, forward and backward.

    Reading the cache is not included.

    Args:
        settings: The section ``train`` of ``params.yaml``.
        sizes: Of the cache.
        words: Text tokens of each clip.

    Returns:
        The median of ``TIMED_STEPS`` steps after a first one, divided by the clips of a batch.

    Raises:
        UserError: There is no such device.
    """
    device = choose_device(settings.device)
    keep_freed_memory(device)
    config = ModelConfig.from_settings(settings, sizes)
    batch = Batch.random(sizes, settings.batch, words).to(device)
    labels = torch.arange(settings.batch, device=device) % sizes.classes
    prior = torch.full((sizes.classes,), 1 / sizes.classes, device=device)
    loss = LossConfig.from_settings(settings, config.matcher())
    taken = []
    with reproducible(settings):
        model = build(config, torch.randn(sizes.classes, sizes.text_width)).to(device)
        for _ in range(TIMED_STEPS + 1):
            start = time.perf_counter()
            with torch.autocast(device.type, torch.bfloat16, enabled=lower_precision(settings.precision, device)):
                terms = total_loss(model(batch.drop_patches(settings.patch_dropout)), labels, prior, loss)
            terms["loss"].backward()
            float(terms["loss"].detach())  # waits for a GPU
            taken.append(time.perf_counter() - start)
    return float(np.median(taken[1:])) / settings.batch
