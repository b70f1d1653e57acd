"""Tuning chooses by validation clips alone, keeps its trials, and goes on where it was stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from grace.pipeline.store import UserError
from grace.trainer.data import Subset
from grace.trainer.settings import TrainSettings
from grace.trainer.tune import tune
from tests.support.toy_cache import TRAIN, toy_cache

pytest.importorskip("optuna", reason="Optuna is not installed")

SETTINGS = TrainSettings.model_validate({**TRAIN, "method": "vision", "epochs": 2})


def test_a_study_goes_on_and_begins_with_the_settings_given(tmp_path: Path) -> None:
    folder = toy_cache(tmp_path)
    first = tune(folder, SETTINGS, 1, trials=1)
    assert (first.trials, first.score) == (1, first.default)
    assert first.settings == {}
    second = tune(folder, SETTINGS, 1, trials=3)
    assert second.trials == 3
    assert second.default == first.default <= second.score
    assert tune(folder, SETTINGS, 1, minutes=0.0) == second
    assert tune(folder, SETTINGS.model_copy(update={"epochs": 1}), 1, trials=1).trials == 1


def test_no_test_clip_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = toy_cache(tmp_path)
    read: set[str] = set()
    batches = Subset.batches

    def watched(self: Subset, *arguments: object, **more: object) -> object:
        read.update(self.clip_ids)
        return batches(self, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Subset, "batches", watched)
    tune(folder, SETTINGS, 1, trials=1)
    assert read == {f"clip-{index:03d}" for index in range(60) if index % 7 >= 2}


def test_what_cannot_be_tuned_is_said(tmp_path: Path) -> None:
    folder = toy_cache(tmp_path)
    with pytest.raises(UserError, match="needs a budget"):
        tune(folder, SETTINGS, 1)
    with pytest.raises(UserError, match="would choose settings by test clips"):
        tune(folder, SETTINGS.model_copy(update={"protocol": "best-test"}), 1, trials=1)
    with pytest.raises(UserError, match="nothing to tune"):
        tune(folder, SETTINGS.model_copy(update={"method": "probe"}), 1, trials=1)


def test_a_line_that_a_kill_tore_is_dropped_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    data = toy_cache(tmp_path / "data/toy")
    first = tune(data, SETTINGS, 1, trials=2)
    log = data / "tuning/vision/fold-1/study.log"
    whole = log.read_bytes()
    log.write_bytes(whole[:-20])
    assert tune(data, SETTINGS, 1, trials=3).trials == 3
    assert first.default == tune(data, SETTINGS, 1, trials=3).default
    log.write_bytes(whole.replace(b"op_code", b"op_\0ode", 1))
    with pytest.raises(UserError, match=r"study\.log is damaged"):
        tune(data, SETTINGS, 1, trials=3)
