"""`grace doctor` says what will not work before anything runs; `grace models` lists and fetches checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from stages import app
from tests.support.videos import write_images

Ask = Callable[..., Result]


@pytest.fixture
def ask(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.chdir(project)

    def invoke(command: str, *settings: str) -> Result:
        words = command.split()
        options = [part for each in (f"data={tmp_path}", *settings) for part in ("-S", each)]
        return CliRunner().invoke(app, [*words, *options])

    return invoke


def test_the_demo_will_work(ask: Ask) -> None:
    result = ask("doctor")
    assert result.exit_code == 0, result.output
    for line in (
        "Python",
        "libraries",
        "processors",
        "memory",
        "GPU",
        "disk",
        "caption",
        "refine",
        "tokens",
        "detector",
    ):
        assert f" {line} " in result.output, line
    assert "✓ tokens       pocket/clip is there" in result.output


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("datasets=[mine]", "✗ data         There is no root for data set 'mine'"),
        ("caption.engine=openai", "✗ caption      engine openai has no server: set caption.server.url"),
        ("tokens.model=nobody/no-such-model", "✗ tokens       There is no model 'nobody/no-such-model'"),
        ("faces={detector: yunet, detector_model: gone.onnx}", "✗ detector     yunet needs its ONNX file"),
        ("workers=999", "for 999 workers: set workers to"),
    ],
)
def test_what_will_not_work_is_named(ask: Ask, setting: str, said: str) -> None:
    result = ask("doctor", setting)
    assert result.exit_code == (1 if said.startswith("✗") else 0), result.output
    assert said in result.output


def test_weights_that_no_memory_holds_are_named(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "huge").mkdir()
    (tmp_path / "huge/config.json").write_text("{}")
    with (tmp_path / "huge/model.safetensors").open("wb") as weights:
        weights.truncate(4 * 10**12)  # a hole: nothing is written
    result = ask("doctor", f"refine.model={tmp_path / 'huge'}")
    assert result.exit_code == 1, result.output
    assert "huge has 4.0 TB of weights, this machine" in result.output
    assert "name a smaller one" in result.output


def test_pocket_models_on_other_footage_are_named(ask: Ask, tmp_path: Path) -> None:
    write_images(tmp_path / "footage/one", 2)
    result = ask("doctor", "datasets=[mine]", f"roots.mine={tmp_path / 'footage'}")
    assert result.exit_code == 0, result.output
    assert "read as videos; not indexed: run `grace index -d mine`" in result.output
    assert "pocket/vlm knows only" in result.output


def test_models_are_listed_with_the_line_that_fetches_them(ask: Ask) -> None:
    result = ask("models", "caption.model=nobody/no-such-model")
    assert result.exit_code == 0, result.output
    lines = {" ".join(line.replace("│", " ").split()) for line in result.output.splitlines()}
    assert "caption: nobody/no-such-model missing" in lines
    assert "tokens: pocket/clip there" in lines
    assert "hf download nobody/no-such-model" in lines


def test_without_a_network_fetching_says_the_line(ask: Ask) -> None:
    result = ask("models fetch", "caption.model=nobody/no-such-model")
    assert result.exit_code == 2
    assert "pocket/clip: there" in result.output
    assert "could not be fetched" in result.stderr
    assert "hf download nobody/no-such-model" in result.stderr
