"""Trials of ``dvc repro``: what it takes for up to date, and what it makes of a ``dvc.lock`` that is damaged or old."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import random
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.fault_bases import TOY, index_rows, write_raw
from benchmarks.fault_trial import Outcome, Ran, Trial, digests, held_if, result_of
from benchmarks.harness import PROJECT

Change = Callable[[Path], None]
INDEXED = ("data/mine/clips.parquet", "data/mine/reconciliation.csv")


def dvc(*words: str) -> Ran:
    """Run ``dvc`` in this process; what it says of errors becomes one of our sentences."""
    from dvc.cli import main

    said = io.StringIO()
    handler = logging.StreamHandler(said)
    handler.format = _message  # type: ignore[method-assign]
    logging.getLogger("dvc").addHandler(handler)
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main([*words])
    text = said.getvalue()
    error = f"error: {' '.join(text.split())[-200:]}"
    return Ran(code, text if not code else error)


def _message(record: logging.LogRecord) -> str:
    """What a record says, or the exception that it carries in place of a message; no traceback."""
    return record.getMessage() or str(record.exc_info[1] if record.exc_info else "")


def up_to_date(folder: Path, stages: dict[str, Any]) -> None:
    """Make a folder a project of DVC with some stages, all of them done."""
    os.environ["PYTHONPATH"] = str(PROJECT)
    os.environ["DVC_NO_ANALYTICS"] = "1"
    (folder / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    for words in (("init", "--no-scm", "-q"), ("commit", "-f", "-q")):
        ran = dvc(*words)
        if ran.exit_code:
            raise RuntimeError(ran.output)


def dvc_project(folder: Path) -> None:
    """The base of clips as a project of DVC whose one stage is the index, up to date."""
    command = f"{sys.executable} -m stages index -d mine"
    up_to_date(folder, {"index": {"cmd": command, "deps": ["raw"], "outs": [*INDEXED]}})


# -- dvc.lock


def reproduced(change: Change, folder: Path) -> Outcome:
    """``dvc repro`` of a project that is up to date but for ``dvc.lock``: the outputs stay as they are."""
    dvc_project(folder)
    before = digests(folder / "data/mine")
    change(folder)
    return result_of(dvc("repro"), lambda: digests(folder / "data/mine") == before, "another index")


def reindexed(change: Change, folder: Path) -> Outcome:
    """The same where the videos were replaced as well: the index is made again."""
    dvc_project(folder)
    before = index_rows(folder)
    write_raw(folder / "raw", 1, clips=4)
    change(folder)
    return result_of(dvc("repro"), lambda: index_rows(folder) != before, "the old index is kept")


def _edited(old: str, new: str, folder: Path) -> None:
    """Every line of ``dvc.lock`` with a value of its own for a key."""
    lock = folder / "dvc.lock"
    lines = [f"{line.split(old)[0]}{old} {new}" if old in line else line for line in lock.read_text().splitlines()]
    lock.write_text("\n".join(lines) + "\n")


def _conflict(folder: Path) -> None:
    lock = folder / "dvc.lock"
    half = lock.read_text()
    lock.write_text(f"<<<<<<< HEAD\n{half}=======\n{half}>>>>>>> theirs\n")


def _removed(folder: Path) -> None:
    (folder / "dvc.lock").unlink()


def _twice(folder: Path) -> None:
    lock = folder / "dvc.lock"
    lock.write_text(lock.read_text() * 2)


def _no_output(folder: Path) -> None:
    (folder / INDEXED[0]).unlink()


def _other_output(folder: Path) -> None:
    write_other = folder / INDEXED[1]
    write_other.write_bytes(write_other.read_bytes() + b"missing,clips/00,\n")


LOCKS: dict[str, tuple[Change, str]] = {
    "removed": (_removed, ""),
    "with marks of a merge": (_conflict, "dvc.lock"),
    "twice": (_twice, "dvc.lock"),
    "of another schema": (partial(_edited, "schema:", "'9.9'"), "dvc.lock"),
    "with digests of other files": (partial(_edited, "md5:", f"'{'f' * 32}'"), ""),
    "with digests that are none": (partial(_edited, "md5:", "[]"), "dvc.lock"),
    "with other sizes": (partial(_edited, "size:", "7"), ""),
    "with sizes that are no number": (partial(_edited, "size:", "many"), "dvc.lock"),
    "with another command": (partial(_edited, "cmd:", "touch owned"), ""),
    "whole, a table removed": (_no_output, ""),
    "whole, reconciliation.csv edited": (_other_output, ""),
}
"""What ``dvc.lock`` may be like, and what a sentence about it says; damage is added to it by :func:`trials`."""


def damaged_lock(damage: Callable[[Path, random.Random], None], seed: int, folder: Path) -> None:
    """A change that damages ``dvc.lock``."""
    damage(folder / "dvc.lock", random.Random(f"{seed} {damage.__name__}"))


# -- what the scores depend on


def scoring_stages(file: Path) -> dict[str, Any]:
    """``train`` and ``evaluate`` of a ``dvc.yaml`` for the toy set, with the dependencies that it has."""
    from grace.pipeline.strict_yaml import read_yaml

    stages: Any = read_yaml(file)
    found = {}
    for name in ("train", "evaluate"):
        stage = found[name] = stages["stages"][name]
        stage["matrix"]["dataset"] = ["toy"]
        own = (dep.replace("${item.dataset}", "toy").replace("${train.method}", "vision") for dep in stage["deps"])
        stage["deps"] = [dep for dep in own if dep.startswith("data/") and Path(dep).exists()]
    return found


def out_of_date(file: str, change: Change, names: tuple[str, ...], folder: Path) -> Outcome:
    """These stages have to be out of date after a change; by what they depend on, not by what another stage makes."""
    settings = {**TOY, "train": {**TOY["train"], "seeds": 1}, "folds": [1, 2]}  # type: ignore[dict-item]
    (folder / "params.yaml").write_text(json.dumps(settings))
    up_to_date(folder, scoring_stages(PROJECT / file))
    change(folder)
    from dvc.repo import Repo

    status = {stage.partition("@")[0]: changes for stage, changes in Repo(str(folder)).status().items()}
    changed = {name for name, changes in status.items() if any("changed deps" in each for each in changes)}
    missing = sorted(set(names) - changed)
    return held_if(not missing, f"{', '.join(missing)} would not run again: {status}")


def _seeds(folder: Path) -> None:
    params = json.loads((folder / "params.yaml").read_text())
    params["train"]["seeds"] = 3
    (folder / "params.yaml").write_text(json.dumps(params))


def scored() -> dict[str, tuple[Change, tuple[str, ...]]]:
    """What makes scores old, and the stages that depend on it."""
    from benchmarks.fault_stale import SWAPS

    both = ("train", "evaluate")
    names = ("a label changed", "a clip moved to training", "people renamed", "a clip removed")
    changes = {name: (SWAPS[name][0], both) for name in names}
    return {**changes, "tokens made again": (SWAPS["tokens made again"][0], ("train",)), "more seeds": (_seeds, both)}


def trials(seed: int) -> list[Trial]:
    """Every ``dvc.lock``, and every change that makes scores old."""
    from benchmarks.fault_corruptions import DAMAGES

    damages = {name: (partial(damaged_lock, damage, seed), "dvc.lock") for name, damage in DAMAGES.items()}
    found = []
    for kind, locks in (("corruptions", damages), ("stale", LOCKS)):
        for name, (change, word) in locks.items():
            right, says = (("held", "sentence"), (word,)) if word else (("held",), ())
            found.append(Trial(kind, f"dvc.lock, {name}", partial(reproduced, change), right, "clips", says))
    for name in ("removed", "with digests of other files", "with another command"):
        attempt = partial(reindexed, LOCKS[name][0])
        found.append(Trial("stale", f"dvc.lock, {name}, and videos replaced", attempt, ("held",), "clips"))
    found.append(
        Trial("stale", "a video replaced, dvc repro", partial(reindexed, lambda folder: None), ("held",), "clips")
    )
    for name, (change, stages) in scored().items():
        for file in ("dvc.yaml", "stages/templates/dvc.yaml"):
            attempt = partial(out_of_date, file, change, stages)
            found.append(Trial("stale", f"{name}, {file}", attempt, ("held",), "toy"))
    return found
