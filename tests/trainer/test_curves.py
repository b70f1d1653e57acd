"""Curves of a run, in git repositories of any age."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from trainer.curves import Curves

HISTORY = [{"epoch": 1.0, "loss": 0.5}]


def test_curves_hold_a_point_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Curves(tmp_path / "run", HISTORY) as curves:
        curves.add({"epoch": 2.0, "loss": 0.25})
    lines = (tmp_path / "run" / "dvclive" / "plots" / "metrics" / "loss.tsv").read_text().split()
    assert lines == ["step", "loss", "1", "0.5", "2", "0.25"]


def test_a_repository_without_a_commit_costs_the_curves_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    with pytest.warns(UserWarning, match="wants a commit"), Curves(tmp_path / "run", HISTORY) as curves:
        curves.add({"epoch": 2.0, "loss": 0.25})
    assert not (tmp_path / "run").exists()
