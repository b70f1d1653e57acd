"""What ``train`` in ``params.yaml`` refuses, and the sentence that a user reads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from grace.pipeline.store import UserError
from grace.settings import load_settings
from grace.trainer.settings import TrainSettings


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("train.epoch=3", "unknown key 'train.epoch'"),
        ("train.seed=true", "'train.seed': a number is needed here, not true or false, got True"),
        ("train.epochs=0", "'train.epochs': input should be greater than or equal to 1, got 0"),
        ("train.precision=half", "'train.precision': input should be 'auto', 'float32' or 'bfloat16', got 'half'"),
        (
            "train.method=magic",
            "'train.method': input should be 'vision', 'template', 'narrative', 'grace'",
        ),
        ("train.protocol=best", "'train.protocol': input should be 'held-out' or 'best-test', got 'best'"),
        ("train.heads=5", r"'train.heads': .*must divide train.hidden \(64\), got 5"),
        ("train.hidden=6", r"'train.heads': .*must divide train.hidden \(6\), got 4"),
        ("train.validation=0.0", "'train.validation': .*held-out needs a share between 0 and 1, such as 0.15, got 0.0"),
    ],
)
def test_a_wrong_setting_is_named_by_its_key(project: Path, override: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        load_settings(project / "params.yaml", [override])


def test_best_test_needs_no_validation_clips() -> None:
    assert TrainSettings(protocol="best-test", validation=0.0).window == 1


def test_settings_are_read_and_runs_are_scored_without_torch() -> None:
    code = "import sys, grace.settings, grace.trainer.evaluate, grace.trainer.compare; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_setting_is_part_of_the_key_of_a_run() -> None:
    assert set(TrainSettings().cache_key()) == set(TrainSettings.model_fields) - {"loggers"}  # which change no result
