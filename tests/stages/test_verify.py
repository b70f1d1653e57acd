"""``grace verify`` finds every file that is not as it was written; ``grace clean`` removes answers and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from grace.pipeline.engines.base import Response
from grace.pipeline.engines.responses import ResponseStore
from grace.trainer.settings import TrainSettings
from grace.trainer.train import train
from stages import app
from tests.support.toy_cache import TRAIN, toy_cache


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy cache with a run."""
    folder = toy_cache(tmp_path_factory.mktemp("data") / "toy")
    train(folder, TrainSettings.model_validate({**TRAIN, "method": "vision", "epochs": 1}), 1, quiet=True)
    return folder


@pytest.fixture
def data(whole: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may damage."""
    shutil.copytree(whole, tmp_path / "toy")
    return tmp_path


def invoke(command: str, data: Path, project: Path, *more: str) -> Result:
    options = ["--dataset", "toy", "--params", str(project / "params.yaml"), "-S", f"data={data}"]
    return CliRunner().invoke(app, [command, *options, *more])


def test_a_whole_data_set_is_found_whole(data: Path, project: Path) -> None:
    result = invoke("verify", data, project)
    assert result.exit_code == 0, result.output
    assert "and 1 runs of toy are as they were written" in result.output


@pytest.mark.parametrize(
    "name",
    [
        "clips.parquet",
        "tokens/00000.h5",
        "tokens/templates.parquet",
        "motion/00001.h5",
        "runs/vision/fold-1/model.safetensors",
        "runs/vision/fold-1/predictions.parquet",
        "runs/vision/fold-1/metrics.json",
        "runs/vision/fold-1/config.yaml",
    ],
)
def test_one_flipped_bit_is_found_wherever_it_is(data: Path, project: Path, name: str) -> None:
    path = data / "toy" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(bytes(content))
    result = invoke("verify", data, project)
    assert result.exit_code == 1
    assert name.rpartition("/")[2] in result.output
    assert "grace" in result.output  # what to run


def test_clean_removes_answers_only(data: Path, project: Path) -> None:
    store = ResponseStore(data / "toy/responses/caption")
    store.add("key", Response("The brows rise."))
    store.close()
    assert invoke("clean", data, project, "--yes").exit_code == 0
    assert not (data / "toy/responses").exists()
    assert invoke("verify", data, project).exit_code == 0
    assert "keeps no answers" in invoke("clean", data, project).output
