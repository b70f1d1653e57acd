"""Curves of a run, in git repositories of any age."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from grace.trainer.live_logging import LiveLogger

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
