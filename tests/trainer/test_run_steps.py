"""A run is not asked about videos that other models than its own would treat."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import grace
from grace.pipeline.steps import STEPS, make_step, step_sections
from grace.pipeline.store import Store, UserError, fingerprint, write_table
from grace.pipeline.store.schemas import CAPTIONS, DESCRIPTIONS, FACES, STORES, TEMPLATES, TEMPLATES_FILE
from grace.pipeline.tokens.class_prompts import class_sentences
from grace.run_steps import settings_of_cache
from grace.settings import Settings, load_settings
from grace.trainer.runs import encode_config, read_config
from grace.trainer.settings import TrainSettings
from grace.trainer.train import train
from stages import app
from tests.support.toy_cache import LABELS, TRAIN, toy_cache

MODEL = Path(str(grace.__path__[0])) / "pocket/clip"


def trained(folder: Path, settings: Settings, texts: bool = True) -> Path:
    """A run whose cache says that it was made by the steps of these settings."""
    keys = {stage: make_step(stage, settings, root=".").cache_key() for stage in STEPS}
    toy_cache(folder, made_by=keys)
    row = {"clip_id": "clip-000", "status": "ok", "error": ""}
    for schema in (FACES, CAPTIONS, DESCRIPTIONS) if texts else ():
        name = {"faces": "faces", "caption": "captions", "refine": "descriptions"}[schema.stage]
        meta = {"fingerprint": "f", "cache_key": keys[schema.stage], "version": 1}
        Store(folder / name, schema).write(0, [row], meta)
    asked = TrainSettings.model_validate({**TRAIN, "method": "vision", "epochs": 1})
    train(folder, asked, 1, quiet=True, pipeline=step_sections(settings))
    return folder / "runs/vision/fold-1"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("toy"), Settings())


def change(run: Path, **changes: Any) -> None:
    (run / "config.yaml").write_bytes(encode_config(read_config(run).model_copy(update=changes)))


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("stage", "key", "value", "named"),
    [
        ("tokens", "model", {"name": "pocket/clip", "sha256": "0" * 64}, "tokens.model.sha256 '000"),
        ("motion", "grid", 99, "motion.grid 99"),
        ("faces", "size", 96, "faces.size 96"),
        ("caption", "max_tokens", 7, "caption.max_tokens 7"),
        ("refine", "prompt", "other", "refine.prompt 'other'"),
    ],
)
def test_a_step_that_is_not_the_runs_is_refused(copied: Path, stage: str, key: str, value: Any, named: str) -> None:
    steps = read_config(copied).steps
    assert steps is not None
    steps[stage]["cache_key"][key] = value
    change(copied, steps=steps)
    with pytest.raises(UserError, match=f"was trained on what {stage} made with {named}"):
        grace.GraceClassifier.from_pretrained(copied)


def test_weights_replaced_in_their_folder_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(MODEL, "models/vision", copy_function=shutil.copyfile)
    made = trained(tmp_path / "toy", load_settings(None, ["tokens.model=models/vision"]))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*cannot be checked")
        assert grace.GraceClassifier.from_pretrained(made).labels
    with Path("models/vision/model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x11")
    with pytest.raises(UserError, match=r"what tokens made with tokens.model.sha256 .* put the run's models in their"):
        grace.GraceClassifier.from_pretrained(made)


def test_a_run_that_does_not_say_is_checked_as_far_as_it_says(copied: Path) -> None:
    cache = read_config(copied).cache
    change(copied, steps=None)
    with pytest.warns(UserWarning, match="does not say with which models faces, caption, refine made"):
        grace.GraceClassifier.from_pretrained(copied)
    cache["motion"]["grid"] = 99
    change(copied, cache=cache)
    with pytest.raises(UserError, match=r"motion\.grid 99"):
        grace.GraceClassifier.from_pretrained(copied)


def test_steps_whose_code_changed_since_are_warned_of(copied: Path) -> None:
    with pytest.warns(UserWarning, match="faces, caption, refine of this version of GRACE give other results"):
        grace.GraceClassifier.from_pretrained(copied)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set that says to be made by the steps of the default settings, in the working folder's ``data``."""
    monkeypatch.chdir(tmp_path)
    folder = trained(tmp_path / "data/toy", Settings()).parents[2]
    for name, schema in STORES.items():
        store, step = Store(folder / name, schema), make_step(schema.stage, Settings(), root=".")
        for shard in store.shards():
            store.write(shard, store.read(shard), {**store.meta(shard), "version": step.version})
    prompts = [
        {"label": label, "prompt": line, "embedding": np.ones(16)}
        for label, lines in class_sentences(LABELS, {}).items()
        for line in lines
    ]
    write_table(folder / "tokens" / TEMPLATES_FILE, TEMPLATES, prompts, {"fingerprint": fingerprint(prompts)})
    Path("params.yaml").write_text("train: {method: vision, epochs: 1, hidden: 16, layers: 1, heads: 2, seed: 3}\n")
    return folder


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["faces.size=96", "caption.images=4", "tokens.text_length=64"],
            "faces.size 128, not 96; caption.images 8, not 4; tokens.text_length 128, not 64): run `grace faces` and",
        ),
        (["motion.grid=4"], "(motion.grid 8, not 4): run `grace motion` and the stages after it"),
        (["refine.max_tokens=9"], "(refine.max_tokens 320, not 9): run `grace refine`"),
        (["caption.engine=annotation"], "(caption.engine "),
        (["caption.model=no/such", "caption.seed=4"], "(caption.engine.model.name 'pocket/vlm', not 'no/such'; "),
        (["tokens.vision=no/such"], "(tokens.model.name 'pocket/clip', not 'no/such'): run `grace tokens`"),
        (["tokens.class_prompts={sadness: [The lips press.]}"], "tokens.class_prompts.sadness "),
    ],
)
def test_a_run_is_not_trained_with_settings_that_did_not_make_its_cache(
    cache: Path, overrides: list[str], said: str
) -> None:
    words = ["train", "-d", "toy", "--fold", "2", *(word for each in overrides for word in ("-S", each))]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2, done.output
    assert done.output.startswith(f"error: {Path('data/toy')} was made with other settings (")
    assert said in done.output and done.output.count("\n") == 1
    assert not (cache / "runs/vision/fold-2").exists()


def test_edited_params_are_refused_like_overrides(cache: Path) -> None:
    Path("params.yaml").write_text("faces: {margin: 0.4}\n")
    for command in ("train", "report"):
        done = CliRunner().invoke(app, [command, "-d", "toy", "-S", "train.method=probe"])
        assert done.exit_code == 2 and "(faces.margin 0.15, not 0.4): run `grace faces`" in done.output


def test_settings_that_change_no_result_are_no_contradiction(cache: Path) -> None:
    more = ("workers=1", "tokens.batch=3", "tokens.device=cpu", "caption.batch=2", "refine.server.url=http://h:1/v1")
    words = ["train", "-d", "toy", "--fold", "2", *(word for each in more for word in ("-S", each))]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    pipeline = read_config(cache / "runs/vision/fold-2").pipeline
    assert pipeline == step_sections(load_settings("params.yaml", more))


def test_a_model_that_is_not_here_is_no_obstacle_to_training(cache: Path) -> None:
    """Captions may have been written on another machine, by a model that this one has not."""
    store = Store(cache / "captions", CAPTIONS)
    meta = store.meta(0)
    meta["cache_key"]["engine"]["model"] = {"name": "no/such", "revision": "1234"}
    store.write(0, store.read(0), meta)
    settings = load_settings(None, ["caption.model=no/such"])
    with pytest.warns(UserWarning, match="made with the model that caption names is not known: There is no model"):
        assert settings_of_cache(cache, settings)["caption"]["model"] == "no/such"
    with pytest.raises(UserError, match=r"\(caption\.images 8, not 4\)"):
        settings_of_cache(cache, load_settings(None, ["caption.model=no/such", "caption.images=4"]))


def test_a_stage_of_another_version_may_have_had_other_keys(cache: Path) -> None:
    store = Store(cache / "faces", FACES)
    meta = {**store.meta(0), "version": 1}
    del meta["cache_key"]["quality"]
    store.write(0, store.read(0), meta)
    assert settings_of_cache(cache, Settings())
    with pytest.raises(UserError, match=r"\(faces\.size 128, not 96\)"):
        settings_of_cache(cache, load_settings(None, ["faces.size=96"]))
