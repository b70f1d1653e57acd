"""Sets with classes and scenes of their own are scored as others are."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from grace.pipeline.store import Clips, UserError, write_clips
from grace.trainer.evaluate import evaluate
from grace.trainer.settings import TrainSettings
from grace.trainer.train import train
from stages import app
from stages._options import chosen_folds
from stages.tables.scores import detail_table, scenes_table
from tests.support.toy_cache import TRAIN, toy_cache

SETTINGS = TrainSettings.model_validate({**TRAIN, "epochs": 1})  # confuses classes
OWN = ["calm", "boredom", "joy"]


def own_classes(folder: Path) -> Path:
    """A toy cache whose classes are none of the canonical ones, and whose clips play in two scenes."""
    toy_cache(folder)
    rows = Clips(folder).rows
    for index, row in enumerate(rows):
        row |= {"label": OWN[row["label_id"]], "scene": ("Action", "School", "")[index % 3]}
    write_clips(folder, rows, OWN)
    return folder


def test_pairs_of_own_classes_are_those_that_all_folds_confuse(tmp_path: Path) -> None:
    folder = own_classes(tmp_path)
    for fold in (1, 2):
        train(folder, SETTINGS, fold, quiet=True)
    result = evaluate(folder, "grace", [1, 2], samples=50)
    assert result["pairs"]
    for pair in result["pairs"]:
        assert set(pair.split("/")) <= set(OWN)
    assert result["interval"]["pairs"].keys() == result["pairs"].keys()
    assert all(of_fold["pairs"].keys() == result["pairs"].keys() for of_fold in result["folds"].values())
    assert set(result["tail"]["classes"]) <= set(OWN)
    assert detail_table(result).row_count == len(result["pairs"]) + 1


def test_scores_by_scene(tmp_path: Path) -> None:
    folder = own_classes(tmp_path)
    train(folder, SETTINGS, 1, quiet=True)
    scenes = evaluate(folder, "grace", [1], samples=20)["scenes"]
    tested = [row["scene"] for row in Clips(folder, ["scene"], folds=True).rows if row["fold_1"] == "test"]
    assert {scene: scored["clips"] for scene, scored in scenes.items()} == {
        scene: tested.count(scene) for scene in ("Action", "School")
    }
    toy_cache(tmp_path / "plain")
    train(tmp_path / "plain", SETTINGS, 1, quiet=True)
    plain = evaluate(tmp_path / "plain", "grace", [1], samples=20)
    assert "scenes" not in plain
    assert scenes_table(plain) is None


def test_all_folds_in_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own_classes(tmp_path / "data/mine")
    Path("params.yaml").write_text(
        "datasets: [mine]\nfolds: [1]\ntrain: {epochs: 1, hidden: 16, layers: 1, heads: 2}\n"
    )
    said = CliRunner().invoke(app, ["train", "--dataset", "mine", "--fold", "all"])
    assert said.exit_code == 0, said.output
    assert "train grace, 2 folds" in said.output
    assert {path.name for path in Path("data/mine/runs/grace").iterdir()} == {"fold-1", "fold-2"}
    said = CliRunner().invoke(app, ["evaluate", "--dataset", "mine", "--fold", "all"])
    assert said.exit_code == 0, said.output
    assert "by scene" in said.output
    assert [line.split()[0] for line in said.output.splitlines() if line.strip()[:2] in ("1 ", "2 ")] == ["1", "2"]


@pytest.mark.parametrize("written", ["", "0", "one", "1,", "-1", "1.5", "99999"])
def test_a_fold_that_is_none_is_said(tmp_path: Path, written: str) -> None:
    with pytest.raises(UserError, match="a fold's number, several as 1,2,3, or all"):
        chosen_folds(written, tmp_path)
    assert chosen_folds("3, 1,3", tmp_path) == [3, 1]


def test_all_of_no_folds_is_said(tmp_path: Path) -> None:
    write_clips(tmp_path, [{"clip_id": "a", "status": "ok", "error": "", "label": "calm"}], ["calm"])
    with pytest.raises(UserError, match=r"has no folds: index\.split"):
        chosen_folds("all", tmp_path)
