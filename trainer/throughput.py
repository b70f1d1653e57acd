"""How long training will take on this machine, from a few timed steps on random tokens."""

from __future__ import annotations

import time
from dataclasses import fields
from typing import Any

import numpy as np
import torch

from grace.pipeline.devices import choose_device
from grace.trainer.batch import Batch
from grace.trainer.determinism import lower_precision, reproducible
from grace.trainer.losses import LossConfig, total_loss
from grace.trainer.model import ModelConfig, build
from grace.trainer.settings import TrainSettings

STEPS = 3


def seconds_per_clip(
    settings: TrainSettings, *, classes: int, instants: int, patches: int, length: int, width: int
) -> float:
    """Seconds that a clip takes in a training step of these settings, forward and backward, reading left out.

    The clip has T ``instants``, P ``patches``, L = ``length`` text tokens, ``width`` D.
    """
    device = choose_device(settings.device)
    known = {field.name for field in fields(ModelConfig)}
    shared: dict[str, Any] = {name: value for name, value in settings.cache_key().items() if name in known}
    config = ModelConfig(**shared, classes=classes, instants=instants, patches=patches, width=width)
    count = settings.batch
    batch = Batch(
        visual=torch.randn(count, instants, patches, width),
        frame=torch.randn(count, instants, width),
        text=torch.randn(count, length, width),
        text_mask=torch.ones(count, length, dtype=torch.bool),
        sentence_end=torch.arange(length).remainder(16).eq(15).expand(count, -1).clone(),
        motion=torch.rand(count, instants, patches),
    ).to(device)
    batch.sentence_end[:, -1] = True
    labels, prior = torch.arange(count, device=device) % classes, torch.full((classes,), 1 / classes, device=device)
    loss = LossConfig(
        settings.transport_weight, settings.contrastive_weight, settings.logit_adjustment, config.matcher()
    )
    taken = []
    with reproducible(settings):
        model = build(config, torch.randn(classes, width)).to(device)
        for _ in range(STEPS + 1):
            start = time.perf_counter()
            with torch.autocast(device.type, torch.bfloat16, enabled=lower_precision(settings.precision, device)):
                terms = total_loss(model(batch.drop_patches(settings.patch_dropout)), labels, prior, loss)
            terms["loss"].backward()
            float(terms["loss"].detach())  # waits for a GPU
            taken.append(time.perf_counter() - start)
    return float(np.median(taken[1:])) / count
