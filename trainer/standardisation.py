"""The mean and the spread of cached features over training clips, measured once before the first epoch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from grace.trainer.data import Subset
from grace.trainer.layers import Projection, Standard
from grace.trainer.model import Model

SAMPLED_CLIPS = 2000
"""Clips that suffice for a mean and a spread; of more, evenly spaced ones are read."""


class _Sums:
    """Sums over all features that a layer was given; tokens of zeros are padding."""

    def __init__(self, layer: Standard) -> None:
        zeros = torch.zeros(len(layer.mean), dtype=torch.float64, device=layer.mean.device)
        self.count, self.total, self.squares = 0, zeros, zeros.clone()

    def add(self, features: Tensor) -> None:
        rows = features.detach().reshape(-1, features.shape[-1]).double()
        rows = rows[rows.any(1)]
        self.count += len(rows)
        self.total += rows.sum(0)
        self.squares += rows.square().sum(0)


def standardise(model: Model, training: Subset, size: int, device: torch.device) -> None:
    """Set μ and σ of every :class:`~grace.trainer.layers.Standard` of a model by the clips it is trained on.

    Each layer measures what it is given itself, so a method states nowhere which features it has. A feature that does
    not vary is left as it is, but for its mean.

    Args:
        model: A model on ``device``; it is left in evaluation mode.
        training: Its training clips; of many, evenly spaced ones are read (``SAMPLED_CLIPS``).
        size: Clips per batch.
        device: Where the features are computed.
    """
    measured = _measured(model)
    sums = {module: _Sums(layer) for module, layer in measured.items()}

    def measure(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        sums[module].add(inputs[0])

    hooks = [module.register_forward_pre_hook(measure) for module in measured]
    ids = training.clip_ids
    part = range(0, len(ids), max(1, len(ids) // SAMPLED_CLIPS))
    some = Subset(training.cache, tuple(ids[index] for index in part))
    model.eval()
    try:
        with torch.no_grad():
            for batch, _ in some.batches(size, device=device):
                model(batch)
    finally:
        for hook in hooks:
            hook.remove()
    for module, found in sums.items():
        if found.count:
            layer = measured[module]
            mean = found.total / found.count
            spread = (found.squares / found.count - mean.square()).clamp_min(0).sqrt()
            layer.mean.copy_(mean)
            layer.spread.copy_(
                torch.where(spread > 1e-5 * spread.max().clamp_min(1e-12), spread, torch.ones_like(spread))
            )


def _measured(model: Model) -> dict[nn.Module, Standard]:
    """The modules whose inputs are standardised, and the mean and spread of each; a projection has them inside."""
    found: dict[nn.Module, Standard] = {}
    for module in model.modules():
        if isinstance(module, Projection):
            found[module] = module.standard
        elif isinstance(module, Standard) and module not in found.values():
            found[module] = module
    return found
