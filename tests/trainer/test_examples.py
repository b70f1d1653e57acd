"""The examples in the trainer's docstrings run as they are printed, beside a data set ``data/demo`` and its runs."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

from grace.trainer.settings import TrainSettings
from grace.trainer.train import train
from tests.support.toy_cache import TRAIN, toy_cache

EXAMPLES = {
    "alignment": ("Alignment", "Matcher", "cosine_cost", "sinkhorn", "cross_attention"),
    "metrics": ("war", "uar", "scores"),
    "significance": ("intervals", "mcnemar"),
    "calibration": ("reliability", "expected_calibration_error"),
    "model": ("Model",),
    "data": ("Cache",),
    "protocol": ("split",),
    "train": ("train",),
    "evaluate": ("evaluate",),
    "compare": ("compare",),
    "classifier": ("TokenClassifier",),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data/demo`` and a run of ``grace`` and of ``vision``."""
    made = tmp_path_factory.mktemp("examples")
    for method in ("grace", "vision"):
        train(toy_cache(made / "data/demo"), TrainSettings(**TRAIN, method=method), 1, quiet=True)
    return made


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_run_as_printed(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(folder)
    module = importlib.import_module(f"grace.trainer.{name}")
    with_examples = {test.name.rpartition(".")[2] for test in doctest.DocTestFinder().find(module) if test.examples}
    assert with_examples == set(EXAMPLES[name])
    assert doctest.testmod(module).failed == 0
