"""The campaign of faults: its numbers, how it judges, and some of its trials."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import fault_trial
from benchmarks.fault_trial import VERDICTS, Outcome, Ran, Trial, run_all
from benchmarks.faults import all_trials, entry
from benchmarks.harness import PROJECT
from grace.pipeline.errors import UserError

LEAST = {"corruptions": 60, "servers": 60, "files": 80, "tables": 40, "stale": 40, "random": 12}
CHOSEN = (
    "data/toy/clips.parquet: a bit, evaluated",
    "data/toy/tokens/00001.h5: zeros, trained",
    "runs/vision/fold-1/metrics.json: truncated, trained_again",
    "checkpoint.pt: garbage after it, trained",
    "HTML",
    "content is a list",
    "moved, pictures and all",
    "a playlist",
    "a link to itself",
    "a name with no UTF-8",
    "a picture of 60,000 × 60,000",
    "audit: a ragged table",
    "a run copied to another fold, evaluated",
    "runs of another method, compared",
    "escaped cells",
)


def test_the_campaign_is_large_and_its_names_differ() -> None:
    trials = all_trials(0)
    counts = Counter(trial.kind for trial in trials)
    assert len(trials) >= 400
    assert {kind: counts[kind] >= least for kind, least in LEAST.items()} == dict.fromkeys(LEAST, True)
    assert len({(trial.kind, trial.name) for trial in trials}) == len(trials)
    for trial in trials:
        assert set(trial.expected) <= set(VERDICTS[:3]), trial.name
        assert trial.says or trial.expected == ("held",), trial.name
    of = " ".join(trial.name for trial in trials)
    for file in (
        *("fold-1/seed-1/config.yaml", "cross-dataset/other", "tuning/vision", "scores.json", "index.partial.jsonl"),
        *("reconciliation.csv", "dvc.lock", "responses/caption", "checkpoint.pt", "clips.parquet", "root.txt"),
    ):
        assert file in of, file


def test_a_sentence_that_does_not_name_its_cause_is_misleading(tmp_path: Path) -> None:
    saying = [("right", ("is no", "data set")), ("wrong", ("clips.csv",)), ("any", ())]
    trials = [Trial("any", name, _misuse, ("sentence",), says=says) for name, says in saying]
    found = {trial.name: outcome for trial, outcome, _ in run_all(trials, tmp_path, tmp_path, jobs=1)}
    verdicts = {name: outcome.verdict for name, outcome in found.items()}
    assert verdicts == {"right": "sentence", "wrong": "misleading", "any": "sentence"}
    assert found["wrong"].detail == "not said: clips.csv: This is no data set."
    held = Trial("any", "held", _leave, ("held",), says=("no word is needed",))
    assert held.judge(Outcome("held", "x")) == Outcome("held", "x")


def test_the_results_file_keeps_the_sentence_without_places(tmp_path: Path) -> None:
    trial = Trial("any", "place", _name_places, ("sentence",))
    ((_, outcome, _),) = run_all([trial], tmp_path, tmp_path, jobs=1)
    assert outcome.detail == f"a/b.csv and <project>/x at http://127.0.0.1:<port>/v1 are wrong in .{'x' * 200}"
    kept = entry(trial, outcome)
    assert kept == {
        "kind": "any", "trial": "place", "verdict": "sentence", "right": ["sentence"], "said": outcome.detail[:200],
    }  # fmt: skip
    assert "said" not in entry(trial, Outcome("held", "12 clips"))


def _name_places(folder: Path) -> Outcome:
    raise UserError(f"{folder}/a/b.csv and {PROJECT}/x at http://127.0.0.1:43211/v1 are wrong in {folder}{'x' * 200}")


def _misuse(folder: Path) -> Outcome:
    raise UserError("This is no data set.")


def _bug(folder: Path) -> Outcome:
    raise KeyError("folder")


def _die(folder: Path) -> Outcome:
    os._exit(3)


def _hang(folder: Path) -> Outcome:
    time.sleep(3600)
    return Outcome("held")


def _leave(folder: Path) -> Outcome:
    (folder / "file").write_text("x")
    return Outcome("held", str(Path.cwd() == folder))


def test_each_trial_has_its_verdict_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fault_trial, "LIMIT", 1.0)
    attempts = {"sentence": _misuse, "traceback": _bug, "died": _die, "hang": _hang, "held": _leave}
    trials = [Trial("any", name, attempt, ("held",)) for name, attempt in attempts.items()]
    found = {trial.name: outcome for trial, outcome, _ in run_all(trials, tmp_path, tmp_path, jobs=2)}
    assert {name: outcome.verdict for name, outcome in found.items()} == {
        "sentence": "sentence", "traceback": "traceback", "died": "traceback", "hang": "hang", "held": "held",
    }  # fmt: skip
    assert found["held"].detail == "True"
    assert list(tmp_path.iterdir()) == []


def test_a_command_fails_with_one_sentence_or_wrongly() -> None:
    for output, verdict in (("error: no", "sentence"), ("error: a\nerror: b", "traceback"), ("", "traceback")):
        failure = Ran(1, output).failure
        assert failure is not None
        assert failure.verdict == verdict
    assert Ran(0, "error: no").failure is None


@pytest.mark.slow
def test_some_of_its_trials_have_the_right_verdict() -> None:
    names = [word for name in CHOSEN for word in ("--name", name)]
    command = [sys.executable, "-m", "benchmarks.faults", *names, "--jobs", "2"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures.pop("trials") >= len(CHOSEN)
    assert figures == {"wrong": 0, "misleading": 0, "silent": 0, "tracebacks": 0, "hangs": 0}, done.stdout
