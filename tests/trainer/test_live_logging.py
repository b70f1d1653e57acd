"""Curves of a run, in git repositories of any age."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from grace.pipeline.store import UserError
from grace.trainer.live_logging import LiveLogger
from grace.trainer.settings import TrainSettings

HISTORY = [{"epoch": 1.0, "loss": 0.5}]


def test_curves_hold_a_point_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with LiveLogger(tmp_path / "run", HISTORY) as curves:
        curves.add({"epoch": 2.0, "loss": 0.25})
    lines = (tmp_path / "run" / "dvclive" / "plots" / "metrics" / "loss.tsv").read_text().split()
    assert lines == ["step", "loss", "1", "0.5", "2", "0.25"]


def test_a_repository_without_a_commit_costs_the_curves_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    git("init")
    with pytest.warns(UserWarning, match="no commit yet"), LiveLogger(tmp_path / "run", HISTORY) as curves:
        curves.add({"epoch": 2.0, "loss": 0.25})
    assert not (tmp_path / "run").exists()


def test_dvc_is_not_set_up_in_a_repository_that_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    git("init")
    git("commit", "--allow-empty", "--message", "first")
    with pytest.warns(UserWarning, match="dvc init"), LiveLogger(tmp_path / "run", HISTORY) as curves:
        curves.add({"epoch": 2.0, "loss": 0.25})
    assert [path.name for path in tmp_path.iterdir()] == [".git"]
    assert git("status", "--porcelain") == ""

    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], check=True)
    with LiveLogger(tmp_path / "run", HISTORY):
        pass
    assert (tmp_path / "run" / "dvclive" / "plots" / "metrics" / "loss.tsv").exists()


def git(*arguments: str) -> str:
    """What git says in the present folder, as somebody whose name nobody has set."""
    command = ["git", "-c", "user.name=somebody", "-c", "user.email=somebody@example.org", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_a_missing_package_is_one_sentence_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"train.loggers names wandb, .* `pip install wandb`"):
        LiveLogger(tmp_path / "run", HISTORY, ["wandb"])
    assert not list(tmp_path.iterdir())


def test_loggers_do_not_change_what_a_run_is() -> None:
    assert TrainSettings().cache_key() == TrainSettings(loggers=["dvclive", "wandb"]).cache_key()
    with pytest.raises(ValueError, match="loggers"):
        TrainSettings(loggers=["mlflow"])


@pytest.mark.slow
def test_tensorboard_holds_every_epoch_once_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # the first one is as after a kill
        with LiveLogger(tmp_path / "run", HISTORY, ["tensorboard"]) as curves:
            curves.add({"epoch": 2.0, "loss": 0.25})
    events = accumulator.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 0.5), (2, 0.25)]
    assert not (tmp_path / "run" / "dvclive").exists()


@pytest.mark.slow
def test_wandb_stays_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with LiveLogger(tmp_path / "run", HISTORY, ["wandb"], {"epochs": 2}) as curves:
        curves.add({"epoch": 2.0, "loss": 0.25})
    (folder,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    assert list(folder.glob("*.wandb"))
