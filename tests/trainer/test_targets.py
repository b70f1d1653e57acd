"""Votes of raters as what the loss is taken against; labels are what is scored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from grace.pipeline.store import Clips, Row, UserError, write_clips
from grace.trainer.data import Cache, Subset
from grace.trainer.evaluate import evaluate
from grace.trainer.losses import logit_adjusted
from grace.trainer.runs import read_config
from grace.trainer.settings import TrainSettings
from grace.trainer.targets import soft_targets
from grace.trainer.train import train
from tests.support.toy_cache import TRAIN, toy_cache

VOTES = TrainSettings.model_validate({**TRAIN, "epochs": 3, "targets": "votes"})
LABEL = VOTES.model_copy(update={"targets": "label"})


def change_rows(folder: Path, change: Callable[[Row], None]) -> Path:
    """A toy cache whose table of clips was changed row by row."""
    clips = Clips(folder)
    for row in clips.rows:
        change(row)
    write_clips(folder, clips.rows, clips.labels)
    return folder


def vote(row: Row) -> None:
    """Seven of ten for the label, three for the next class; clips ending in 0 have no votes."""
    shares = np.roll([7.0, 3.0, 0.0], row["label_id"])
    row["votes"] = [] if row["clip_id"].endswith("0") else shares.tolist()


def test_votes_become_shares_and_a_clip_without_any_has_its_label(tmp_path: Path) -> None:
    cache = Cache(change_rows(toy_cache(tmp_path), vote))
    targets = soft_targets(Subset(cache, ("clip-000", "clip-001", "clip-002")))
    assert np.allclose(targets, [[1, 0, 0], [0, 0.7, 0.3], [0.3, 0, 0.7]])


def test_a_loss_against_shares_of_one_class_is_that_of_the_label() -> None:
    logits, labels, prior = torch.randn(8, 3), torch.randint(3, (8,)), torch.tensor([0.5, 0.3, 0.2])
    shares = torch.nn.functional.one_hot(labels, 3).float()
    hard, soft = (logit_adjusted(logits, targets, prior, 1.0) for targets in (labels, shares))
    assert torch.allclose(hard, soft, atol=1e-6)
    mixed = logit_adjusted(logits, torch.full((8, 3), 1 / 3), prior, 0.0)
    assert torch.allclose(mixed, -logits.log_softmax(1).mean(1), atol=1e-6)


def test_a_run_on_votes_learns_otherwise_says_so_and_is_scored_by_labels(tmp_path: Path) -> None:
    folder = change_rows(toy_cache(tmp_path), vote)
    by_label, by_votes = (train(folder, s, 1, folder / s.targets, quiet=True) for s in (LABEL, VOTES))
    assert by_label["targets"] == "label"
    assert "voted_clips" not in by_label
    assert by_votes["targets"] == "votes"
    assert 0 < by_votes["voted_clips"] < by_votes["train_clips"]
    assert by_votes["clips"] == by_label["clips"]
    runs = [folder / name / "grace/fold-1" for name in ("label", "votes")]
    assert runs[0].joinpath("model.safetensors").read_bytes() != runs[1].joinpath("model.safetensors").read_bytes()
    assert f"votes on {by_votes['voted_clips']} of them" in (runs[1] / "README.md").read_text()
    assert "votes" in read_config(runs[1]).inputs
    assert evaluate(folder, "grace", [1], 20, runs=folder / "votes")["clips"] == by_votes["clips"]


def test_changed_votes_make_a_run_on_votes_stale_and_no_other(tmp_path: Path) -> None:
    folder = change_rows(toy_cache(tmp_path), vote)
    for settings in (LABEL, VOTES):
        train(folder, settings, 1, folder / settings.targets, quiet=True)
    change_rows(folder, lambda row: row.update(votes=[1.0, 1.0, 1.0]))
    assert evaluate(folder, "grace", [1], 20, runs=folder / "label")
    with pytest.raises(UserError, match=r"clips\.parquet changed"):
        evaluate(folder, "grace", [1], 20, runs=folder / "votes")


def test_a_class_without_a_vote_keeps_the_loss_finite(tmp_path: Path) -> None:
    folder = change_rows(toy_cache(tmp_path), lambda row: row.update(votes=[1.0, 1.0, 0.0]))
    assert np.isfinite(train(folder, VOTES, 1, quiet=True)["UAR"])


def test_votes_that_are_not_there_are_said(tmp_path: Path) -> None:
    folder = toy_cache(tmp_path)
    with pytest.raises(UserError, match=r"no training clip of .* has votes"):
        train(folder, VOTES, 1, quiet=True)
    assert not (folder / "runs").exists()
    with pytest.raises(ValidationError, match="probe learns from labels only"):
        TrainSettings(method="probe", targets="votes")
