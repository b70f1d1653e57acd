"""The command line in its three forms, and one plain sentence for each of the user's mistakes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stages import app

BIN = Path(sys.executable).parent
STAGES = [command.name for command in app.registered_commands if not command.hidden]


def call(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.fixture
def folder(tmp_path: Path, project: Path) -> Path:
    """A folder that holds nothing but the settings."""
    shutil.copy(project / "params.yaml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "form",
    [[str(BIN / "grace")], [sys.executable, "-m", "stages"], [str(BIN / "typer"), "stages", "run"]],
    ids=["grace", "python -m stages", "typer stages run"],
)
def test_every_form_lists_every_stage(form: list[str], project: Path) -> None:
    result = call(*form, "--help", folder=project)
    assert result.returncode == 0
    for stage in STAGES:
        assert f" {stage} " in result.stdout


def test_typer_stages_caption_works_literally(project: Path) -> None:
    """`typer stages caption --dataset mafw` reaches the caption stage, which misses the set's clips."""
    result = call(str(BIN / "typer"), "stages", "caption", "--dataset", "mafw", folder=project)
    assert result.returncode == 2
    assert "data/mafw/clips.parquet is missing: run `grace index` to make it." in result.stderr


def test_typer_runner_keeps_its_own_commands(project: Path) -> None:
    result = call(str(BIN / "typer"), "stages", "--help", folder=project)
    assert " run " in result.stdout
    assert " caption " in result.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["faces", "--dataset", "nowhere"], "There is no root for data set 'nowhere' (known: demo): set roots.nowhere"),
        (["faces", "--root", "no/such"], "The root of data set 'demo', no/such, is not a folder"),
        (["index", "-S", "roots.demo=gone"], "The root of data set 'demo', gone, is not a folder"),
        (["faces", "-S", "faces.instant=8"], "unknown key 'faces.instant' (known here: instants"),
        (["faces", "-S", "faces.instants=none"], "'faces.instants': input should be a valid integer"),
        (["faces", "-S", "fast"], "--set needs section.key=value, not 'fast'"),
        (["motion", "--params", "other.yaml"], "There is no settings file other.yaml"),
        (["inspect", "--dataset", "demo"], "clips.parquet is missing: run `grace index`"),
        (["caption", "-S", "caption.model=no/such/model"], "no/such/model"),
        (["plan", "clips", "--dataset", "demo"], "`grace plan` is called `grace estimate` now."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_gets_one_sentence_and_code_2(folder: Path, arguments: list[str], sentence: str) -> None:
    result = call(str(BIN / "grace"), *arguments, folder=folder)
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
    assert result.returncode == 2
    assert not list(folder.rglob(".tmp*"))


def test_settings_that_are_not_yaml_are_named(folder: Path) -> None:
    (folder / "params.yaml").write_text("faces: [unclosed")
    result = call(str(BIN / "grace"), "faces", folder=folder)
    assert result.returncode == 2
    assert "params.yaml is not valid YAML" in result.stderr
