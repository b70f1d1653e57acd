"""Blocks of README.md are usable as they stand: settings load and suffice for DVC, Python runs on the demo."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

import grace
from stages import app
from stages._project import render


def blocks(project: Path, language: str) -> list[str]:
    text = (project / "README.md").read_text(encoding="utf-8")
    found = [textwrap.dedent(block) for block in re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.DOTALL | re.M)]
    assert found
    return found


def test_the_settings_load_and_hold_all_that_dvc_asks_for(project: Path, tmp_path: Path) -> None:
    (block,) = blocks(project, "yaml")
    path = tmp_path / "params.yaml"
    path.write_text(block)
    settings = grace.load_settings(path)
    assert settings.datasets == ["dfew"]
    written = yaml.safe_load(block)
    for stage in yaml.safe_load(render("dfew")["dvc.yaml"])["stages"].values():
        for name in stage["params"]:
            value = written
            for key in name.split("."):
                assert key in value, f"DVC asks for {name}, which the block lacks"
                value = value[key]


def test_python_runs_on_the_demo(project: Path, small_demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = blocks(project, "python")
    monkeypatch.chdir(small_demo)
    names: dict[str, Any] = {}
    exec(compile(block, "README.md", "exec"), names)
    assert names["prediction"].label == "happiness", "the film 00003 is a happy one"
    assert [each.error for each in names["predictions"]] == ["", ""]
    assert names["texts"].groupby("label").size().to_dict() == {"happiness": 8, "sadness": 8}


@pytest.mark.parametrize("name", [command.name for command in app.registered_commands if not command.hidden])
def test_every_command_is_in_the_table(project: Path, name: str) -> None:
    rows = re.findall(r"^\| (`[^|]*`) \|", (project / "README.md").read_text(encoding="utf-8"), re.M)
    assert any(f"`{name}`" in row for row in rows), name
