"""Whoever opens what a model made of footage that it does not know reads so, in every row and under every score."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from grace.pipeline.store import Store, open_store, read_table
from grace.pipeline.store.schemas import CAPTIONS, CROSS_DATASET, PREDICTIONS
from grace.trainer.cross_dataset import evaluate_on
from grace.trainer.settings import TrainSettings
from grace.trainer.train import train
from stages import app
from tests.support.toy_cache import TRAIN, limit_footage, toy_cache

LIMIT = "pocket/clip knows only the rendered world: of this footage its words and tokens mean nothing"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`data/toy`, whose tokens are of a pocket model, with a run; and `data/other`, whose tokens are not."""
    folder = tmp_path_factory.mktemp("data")
    limit_footage(toy_cache(folder / "toy"), LIMIT)
    toy_cache(folder / "other", clips=30)
    train(folder / "toy", TrainSettings.model_validate({**TRAIN, "method": "vision", "epochs": 1}), 1, quiet=True)
    return folder


def invoke(data: Path, project: Path, *words: str) -> Result:
    settings = (f"data={data}", "train.method=vision", "evaluate.bootstrap=5", "folds=[1]")
    options = [part for each in settings for part in ("-S", each)]
    return CliRunner().invoke(app, [*words, "-d", "toy", "--params", str(project / "params.yaml"), *options])


def test_rows_of_predictions_say_so(data: Path, tmp_path: Path) -> None:
    rows = read_table(data / "toy/runs/vision/fold-1/predictions.parquet", PREDICTIONS)
    assert {row["limits"] for row in rows} == {f"{LIMIT}."}
    for name in ("toy", "other"):
        shutil.copytree(data / name, tmp_path / name)
    found = evaluate_on(tmp_path / "toy", tmp_path / "other", "vision", [1], samples=5)
    assert LIMIT in found.remarks, "a limit of the runs themselves, not of the other set's tokens"
    made = read_table(tmp_path / "toy/cross-dataset/other/vision/predictions.parquet", CROSS_DATASET)
    assert {row["limits"] for row in made} == {f"{LIMIT}."}


def test_pandas_shows_them_by_shard(data: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "captions", CAPTIONS)
    for shard, meta in enumerate(({"limits": [LIMIT]}, {})):
        row = {"clip_id": str(shard), "status": "ok", "error": "", "caption": "The brows rise."}
        store.write(shard, [row], {"fingerprint": "f", **meta})
    table = open_store(tmp_path, "captions").to_pandas()
    assert table["limits"].tolist() == [f"{LIMIT}.", ""]
    assert list(store.to_pandas(["clip_id", "caption"])) == ["clip_id", "caption"]
    assert store.to_pandas(["limits", "clip_id"]).to_dict("records")[1] == {"limits": "", "clip_id": "1"}


@pytest.mark.parametrize("words", [("evaluate",), ("compare", "vision", "vision")])
def test_scores_are_printed_with_a_note(data: Path, project: Path, words: tuple[str, ...]) -> None:
    result = invoke(data, project, *words)
    assert result.exit_code == 0, result.output
    assert f"note: {LIMIT}." in " ".join(result.stderr.split())
