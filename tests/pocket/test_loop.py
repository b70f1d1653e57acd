"""The training loop of the pocket models resumes where it was interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from grace.pocket.loop import Schedule, fit


class Small(nn.Module):
    """A matrix inside ``layers``, for Muon, and a head, for AdamW."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layers = nn.ModuleList([nn.Linear(6, 6)])
        self.head = nn.Linear(6, 1)

    def loss(self, step: int) -> torch.Tensor:
        made = torch.Generator().manual_seed(step)
        seen = torch.randn(16, 6, generator=made)
        predicted = self.head(torch.tanh(self.layers[0](seen))).squeeze(1)
        return ((predicted - seen[:, 0] * seen[:, 1]) ** 2).mean().float()


def test_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(tmp_path: Path) -> None:
    schedule = Schedule(steps=6, muon=1e-2)
    (tmp_path / "whole").mkdir()
    (tmp_path / "stopped").mkdir()
    whole = Small()
    fit("small", whole, whole.loss, schedule, every=2, build=tmp_path / "whole")

    first = Small()

    def dies(step: int) -> torch.Tensor:
        if step == 3:
            raise KeyboardInterrupt
        return first.loss(step)

    with pytest.raises(KeyboardInterrupt):
        fit("small", first, dies, schedule, every=2, build=tmp_path / "stopped")
    again = Small()
    fit("small", again, again.loss, schedule, every=2, build=tmp_path / "stopped")

    for name, weights in whole.state_dict().items():
        assert torch.equal(weights, again.state_dict()[name]), name


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    model = Small()
    before = sum(float(model.loss(step).detach()) for step in range(100, 120))
    fit("small", model, model.loss, Schedule(steps=60, muon=1e-2), build=tmp_path)
    assert sum(float(model.loss(step).detach()) for step in range(100, 120)) < before
