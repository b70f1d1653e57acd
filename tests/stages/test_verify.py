"""``grace verify`` finds every file that is not as it was written; ``grace clean`` removes answers and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from grace.pipeline.engines.base import Response
from grace.pipeline.engines.responses import ResponseStore
from grace.pipeline.store import Clips, open_store, write_clips
from grace.pipeline.store.virtual import write_virtual_dataset
from grace.trainer.cross_dataset import evaluate_on
from grace.trainer.evaluate import evaluate
from grace.trainer.settings import TrainSettings
from grace.trainer.train import train
from stages import app
from tests.support.machines import as_nobody
from tests.support.toy_cache import TRAIN, toy_cache

SETTINGS = TrainSettings.model_validate({**TRAIN, "method": "vision", "epochs": 1})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two toy caches, the first with a run of two seeds, which is scored on both."""
    folder = tmp_path_factory.mktemp("data")
    toy = toy_cache(folder / "toy")
    toy_cache(folder / "more", clips=30, seed=1)
    train(toy, SETTINGS.model_copy(update={"seeds": 2}), 1, quiet=True)
    evaluate(toy, "vision", [1], samples=5, seeds=2)
    evaluate_on(toy, folder / "more", "vision", [1], samples=5)
    return folder


@pytest.fixture
def data(whole: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may damage."""
    for name in ("toy", "more"):
        shutil.copytree(whole / name, tmp_path / name)
    return tmp_path


def invoke(command: str, data: Path, project: Path, *more: str) -> Result:
    options = ["--dataset", "toy", "--params", str(project / "params.yaml"), "-S", f"data={data}"]
    return CliRunner().invoke(app, [command, *options, *more])


def test_a_whole_data_set_is_found_whole(data: Path, project: Path) -> None:
    result = invoke("verify", data, project)
    assert result.exit_code == 0, result.output
    assert "and 2 runs of toy are as they were written" in result.output


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
        "runs/vision/fold-1/seed-1/model.safetensors",
        "runs/vision/fold-1/seed-1/config.yaml",
        "cross-dataset/more/vision/predictions.parquet",
        "cross-dataset/more/vision/metrics.json",
        "scores.json",
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
    assert "keeps no answers" in " ".join(invoke("clean", data, project).output.split())


def test_a_run_of_another_data_set_and_a_damaged_answer_are_found(data: Path, project: Path) -> None:
    store = ResponseStore(data / "toy/responses/caption")
    store.add("key", Response("The brows rise."))
    store.close()
    assert invoke("verify", data, project).exit_code == 0
    (answers,) = store.folder.glob("*.jsonl")
    answers.write_bytes(answers.read_bytes().replace(b"rise", b"fall"))
    result = invoke("verify", data, project)
    assert result.exit_code == 1
    assert "holds 1 damaged answers" in result.output
    shutil.rmtree(data / "toy/responses")
    other = toy_cache(data / "other", seed=1)
    train(other, SETTINGS, 1, quiet=True)
    shutil.rmtree(data / "toy/runs/vision/fold-1")
    shutil.copytree(other / "runs/vision/fold-1", data / "toy/runs/vision/fold-1")
    result = invoke("verify", data, project)
    assert result.exit_code == 1
    assert "run `grace train`" in result.output


def test_scores_of_other_runs_or_clips_are_found(data: Path, project: Path) -> None:
    def said() -> str:
        return " ".join(invoke("verify", data, project).output.split())

    metrics = json.loads((data / "toy/metrics.json").read_text())
    (data / "toy/metrics.json").write_text(json.dumps({**metrics, "UAR": 0.99}))
    assert "metrics.json does not hold the scores of" in said()
    (data / "toy/metrics.json").write_text(json.dumps(metrics))
    table = Clips(data / "more")
    write_clips(data / "more", [{**row, "subject": "other"} for row in table.rows], table.labels)
    assert "is of other clips, tokens or motion of more than there are now" in said()
    write_clips(data / "more", table.rows, table.labels)
    assert "are as they were written" in said()
    shutil.rmtree(data / "toy/runs/vision/fold-1/seed-1")
    train(data / "toy", SETTINGS.model_copy(update={"dropout": 0.4}), 1, quiet=True)
    assert "scores.json is of another" in (found := said())
    assert "run `grace evaluate --dataset toy` again" in found
    assert "run `grace evaluate --dataset toy --on more` again" in found


def test_the_joined_file_is_checked(data: Path, project: Path) -> None:
    path = write_virtual_dataset(open_store(data / "toy", "tokens"))
    assert invoke("verify", data, project).exit_code == 0
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(bytes(content))
    assert "all.h5 is damaged" in invoke("verify", data, project).output


def test_a_clip_is_not_shown_with_the_classes_of_another_table(data: Path, project: Path) -> None:
    assert invoke("inspect", data, project, "--clip", "clip-007").exit_code == 0
    clips = Clips(data / "toy")
    write_clips(data / "toy", clips.rows, clips.labels[::-1])
    result = invoke("inspect", data, project, "--clip", "clip-007")
    assert result.exit_code == 2
    assert "other classes" in result.output


@pytest.mark.parametrize("name", ["a\0b", "../other", "", "a/b"])
def test_a_name_that_no_data_set_can_have_is_said(name: str, project: Path) -> None:
    result = CliRunner().invoke(app, ["verify", "--dataset", name, "--params", str(project / "params.yaml")])
    assert result.exit_code == 2
    assert "cannot be the name of a data set" in result.output


def test_a_store_that_lacks_a_shard_or_has_one_too_many_is_found(data: Path, project: Path) -> None:
    tokens = data / "toy/tokens"
    shutil.copy(tokens / "00003.h5", tokens / "00004.h5")
    result = invoke("verify", data, project)
    assert result.exit_code == 1
    assert "tokens holds 12 clips twice" in (said := " ".join(result.output.split()))
    assert "run `grace tokens` again" in said
    (tokens / "00004.h5").unlink()
    assert invoke("verify", data, project).exit_code == 0
    for store, stage in (("motion", "motion"), ("tokens", "tokens")):
        (data / "toy" / store / "00003.h5").unlink()
        result = invoke("verify", data, project)
        assert result.exit_code == 1
        sentence = f"{store} lacks 12 of 60 clips (clip-048 among them): run `grace {stage}` to make the missing shards"
        assert sentence in " ".join(result.output.split())


def test_a_joined_file_of_shards_that_are_no_more_is_found(data: Path, project: Path) -> None:
    write_virtual_dataset(open_store(data / "toy", "tokens"))
    (data / "toy/tokens/00003.h5").unlink()  # HDF5 reads zeros in its place
    said = " ".join(invoke("verify", data, project).output.split())
    assert "all.h5 was made from other shards than there are now: run `grace tokens`" in said


@pytest.mark.parametrize("name", ["tokens", "responses/caption", "runs", "runs/vision", "cross-dataset"])
def test_a_folder_that_may_not_be_read_is_not_an_empty_one(data: Path, project: Path, name: str) -> None:
    (data / "toy/responses/caption").mkdir(parents=True)
    folder = data / "toy" / name
    assert invoke("verify", data, project).exit_code == 0
    with as_nobody(data):
        folder.chmod(0o300)
        result = invoke("verify", data, project)
        folder.chmod(0o700)
    assert result.exit_code == 1
    assert f"{folder} cannot be read (Permission denied)" in " ".join(result.output.split())


@pytest.mark.parametrize(("command", "name"), [("clean", "responses/caption"), ("compare", "runs/vision")])
def test_no_command_takes_a_folder_that_may_not_be_read_for_an_empty_one(
    data: Path, project: Path, command: str, name: str
) -> None:
    (data / "toy/responses/caption").mkdir(parents=True)
    folder = data / "toy" / name
    with as_nobody(data):
        folder.chmod(0o300)
        result = invoke(command, data, project, *(["--yes"] if command == "clean" else ["vision", "vision"]))
        folder.chmod(0o700)
    assert result.exit_code == 1
    assert f"{folder} cannot be read (Permission denied)" in " ".join(result.output.split())
