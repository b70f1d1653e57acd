"""What a run's folder holds, how it is opened, and the sentences for a data set or a run that is not sound."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from grace.pipeline.store import Clips, UserError, read_table, write_clips, write_table
from grace.pipeline.store.checksum import PLACEHOLDER, seal
from grace.pipeline.store.schemas import TEMPLATES, TEMPLATES_FILE
from grace.trainer.alignment import NotConvergedWarning
from grace.trainer.class_prompts import load_class_prompts
from grace.trainer.classifier import TokenClassifier
from grace.trainer.data import Cache
from grace.trainer.live_logging import LiveLogger
from grace.trainer.protocol import split
from grace.trainer.runs import read_config
from grace.trainer.settings import TrainSettings
from grace.trainer.train import train
from tests.support.toy_cache import LABELS, TRAIN, WIDTH, toy_cache

SHORT = TrainSettings.model_validate(TRAIN).model_copy(update={"epochs": 2})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy cache with a short run of ``grace``, of ``template`` and of ``narrative``."""
    made = toy_cache(tmp_path_factory.mktemp("toy"))
    for method in ("grace", "template", "narrative"):
        train(made, SHORT.model_copy(update={"method": method}), 1, quiet=True)
    return made


def curve(run: Path, metric: str) -> list[float]:
    with (run / f"dvclive/plots/metrics/{metric}.tsv").open() as file:
        return [float(row[metric]) for row in csv.DictReader(file, delimiter="\t")]


def test_curves_hold_every_epoch_of_the_history(folder: Path) -> None:
    run = folder / "runs" / "grace" / "fold-1"
    with (run / "history.csv").open() as file:
        history = list(csv.DictReader(file))
    assert len(history) == SHORT.epochs
    for metric in ("loss", "validation_uar", "marginal_error"):
        assert curve(run, metric) == pytest.approx([float(row[metric]) for row in history], rel=1e-6)
    assert json.loads((run / "dvclive/metrics.json").read_text())["step"] == SHORT.epochs


def test_curves_of_a_resumed_run_are_those_of_an_undisturbed_one(tmp_path: Path) -> None:
    rows = [{"epoch": float(number), "loss": 1 / number} for number in (1, 2, 3)]
    with LiveLogger(tmp_path / "calm", rows[:1]) as logger:
        for row in rows[1:]:
            logger.add(row)
    LiveLogger(tmp_path / "killed", []).add({"epoch": 1.0, "loss": 9.0})  # killed before its checkpoint was written
    with LiveLogger(tmp_path / "killed", rows[:2]) as logger:
        logger.add(rows[2])
    assert curve(tmp_path / "killed", "loss") == curve(tmp_path / "calm", "loss") == [1, 1 / 2, 1 / 3]


def test_a_run_opens_in_three_lines_whatever_its_method(folder: Path) -> None:
    row = Cache(folder).row("clip-000")
    for method in ("grace", "template", "narrative"):
        classifier = TokenClassifier.from_pretrained(folder / "runs" / method / "fold-1")
        probabilities, plan = classifier.predict(row)
        assert probabilities.sum() == pytest.approx(1, abs=1e-5)
        assert (plan is not None) == (method == "grace")


def test_the_card_says_what_the_run_is_and_how_it_was_judged(folder: Path) -> None:
    run = folder / "runs" / "template" / "fold-1"
    text = (run / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["tags"] == ["dynamic-facial-expression-recognition", "template"]
    metrics = json.loads((run / "metrics.json").read_text())
    assert f"| UAR | {100 * metrics['UAR']:.1f} |" in text
    assert "Protocol held-out" in text
    assert all(label in text for label in LABELS)
    assert str(folder) not in text


@pytest.mark.parametrize(
    ("method", "section", "says"),
    [
        ("template", {"caption": {"engine": "transformers"}}, 'predict("clip.mp4")\n'),
        ("template", {"caption": {"engine": "annotation"}}, 'predict("clip.mp4", text=False)\n'),
        ("template", {"refine": {"use_label": True}}, 'predict("clip.mp4", text=False)\n'),
        ("text", {"caption": {"engine": "annotation"}}, "It cannot predict new clips"),
    ],
)
def test_the_card_says_how_new_clips_are_predicted(
    tmp_path: Path, method: str, section: dict[str, Any], says: str
) -> None:
    folder = toy_cache(tmp_path)
    train(folder, SHORT.model_copy(update={"method": method, "epochs": 1}), 1, quiet=True, pipeline=section)
    assert says in (folder / "runs" / method / "fold-1/README.md").read_text()


@pytest.mark.parametrize("name", ["model.safetensors", "config.yaml"])
def test_damaged_weights_or_config_are_named(tmp_path: Path, name: str) -> None:
    train(toy_cache(tmp_path), SHORT.model_copy(update={"method": "vision", "epochs": 1}), 1, quiet=True)
    run = tmp_path / "runs" / "vision" / "fold-1"
    (run / name).write_bytes((run / name).read_bytes()[:40])
    with pytest.raises(UserError, match=name):
        TokenClassifier.from_pretrained(run)


def test_weights_of_another_method_do_not_open(tmp_path: Path, folder: Path) -> None:
    for name in ("config.yaml", "model.safetensors"):
        method = "grace" if name == "config.yaml" else "narrative"
        (tmp_path / name).write_bytes((folder / "runs" / method / "fold-1" / name).read_bytes())
    with pytest.raises(UserError, match=r"does not fit config\.yaml"):
        TokenClassifier.from_pretrained(tmp_path)


def test_class_prompts_are_checked_against_the_tokens(tmp_path: Path) -> None:
    cache = Cache(toy_cache(tmp_path))
    assert load_class_prompts(cache).shape == (len(LABELS), WIDTH)
    path = tmp_path / "tokens" / TEMPLATES_FILE
    rows = read_table(path, TEMPLATES)
    write_table(path, TEMPLATES, rows, {"cache_key": {"model": "another"}})
    with pytest.raises(UserError, match="another model than the tokens"):
        load_class_prompts(cache)
    write_table(path, TEMPLATES, rows[1:], {"cache_key": {"model": "toy"}})
    with pytest.raises(UserError, match="no sound prompt for 'happiness'"):
        load_class_prompts(cache)
    path.unlink()
    with pytest.raises(UserError, match="run `grace tokens`"):
        train(tmp_path, SHORT.model_copy(update={"method": "template"}), 1, quiet=True)


def test_one_clip_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Fold 1 of .* has no labelled clip in its train part"):
        train(toy_cache(tmp_path, clips=1), SHORT, 1, quiet=True)


def test_one_training_clip_is_too_few(tmp_path: Path) -> None:
    toy_cache(tmp_path)
    rows = Clips(tmp_path).rows
    kept = next(row["clip_id"] for row in rows if row["fold_1"] == "train")
    for row in rows:
        row["fold_1"] = "train" if row["clip_id"] == kept else "test"
        row["label"], row["label_id"] = LABELS[0], 0
    write_clips(tmp_path, rows, LABELS[:1])
    with pytest.raises(UserError, match="too few to hold some out"):
        train(tmp_path, SHORT, 1, quiet=True)


def test_a_class_absent_from_the_test_part_is_warned_of(tmp_path: Path) -> None:
    cache = Cache(toy_cache(tmp_path))
    for row in cache.rows.values():
        if row["fold_1"] == "test" and row["label"] == "neutral":
            row["fold_1"] = ""
    with pytest.warns(UserWarning, match="holds no clip of neutral"):
        split(cache, 1, SHORT)


def test_plans_that_do_not_converge_are_warned_of_once(tmp_path: Path) -> None:
    with pytest.warns(NotConvergedWarning) as warned:
        train(toy_cache(tmp_path), SHORT.model_copy(update={"epsilon": 0.01, "sinkhorn_iterations": 1}), 1, quiet=True)
    assert sum(issubclass(one.category, NotConvergedWarning) for one in warned) == 1


def test_a_config_that_does_not_fit_is_named_by_its_key(tmp_path: Path, folder: Path) -> None:
    source = folder / "runs" / "grace" / "fold-1" / "config.yaml"
    for changed, sentence in (
        ({"epoch": 3}, r"config\.yaml is damaged .* \('settings\.epoch': extra inputs are not permitted\): remove"),
        ({"precision": "half"}, r"\('settings\.precision': input should be 'auto', 'float32' or 'bfloat16'\)"),
        ({"method": "magic"}, r"\('settings\.method': input should be 'vision', .* or '\w+'\)"),
    ):
        content = yaml.safe_load(source.read_text())
        content["settings"] |= changed
        (tmp_path / "config.yaml").write_bytes(seal(f"{yaml.safe_dump(content)}# {PLACEHOLDER}\n".encode()))
        with pytest.raises(UserError, match=sentence):
            read_config(tmp_path)
    for damage in ("just words", "- 1", ""):
        (tmp_path / "config.yaml").write_text(damage)
        with pytest.raises(UserError, match=r"config\.yaml is damaged"):
            read_config(tmp_path)


def test_bfloat16_trains_and_stores_float32_weights(tmp_path: Path) -> None:
    metrics = train(toy_cache(tmp_path), SHORT.model_copy(update={"precision": "bfloat16"}), 1, quiet=True)
    assert np.isfinite(metrics["UAR"])
    weights = TokenClassifier.from_pretrained(tmp_path / "runs/grace/fold-1").model.state_dict()
    assert {value.dtype for value in weights.values()} == {torch.float32}
