"""A run is not asked about videos that other models than its own would treat."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest

import grace
from grace.pipeline.steps import STEPS, make_step, step_sections
from grace.pipeline.store import Store, UserError
from grace.pipeline.store.schemas import CAPTIONS, DESCRIPTIONS, FACES
from grace.settings import Settings, load_settings
from grace.trainer.runs import encode_config, read_config
from grace.trainer.settings import TrainSettings
from grace.trainer.train import train
from tests.support.toy_cache import TRAIN, toy_cache

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
