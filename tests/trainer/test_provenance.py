"""A run is scored only if it is what it says, and still fits its data set."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from grace.pipeline.store import Clips, GraceError, Store, UserError, write_clips
from grace.pipeline.store.chain import clips_digest
from grace.pipeline.store.schemas import CAPTIONS, DESCRIPTIONS, FACES, TOKENS
from grace.trainer.compare import compare
from grace.trainer.cross_dataset import evaluate_on
from grace.trainer.evaluate import evaluate
from grace.trainer.provenance import people_of
from grace.trainer.runs import encode_config, read_config
from grace.trainer.settings import TrainSettings
from grace.trainer.train import train
from tests.support.toy_cache import TRAIN, show_labels, toy_cache

SHORT = TrainSettings.model_validate({**TRAIN, "method": "vision", "epochs": 1})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy cache with a short run of both folds."""
    folder = toy_cache(tmp_path_factory.mktemp("whole"))
    for fold in (1, 2):
        train(folder, SHORT, fold, quiet=True)
    return folder


def fold_copied(folder: Path) -> None:
    runs = folder / "runs/vision"
    shutil.rmtree(runs / "fold-2")
    shutil.copytree(runs / "fold-1", runs / "fold-2")


def predictions_swapped(folder: Path) -> None:
    runs = folder / "runs/vision"
    shutil.copy(runs / "fold-2/predictions.parquet", runs / "fold-1/predictions.parquet")


def other_settings(folder: Path) -> None:
    shutil.rmtree(folder / "runs/vision/fold-2")
    train(folder, SHORT.model_copy(update={"dropout": 0.4}), 2, quiet=True)


def method_copied(folder: Path) -> None:
    train(folder, SHORT.model_copy(update={"method": "narrative"}), 1, quiet=True)
    shutil.rmtree(folder / "runs/vision/fold-1")
    shutil.copytree(folder / "runs/narrative/fold-1", folder / "runs/vision/fold-1")


def older_trainer(folder: Path) -> None:
    run = folder / "runs/vision/fold-2"
    (run / "config.yaml").write_bytes(encode_config(read_config(run).model_copy(update={"version": 1})))


def tokens_made_again(folder: Path) -> None:
    show_labels(folder)


def labels_changed(folder: Path) -> None:
    clips = Clips(folder)
    test = next(row for row in clips.rows if row["fold_1"] == "test")
    test["label"] = next(label for label in clips.labels if label != test["label"])
    write_clips(folder, clips.rows, clips.labels)


def clip_moved_to_training(folder: Path) -> None:
    clips = Clips(folder)
    next(row for row in clips.rows if row["fold_1"] == "test")["fold_1"] = "train"
    write_clips(folder, clips.rows, clips.labels)


def bit_flipped_in_predictions(folder: Path) -> None:
    path = folder / "runs/vision/fold-1/predictions.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (fold_copied, "fold-2 holds fold 1"),
        (predictions_swapped, "predictions.parquet is damaged or of another run"),
        (other_settings, r"different settings \(dropout: 0.2 and 0.4\)"),
        (method_copied, "fold-1 holds a run of narrative"),
        (older_trainer, r"different settings \(trainer: "),
        (tokens_made_again, "tokens were made again after"),
        (labels_changed, "other labels than clips.parquet has now"),
        (clip_moved_to_training, "not tested on the test clips of fold 1"),
        (bit_flipped_in_predictions, r"predictions.parquet is (damaged|not a readable)"),
    ],
)
def test_what_cannot_be_proved_is_not_scored(
    whole: Path, tmp_path: Path, change: Callable[[Path], None], sentence: str
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(whole, folder)
    evaluate(folder, "vision", [1, 2], samples=5)
    change(folder)
    with pytest.raises(UserError, match=sentence):
        evaluate(folder, "vision", [1, 2], samples=5)
    with pytest.raises(UserError, match=sentence):
        compare(folder / "runs/vision", folder / "runs/vision", folder, samples=5)


@pytest.mark.parametrize("name", ["metrics.json", "history.csv", "predictions.parquet"])
@pytest.mark.parametrize(
    "damage", [lambda content: content[:50], lambda content: b"1\xff" + content[2:], lambda _: b""]
)
def test_a_damaged_file_of_a_run_is_not_read(
    name: str, damage: Callable[[bytes], bytes], whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(whole, folder)
    path = folder / "runs/vision/fold-2" / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=rf"fold-2/{name} is damaged or of another run .* run `grace train` again"):
        evaluate(folder, "vision", [1, 2], samples=5)
    with pytest.raises(UserError, match=rf"fold-2/{name} is damaged or of another run .* run `grace train` again"):
        compare(folder / "runs/vision", folder / "runs/vision", folder, samples=5)


def test_edited_scores_without_text_are_not_printed(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(whole, folder)
    train(folder, SHORT.model_copy(update={"method": "grace"}), 1, quiet=True)
    before = evaluate(folder, "grace", [1], samples=5)["without_text"]
    path = folder / "runs/grace/fold-1/metrics.json"
    metrics = json.loads(path.read_text())
    assert before == pytest.approx(metrics["without_text"])
    metrics["without_text"]["UAR"] = 0.99
    path.write_text(json.dumps(metrics, indent=2) + "\n")
    with pytest.raises(UserError, match=r"metrics.json is damaged or of another run"):
        evaluate(folder, "grace", [1], samples=5)


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy cache with short runs of both folds, two seeds each."""
    folder = toy_cache(tmp_path_factory.mktemp("seeded"))
    for fold in (1, 2):
        train(folder, SHORT.model_copy(update={"seeds": 2}), fold, quiet=True)
    return folder


def first_seed_trained_otherwise(folder: Path) -> None:
    for fold in (1, 2):
        train(folder, SHORT.model_copy(update={"dropout": 0.4}), fold, quiet=True)


def seed_of_another_fold(folder: Path) -> None:
    runs = folder / "runs/vision"
    shutil.rmtree(runs / "fold-1/seed-1")
    shutil.copytree(runs / "fold-2/seed-1", runs / "fold-1/seed-1")


def seed_copied(folder: Path) -> None:
    for fold in (1, 2):
        shutil.rmtree(folder / f"runs/vision/fold-{fold}/seed-1")
        train(folder, SHORT.model_copy(update={"seed": 2}), fold, folder / "more", quiet=True)
        shutil.copytree(folder / f"more/vision/fold-{fold}", folder / f"runs/vision/fold-{fold}/seed-1")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            first_seed_trained_otherwise,
            r"fold-1 and .*fold-1/seed-1 were trained with different settings \(dropout: 0.4",
        ),
        (seed_of_another_fold, "fold-1/seed-1 holds fold 2"),
        (seed_copied, "fold-1/seed-1 holds seed 2"),
    ],
)
def test_seeds_are_of_one_run(seeded: Path, tmp_path: Path, change: Callable[[Path], None], sentence: str) -> None:
    folder = tmp_path / "data"
    shutil.copytree(seeded, folder)
    assert len(evaluate(folder, "vision", [1, 2], samples=5, seeds=2)["seeds"]["UAR"]["each"]) == 2
    change(folder)
    with pytest.raises(UserError, match=sentence):
        evaluate(folder, "vision", [1, 2], samples=5, seeds=2)


def test_a_clip_without_a_name_is_a_person_of_its_own_in_intervals(whole: Path, tmp_path: Path) -> None:
    clips = Clips(whole)
    ids = [row["clip_id"] for row in clips.rows[:3]]
    clips.rows[1]["subject"] = ""
    write_clips(tmp_path, clips.rows, clips.labels)
    assert people_of(tmp_path, ids) == ["person-0", f"clip {ids[1]}", "person-0"]
    for row in clips.rows:
        row["subject"] = ""
    write_clips(tmp_path, clips.rows, clips.labels)
    assert people_of(tmp_path, ids) is None


def test_tokens_that_change_while_the_test_clips_are_scored_leave_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module("grace.trainer.train")
    folder, predict = toy_cache(tmp_path), module.predict

    def replaced(*arguments: Any) -> Any:
        show_labels(folder)
        return predict(*arguments)

    monkeypatch.setattr(module, "predict", replaced)
    with pytest.raises(GraceError, match=r"changed while they were in use: nothing is kept"):
        train(folder, SHORT, 1, quiet=True)
    assert not (folder / "runs/vision/fold-1/config.yaml").exists()
    assert not (folder / "runs/vision/fold-1/predictions.parquet").exists()


def test_a_run_outlives_the_cache_that_it_was_trained_on(whole: Path, tmp_path: Path) -> None:
    """Tokens take the disk; what they were is in the run."""
    folder = tmp_path / "data"
    shutil.copytree(whole, folder)
    shutil.rmtree(folder / "tokens")
    assert evaluate(folder, "vision", [1, 2], samples=5)["clips"] == 60


def test_one_flipped_bit_in_a_shard_is_named(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(whole, folder)
    path = Store(folder / "tokens", TOKENS).path(0)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"00000.h5 is damaged .* run `grace tokens` again"):
        train(folder, SHORT.model_copy(update={"seed": 5}), 1, quiet=True)


@pytest.mark.parametrize("name", ["metrics.json", "model.safetensors", "history.csv", "predictions.parquet"])
def test_a_finished_run_with_a_damaged_file_is_made_again(name: str, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(whole, folder)
    path = folder / "runs/vision/fold-1" / name
    before, metrics = path.read_bytes(), train(whole, SHORT, 1, quiet=True)
    path.write_bytes(before[:-9] + bytes([before[-9] ^ 1]) + before[-8:])
    assert train(folder, SHORT, 1, quiet=True) == metrics
    assert path.read_bytes() == before


def test_tokens_of_crops_that_were_made_again_are_not_trained_on(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(whole, folder)
    store = Store(folder / "tokens", TOKENS)
    meta = {"cache_key": store.meta(1)["cache_key"], "fingerprint": "f", "inputs": {"descriptions": "before"}}
    store.write(1, store.read(1), meta)
    train(folder, SHORT.model_copy(update={"seed": 5}), 1, quiet=True)  # where the texts are gone, nothing is known
    row = {"clip_id": "clip-016", "status": "ok", "error": ""}
    Store(folder / "descriptions", DESCRIPTIONS).write(1, [row], {"fingerprint": "now"})
    with pytest.raises(UserError, match="made from another descriptions/00001 than there is now: run `grace tokens`"):
        train(folder, SHORT.model_copy(update={"seed": 6}), 1, quiet=True)


def test_tokens_of_texts_by_two_models_are_not_trained_on(whole: Path, tmp_path: Path) -> None:
    """What a run says of its steps holds for all shards: the first shard speaks for its whole store."""
    folder = tmp_path / "data"
    shutil.copytree(whole, folder)
    tokens, texts = Store(folder / "tokens", TOKENS), Store(folder / "descriptions", DESCRIPTIONS)
    for shard in tokens.shards():
        rows = tokens.read(shard)
        of_texts = {"fingerprint": str(shard), "cache_key": {"model": "one" if shard < 2 else "another"}}
        keys = [{name: row[name] for name in ("clip_id", "status", "error")} for row in rows]
        texts.write(shard, keys, of_texts)
        meta = {
            "cache_key": tokens.meta(shard)["cache_key"],
            "fingerprint": "f",
            "inputs": {"descriptions": str(shard)},
        }
        tokens.write(shard, rows, meta)
    sentence = r"descriptions mixes .*\(00002.parquet and 1 more differ from 00000.parquet\): run `grace refine` again"
    with pytest.raises(UserError, match=sentence):
        train(folder, SHORT.model_copy(update={"seed": 5}), 1, quiet=True)


@pytest.fixture
def chained(whole: Path, tmp_path: Path) -> Path:
    """The toy cache and its runs, with the stores that its tokens were made from, each saying what it was made from."""
    folder = tmp_path / "data"
    shutil.copytree(whole, folder)
    clips, columns = Clips(folder), ["path", "content"]
    for name, schema, source in (
        ("faces", FACES, ""),
        ("captions", CAPTIONS, "faces"),
        ("descriptions", DESCRIPTIONS, "captions"),
    ):
        for shard in range(clips.count_shards(16)):
            rows = [{name: row[name] for name in ("clip_id", "status", "error")} for row in clips.shard(shard, 16)]
            seen = {"columns": columns, "size": 16, "digest": clips_digest(Clips(folder, columns).shard(shard, 16))}
            made = {"inputs": {source: f"{source}-{shard}"}} if source else {"clips": seen}
            Store(folder / name, schema).write(shard, rows, {"fingerprint": f"{name}-{shard}", **made})
    tokens = Store(folder / "tokens", TOKENS)
    for shard in tokens.shards():
        made_from = {name: f"{name}-{shard}" for name in ("faces", "descriptions")}
        tokens.write(shard, tokens.read(shard), {**tokens.meta(shard), "inputs": made_from})
    return folder


def clip_replaced(folder: Path) -> None:
    """As `grace index` finds it: another content under the same name."""
    clips = Clips(folder)
    clips.rows[20]["content"] = "another"
    write_clips(folder, clips.rows, clips.labels)


def faces_made_again(folder: Path) -> None:
    store = Store(folder / "faces", FACES)
    store.write(1, store.read(1, ["clip_id", "status", "error"]), {**store.meta(1), "fingerprint": "again"})


def text_corrected(folder: Path) -> None:
    store = Store(folder / "descriptions", DESCRIPTIONS)
    store.write(1, store.read(1), {**store.meta(1), "fingerprint": "again"})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (clip_replaced, "faces/00001.h5 was made from another clips.parquet than there is now: run `grace faces`"),
        (faces_made_again, "captions/00001.parquet was made from another faces/00001 .* run `grace caption`"),
        (text_corrected, "tokens/00001.h5 was made from another descriptions/00001 .* run `grace tokens`"),
    ],
)
def test_a_run_on_outdated_shards_is_not_scored(chained: Path, change: Callable[[Path], None], sentence: str) -> None:
    runs = chained / "runs/vision"
    before = evaluate(chained, "vision", [1, 2], samples=5)
    other = toy_cache(chained.parent / "other", 60, seed=1)
    train(other, SHORT, 1, quiet=True)
    evaluate_on(chained, other, "vision", [1, 2], samples=5)
    compare(runs, runs, chained, samples=5)
    change(chained)
    for score in (
        lambda: evaluate(chained, "vision", [1, 2], samples=5),
        lambda: compare(runs, runs, chained, samples=5),
        lambda: evaluate_on(chained, other, "vision", [1, 2], samples=5),
        lambda: evaluate_on(other, chained, "vision", [1], samples=5),
    ):
        with pytest.raises(UserError, match=sentence):
            score()
    assert json.loads((chained / "scores.json").read_text())["UAR"] == before["UAR"]


def test_removed_tokens_do_not_hide_that_a_clip_was_replaced(chained: Path) -> None:
    for name in ("tokens", "descriptions"):
        shutil.rmtree(chained / name)
    evaluate(chained, "vision", [1, 2], samples=5)
    clip_replaced(chained)
    with pytest.raises(UserError, match=r"faces/00001.h5 was made from another clips.parquet"):
        evaluate(chained, "vision", [1, 2], samples=5)
