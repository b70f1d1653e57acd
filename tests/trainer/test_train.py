from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from grace.pipeline.store import Clips, GraceError, Store, UserError, read_table, write_clips
from grace.pipeline.store.schemas import MOTION, PREDICTIONS, TOKENS
from grace.trainer.classifier import TokenClassifier
from grace.trainer.data import Cache, Subset, collate
from grace.trainer.evaluate import evaluate
from grace.trainer.live_logging import FOLDER as LIVE_FOLDER
from grace.trainer.protocol import split
from grace.trainer.runs import FILES, read_config
from grace.trainer.settings import METHODS, TrainSettings
from grace.trainer.train import train
from stages.tables.scores import paper_table
from tests.support.toy_cache import LABELS, SHARD, TRAIN, show_labels, toy_cache

SETTINGS = TrainSettings.model_validate(TRAIN)
SHORT = SETTINGS.model_copy(update={"epochs": 3})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy cache with two failed clips, one of them a test clip, and ``grace`` trained on both folds."""
    folder = toy_cache(tmp_path_factory.mktemp("toy"), failed=(1, 5))
    for fold in (1, 2):
        train(folder, SETTINGS, fold, quiet=True)
    return folder


def rewrite(folder: Path, schema: Any, shard: int, change: Any, cache_key: dict[str, Any] | None = None) -> None:
    """Replace a shard's rows by ``change(rows)``."""
    store = Store(folder, schema)
    rows = change(store.read(shard))
    store.write(shard, rows, {"cache_key": cache_key or {"model": "toy"}, "fingerprint": "changed"})


def widen(rows: list[Any]) -> list[Any]:
    """Twice the width D."""
    return [{**row, "visual": np.tile(row["visual"], 2), "frame": np.tile(row["frame"], 2)} for row in rows]


@pytest.mark.parametrize("method", METHODS)
def test_a_learnable_set_is_learned(tmp_path: Path, method: str) -> None:
    metrics = train(toy_cache(tmp_path), SETTINGS.model_copy(update={"method": method}), 1, quiet=True)
    assert metrics["UAR"] > (0.55 if method == "text" else 0.75)  # chance is 0.33; words are the weaker side


def test_a_run_folder_is_whole_and_a_second_run_is_instant(trained: Path) -> None:
    run = trained / "runs" / "grace" / "fold-1"
    assert sorted(path.name for path in run.iterdir()) == sorted([*FILES, LIVE_FOLDER])
    before = {name: (run / name).stat().st_mtime_ns for name in FILES}
    again = train(trained, SETTINGS, 1, quiet=True)
    assert before == {name: (run / name).stat().st_mtime_ns for name in FILES}
    assert again == json.loads((run / "metrics.json").read_text())
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["labels"] == LABELS
    assert config["cache"]["tokens"] == {"model": "toy"}
    assert config["settings"] == SETTINGS.model_dump()
    assert read_config(run).settings == SETTINGS


@pytest.mark.parametrize(
    ("changed", "window"),
    [
        ({"selection_window": 3}, 3),
        ({"selection_window": 2}, 2),
        ({"selection_window": 3, "patience": 1}, 1),
        ({"protocol": "best-test"}, 1),
    ],
)
def test_the_epoch_chosen_has_the_best_mean_score_of_its_window(
    tmp_path: Path, changed: dict[str, Any], window: int
) -> None:
    settings = TrainSettings.model_validate(SETTINGS.model_dump() | {"epochs": 6, "patience": 6, **changed})
    chosen = train(toy_cache(tmp_path), settings, 1, quiet=True)["epoch"]
    history = pd.read_csv(tmp_path / "runs" / "grace" / "fold-1" / "history.csv")
    scores = history.filter(regex="^(validation|best_test)_uar$").squeeze("columns").rolling(window).mean()
    assert chosen == history["epoch"][scores.idxmax()]


def test_failed_clips_are_predicted_as_missing_and_count_as_wrong(trained: Path) -> None:
    run = trained / "runs" / "grace" / "fold-1"
    rows = read_table(run / "predictions.parquet", PREDICTIONS)
    missing = [row for row in rows if row["status"] == "failed"]
    assert [row["clip_id"] for row in missing] == ["clip-001"]
    assert missing[0]["error"].startswith("faces:")
    assert missing[0]["probabilities"] == []
    metrics = json.loads((run / "metrics.json").read_text())
    right = sum(row["label"] == row["predicted"] for row in rows)
    assert metrics["missing"] == 1
    assert metrics["WAR"] == pytest.approx(right / len(rows), abs=1e-6)


def test_killed_run_resumes_to_the_same_bytes_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="grace.trainer.training_loop")
    settings = {**TRAIN, "epochs": 15, "patience": 15}
    calm, killed = toy_cache(tmp_path / "calm"), toy_cache(tmp_path / "killed")
    train(calm, TrainSettings.model_validate(settings), 1, quiet=True)
    code = (
        "import sys, json; from pathlib import Path; from grace.trainer.train import train;"
        "from grace.trainer.settings import TrainSettings;"
        "train(Path(sys.argv[1]), TrainSettings.model_validate(json.loads(sys.argv[2])), 1, quiet=True)"
    )
    checkpoint = killed / "runs" / "grace" / "fold-1" / "checkpoint.pt"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([sys.executable, "-c", code, str(killed), json.dumps(settings)], env=environment)
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    epochs = torch.load(checkpoint, weights_only=True)["progress"]["epoch"]
    assert 0 < epochs < 15
    assert not caplog.text
    train(killed, TrainSettings.model_validate(settings), 1)
    assert f"done, resumed with {epochs + 1} of 15 at most" in caplog.text
    for name in FILES:
        same = (folder / "runs" / "grace" / "fold-1" / name for folder in (calm, killed))
        assert next(same).read_bytes() == next(same).read_bytes(), name


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    checkpoint = toy_cache(tmp_path) / "runs" / "grace" / "fold-1" / "checkpoint.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match=r"checkpoint\.pt is damaged"):
        train(tmp_path, SHORT, 1, quiet=True)


def test_held_out_never_looks_at_test_clips_before_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trap: test clips have other labels in one set, and any reading of them is noted."""
    honest, trap = toy_cache(tmp_path / "honest"), toy_cache(tmp_path / "trap", test_labels="neutral")
    reads: list[tuple[str, bool]] = []
    read = Cache.read

    def watched(cache: Cache, clip_ids: Sequence[str]) -> Any:
        checkpoint = cache.folder / "runs" / "grace" / "fold-1" / "checkpoint.pt"
        done = checkpoint.exists() and torch.load(checkpoint, weights_only=True)["progress"]["epoch"] == SHORT.epochs
        reads.extend((cache.rows[clip_id]["fold_1"], done) for clip_id in clip_ids)
        return read(cache, clip_ids)

    first = train(honest, SHORT, 1, quiet=True)
    monkeypatch.setattr(Subset, "check_finite", lambda subset: None)  # reads for NaN alone, before the first epoch
    monkeypatch.setattr(Cache, "read", watched)
    second = train(trap, SHORT, 1, quiet=True)
    assert ("train", False) in reads
    assert ("test", False) not in reads
    assert ("test", True) in reads
    assert first["epoch"] == second["epoch"]
    assert first["recall"] != second["recall"]
    runs = [folder / "runs" / "grace" / "fold-1" for folder in (honest, trap)]
    for name in ("model.safetensors", "history.csv"):
        assert (runs[0] / name).read_bytes() == (runs[1] / name).read_bytes()


def test_validation_shares_no_subject_with_training_and_holds_every_class(tmp_path: Path) -> None:
    cache = Cache(toy_cache(tmp_path))
    selection = split(cache, 1, SETTINGS).selection
    subsets = (selection.train, selection.validation)
    people = [{cache.rows[clip_id]["subject"] for clip_id in subset.clip_ids} for subset in subsets]
    assert not people[0] & people[1]
    assert set(selection.train.labels) == set(selection.validation.labels) == {0, 1, 2}
    assert 0.05 < len(selection.validation) / sum(map(len, subsets)) < 0.35
    assert split(cache, 1, SETTINGS).selection == selection


def test_validation_clips_of_the_person_who_is_trained_on_are_warned_of(tmp_path: Path) -> None:
    clips = Clips(toy_cache(tmp_path))
    for row in clips.rows:
        row["subject"] = "anna"
    write_clips(tmp_path, clips.rows, clips.labels)
    cache = Cache(tmp_path)
    with pytest.warns(UserWarning, match=r"All clips of .* to train on show one person \(anna\)"):
        assert split(cache, 1, SETTINGS).selection.validation
    for row in clips.rows:
        row["subject"] = ""
    write_clips(tmp_path, clips.rows, clips.labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert split(Cache(tmp_path), 1, SETTINGS).selection.validation


def test_a_share_of_the_training_clips_is_of_every_class_and_part_of_a_larger_share(tmp_path: Path) -> None:
    cache = Cache(toy_cache(tmp_path / "data", clips=90))
    whole, half, tenth = (split(cache, 1, TrainSettings(train_size=share)) for share in (1.0, 0.5, 0.1))
    ids = [set(fold.selection.train.clip_ids) for fold in (whole, half, tenth)]
    assert ids[2] < ids[1] < ids[0]
    assert {cache.rows[clip_id]["label"] for clip_id in ids[2]} == set(LABELS)
    assert len(ids[1]) == pytest.approx(len(ids[0]) / 2, abs=len(LABELS))
    assert half.selection.validation.clip_ids == tenth.selection.validation.clip_ids
    assert half.test.clip_ids == whole.test.clip_ids


def test_best_test_is_labelled_wherever_its_numbers_appear(tmp_path: Path) -> None:
    folder = toy_cache(tmp_path)
    metrics = train(folder, SHORT.model_copy(update={"protocol": "best-test"}), 1, quiet=True)
    assert metrics["protocol"] == "best-test"
    assert "best_test_UAR" in metrics
    assert "UAR" not in metrics
    assert "best_test_uar" in (folder / "runs" / "grace" / "fold-1" / "history.csv").read_text().splitlines()[0]
    result = evaluate(folder, "grace", [1], samples=20)
    assert "best_test_UAR" in result
    assert "UAR" not in result
    assert "best-test" in str(paper_table(result).title)


@pytest.mark.parametrize(("fold", "device"), [(9, "cpu"), (0, "cpu"), (-1, "cpu"), (5, "cpu"), (1, "tpu9")])
def test_what_cannot_be_trained_leaves_no_folder_behind(tmp_path: Path, fold: int, device: str) -> None:
    folder = toy_cache(tmp_path)
    with pytest.raises(UserError, match=r"[Ff]old|device"):
        train(folder, SHORT.model_copy(update={"device": device}), fold, quiet=True)
    assert not (folder / "runs").exists()


def test_evaluate_joins_folds(trained: Path) -> None:
    result = evaluate(trained, "grace", [1, 2], samples=50)
    folds = result["folds"]
    assert result["UAR"] == pytest.approx(np.mean([folds[k]["UAR"] for k in ("1", "2")]), abs=1e-6)
    assert result["clips"] == 60
    assert result["missing"] == 2
    assert result["interval"]["WAR"][0] < result["WAR"] < result["interval"]["WAR"][1]
    written = json.loads((trained / "scores.json").read_text())
    assert written == {**result, "checksum": written["checksum"]}
    shown = json.loads((trained / "metrics.json").read_text())
    assert shown == {name: round(value, 4) for name, value in shown.items()}
    assert list(shown) == ["UAR", "WAR", "ECE", *result["recall"]]
    pictures = {path.name: path.read_bytes() for path in (trained / "plots").iterdir()}
    assert set(pictures) == {f"{kind}.png" for kind in ("calibration", "confusion", "recall", "training")}
    evaluate(trained, "grace", [1, 2], samples=50)
    assert pictures == {path.name: path.read_bytes() for path in (trained / "plots").iterdir()}
    table = paper_table(result)
    assert "held-out" in str(table.title)
    assert "2 of 60" in str(table.caption)


def test_evaluate_refuses_text_that_saw_the_label(tmp_path: Path) -> None:
    folder = toy_cache(tmp_path)
    show_labels(folder)
    train(folder, SHORT.model_copy(update={"method": "vision", "epochs": 1}), 1, quiet=True)
    with pytest.raises(GraceError, match="label in the prompt"):
        evaluate(folder, "vision", [1], samples=5)


def test_evaluate_names_a_fold_that_is_not_trained(trained: Path) -> None:
    with pytest.raises(UserError, match="fold-3 lacks"):
        evaluate(trained, "grace", [1, 3])


def test_classifier_gives_back_what_the_run_predicted(trained: Path) -> None:
    run = trained / "runs" / "grace" / "fold-1"
    classifier = TokenClassifier.from_pretrained(run)
    stored = next(row for row in read_table(run / "predictions.parquet", PREDICTIONS) if row["status"] == "ok")
    row = Cache(trained).row(stored["clip_id"])
    probabilities, plan = classifier.predict(row)
    assert np.allclose(
        probabilities, stored["probabilities"], atol=1e-3
    )  # a batch iterates until its last plan is done
    assert plan is not None
    assert plan.shape == (len(row["text_mask"]), *row["visual"].shape[:2])
    assert (plan[~row["text_mask"]] == 0).all()
    assert plan.sum() == pytest.approx(1, abs=2e-3)  # within the tolerance of the solver
    with pytest.raises(UserError, match="instants, patches, widths of video and text"):
        classifier.predict({**row, "visual": row["visual"][:2]})


def test_a_clip_without_text_still_has_a_plan(trained: Path) -> None:
    row = Cache(trained).row("clip-000")
    batch = collate([{**row, "text_mask": np.zeros_like(row["text_mask"])}])
    assert batch.text_mask.tolist() == [[True]]
    assert not batch.text.any()


def test_nan_in_a_clip_is_named_before_the_first_epoch(tmp_path: Path) -> None:
    def poison(rows: list[Any]) -> list[Any]:
        rows[3]["visual"][0, 0, 0] = np.nan
        return rows

    rewrite(toy_cache(tmp_path) / "tokens", TOKENS, 1, poison)
    with pytest.raises(UserError, match=f"clip-{SHARD + 3:03d} has NaN or infinite values in 'visual'"):
        train(tmp_path, SHORT, 1, quiet=True)


def test_nan_loss_stops_with_a_clear_word(tmp_path: Path) -> None:
    with pytest.raises(GraceError, match="The loss is nan in epoch"):
        train(toy_cache(tmp_path), SHORT.model_copy(update={"learning_rate": 1e30, "clip_norm": 1e30}), 1, quiet=True)


def test_mixed_missing_and_misshapen_shards_are_named(tmp_path: Path) -> None:
    mixed = toy_cache(tmp_path / "mixed")
    rewrite(mixed / "motion", MOTION, 1, lambda rows: rows, {"model": "another"})
    with pytest.raises(UserError, match=r"mixes shards .*00001\.h5"):
        Cache(mixed)
    missing = toy_cache(tmp_path / "missing")
    Store(missing / "tokens", TOKENS).path(2).unlink()
    with pytest.raises(UserError, match="lacks 16 of 60 clips"):
        Cache(missing)
    wide = toy_cache(tmp_path / "wide")
    rewrite(wide / "tokens", TOKENS, 1, widen)
    with pytest.raises(UserError, match="'visual' of shape"):
        Cache(wide)


def test_a_cache_without_any_tokens_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No clip of .* has tokens"):
        Cache(toy_cache(tmp_path, failed=tuple(range(60))))


def test_folds_classes_and_labels_are_checked(tmp_path: Path) -> None:
    cache = Cache(toy_cache(tmp_path))
    with pytest.raises(UserError, match=r"There is no fold 3 in .*: it has 1, 2"):
        split(cache, 3, SETTINGS)
    with pytest.raises(UserError, match="There is no fold 9"):
        split(cache, 9, SETTINGS)
    cache.rows["clip-003"]["label"] = "boredom"
    with pytest.raises(UserError, match="clip-003 has the label 'boredom'"):
        split(cache, 1, SETTINGS)
    for row in Clips(tmp_path).rows:
        cache.rows[row["clip_id"]]["label"] = "happiness"
    with pytest.raises(UserError, match="No clip of sadness, neutral"):
        split(cache, 1, SETTINGS)
