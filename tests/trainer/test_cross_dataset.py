"""Runs of one data set on another one's clips: only what is shared is scored, and only what can be proved."""

from __future__ import annotations

import json
import shutil
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from grace.pipeline.store import Clips, GraceError, Store, UserError, read_table, write_clips
from grace.pipeline.store.schemas import CROSS_DATASET, FACES, MOTION, TOKENS
from grace.trainer.cross_dataset import both_directions, evaluate_on, renormalised
from grace.trainer.settings import TrainSettings
from grace.trainer.train import train
from stages import app
from stages.tables.cross_dataset import cross_dataset_table, sentences
from tests.support.toy_cache import TRAIN, show_labels, toy_cache

SETTINGS = TrainSettings.model_validate({**TRAIN, "method": "vision", "epochs": 8})


def relabel(folder: Path, names: dict[str, str], labels: list[str]) -> None:
    """Rename classes in a toy set's table; a clip whose class gets the name '' has none."""
    rows = [{**row, "label": names.get(row["label"], row["label"])} for row in Clips(folder).rows]
    for row in rows:
        row["label_id"] = labels.index(row["label"]) if row["label"] else -1
    write_clips(folder, rows, labels)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`first` with runs of two folds, and `second`, of the same world, with contempt in the place of neutral."""
    folder = tmp_path_factory.mktemp("sets")
    toy_cache(folder / "first")
    for fold in (1, 2):
        train(folder / "first", SETTINGS, fold, quiet=True)
    toy_cache(folder / "second", clips=48, failed=(3,))
    relabel(folder / "second", {"neutral": "contempt"}, ["happiness", "sadness", "contempt"])
    return folder


@pytest.fixture
def copied(sets: Path, tmp_path: Path) -> Path:
    for name in ("first", "second"):
        shutil.copytree(sets / name, tmp_path / name)
    return tmp_path


def test_clips_of_shared_classes_are_scored_and_all_others_counted(copied: Path) -> None:
    before = (copied / "first/runs/vision/fold-1/predictions.parquet").read_bytes()
    found = evaluate_on(copied / "first", copied / "second", "vision", [1, 2], samples=20)
    assert found.labels == ["happiness", "sadness"]
    assert found.unused == ["neutral"]
    assert found.left_out == {"contempt, unknown to the runs": 16}
    assert (found.scores["clips"], found.scores["missing"]) == (32, 1)
    assert found.scores["UAR"] > 0.8, "the second set is of the same world"
    assert found.scores["interval"]["over"] == "people"
    folder = copied / "first/cross-dataset/second/vision"
    rows = read_table(folder / "predictions.parquet", CROSS_DATASET)
    assert len(rows) == 2 * 32
    assert {row["fold"] for row in rows} == {1, 2}
    assert {row["label"] for row in rows} == {"happiness", "sadness"}
    scored = [row for row in rows if row["predicted"]]
    assert np.allclose([sum(row["probabilities"]) for row in scored], 1, atol=1e-5)
    (lost,) = {row["error"] for row in rows if not row["predicted"]}
    assert "faces: the video has no frames" in lost
    written = json.loads((folder / "metrics.json").read_text())
    assert written["UAR"] == found.scores["UAR"]
    assert written["left_out"] == found.left_out
    assert (copied / "first/runs/vision/fold-1/predictions.parquet").read_bytes() == before
    assert not (copied / "first/metrics.json").exists()


def test_probabilities_over_shared_classes_sum_to_one() -> None:
    shared = renormalised(np.array([[0.2, 0.6, 0.2], [0.0, 1.0, 0.0]]), ["a", "b", "c"], ["c", "a"])
    assert shared.tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_both_directions_stand_in_one_table(copied: Path) -> None:
    forward = evaluate_on(copied / "first", copied / "second", "vision", [1, 2], samples=20)
    missing = both_directions(forward, copied / "first", copied / "second", samples=20)
    assert isinstance(missing, str)
    assert "has no finished run of vision" in missing
    train(copied / "second", SETTINGS, 1, quiet=True)
    backward = both_directions(forward, copied / "first", copied / "second", samples=20)
    assert not isinstance(backward, str)
    assert backward.left_out == {"neutral, unknown to the runs": 20}
    screen = Console(file=StringIO(), width=80)
    screen.print(cross_dataset_table([forward, backward]))
    text = screen.file.getvalue()
    assert text.count("second") == 4, "each set is tested twice: by its own runs and by the other's"
    assert "renormalised" in " ".join(sentences(forward))
    assert "16 contempt, unknown to the runs" in " ".join(sentences(forward))


def test_a_clip_that_the_runs_may_know_is_left_out(copied: Path) -> None:
    for name in ("first", "second"):
        rows = Clips(copied / name).rows
        for row in rows:
            row["content"] = f"{'' if row['clip_id'] == 'clip-001' else name}{row['clip_id']}"
        write_clips(copied / name, rows, Clips(copied / name).labels)
    shutil.rmtree(copied / "first/runs")
    train(copied / "first", SETTINGS.model_copy(update={"epochs": 1}), 1, quiet=True)
    found = evaluate_on(copied / "first", copied / "second", "vision", [1], samples=5)
    assert found.left_out["the same file as a clip of first"] == 1
    assert found.scores["clips"] == 31


def motion_made_otherwise(folder: Path) -> None:
    store = Store(folder / "second/motion", MOTION)
    for shard in store.shards():
        store.write(shard, store.read(shard), {"cache_key": {"model": "another"}, "fingerprint": "x"})


def tokens_of_another_model(folder: Path) -> None:
    store = Store(folder / "second/tokens", TOKENS)
    for shard in store.shards():
        store.write(shard, store.read(shard), {"cache_key": {"model": "another"}, "fingerprint": "x"})


def nothing_shared(folder: Path) -> None:
    relabel(folder / "second", {"happiness": "calm", "sadness": "boredom"}, ["calm", "boredom", "contempt"])


def nothing_labelled(folder: Path) -> None:
    names = {"happiness": "", "sadness": "", "contempt": ""}
    relabel(folder / "second", names, ["happiness", "sadness", "contempt"])


def labels_in_prompts(folder: Path) -> None:
    show_labels(folder / "second")


def stale_run(folder: Path) -> None:
    relabel(folder / "first", {"happiness": "sadness", "sadness": "happiness"}, ["happiness", "sadness", "neutral"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (motion_made_otherwise, r"motion.model: 'another' and 'toy'\): run `grace motion --dataset second`"),
        (tokens_of_another_model, r"tokens.model: 'another' and 'toy'\): run `grace tokens --dataset second`"),
        (nothing_shared, "share fewer than two classes"),
        (nothing_labelled, "can be scored"),
        (labels_in_prompts, "written with the label in the prompt"),
        (stale_run, "changed after|other labels"),
    ],
)
def test_what_cannot_be_proved_is_not_scored(copied: Path, change: object, sentence: str) -> None:
    change(copied)  # type: ignore[operator]
    with pytest.raises(GraceError, match=sentence):
        evaluate_on(copied / "first", copied / "second", "vision", [1, 2], samples=5)
    assert not (copied / "first/cross-dataset").exists()


def test_faces_that_were_made_otherwise_are_said(copied: Path) -> None:
    row = {"clip_id": "clip-000", "status": "failed", "error": "x"}
    for name, detector in (("first", "none"), ("second", "yunet")):
        made = {"fingerprint": "f", "cache_key": {"detector": detector, "size": 224}}
        Store(copied / name / "faces", FACES).write(0, [row], made)
    found = evaluate_on(copied / "first", copied / "second", "vision", [1], samples=5)
    assert "faces of second were made with other settings than those of first (detector)" in found.remarks[0]


def test_the_set_itself_is_no_other_set(sets: Path) -> None:
    with pytest.raises(UserError, match="without --on"):
        evaluate_on(sets / "first", sets / "first", "vision", [1])


def test_the_command_prints_the_table_and_where_predictions_are(copied: Path) -> None:
    settings = [f"data={copied}", "train.method=vision", "evaluate.bootstrap=20"]
    options = [part for each in settings for part in ("-S", each)]
    result = CliRunner().invoke(app, ["evaluate", "-d", "first", "--on", "second", *options])
    assert result.exit_code == 0, result.output
    assert "first → second: 32 clips, each scored by 2 runs" in " ".join(result.stdout.split())
    assert "the other direction is not shown" in " ".join(result.stderr.split())
    gone = CliRunner().invoke(app, ["evaluate", "-d", "first", "--on", "nowhere", *options])
    assert gone.exit_code == 2
    assert "clips.parquet is missing" in gone.stderr
