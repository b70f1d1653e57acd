"""What ``train`` and ``evaluate`` wrote for a data set, checked against its checksums and what it was made from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from grace.pipeline.store import UserError, find_paths
from grace.pipeline.store.checksum import is_intact
from grace.pipeline.store.formats import check
from grace.pipeline.store.schemas import CROSS_DATASET
from grace.trainer.cross_dataset import FOLDER
from grace.trainer.evaluate import SCORES, headline
from grace.trainer.provenance import cache_inputs, check_alike, check_inputs, check_place, read_clips
from grace.trainer.runs import check_files, is_seed_folder, read_config


def runs_of(folder: Path) -> list[Path]:
    """The folders of all finished runs of a data set, those of further seeds too.

    Args:
        folder: ``data/<dataset>``.
    """
    places = ("runs/*/fold-*", "runs/*/fold-*/seed-*")
    return sorted(path.parent for place in places for path in find_paths(folder, f"{place}/config.yaml"))


def run_problems(run: Path, now: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with a run, in a sentence; nothing when it is as it was written and fits the data set.

    Args:
        run: Its folder.
        now: What :func:`~grace.trainer.provenance.cache_inputs` says of the data set; empty where that is damaged.
    """
    try:
        config = read_config(run)
        check_place(run, config)
        if is_seed_folder(run):
            check_alike({run.parent: read_config(run.parent), run: config})
        check_files(run, config)
        check_inputs(run, config, now)
    except UserError as error:
        yield str(error)


def scores_of(folder: Path) -> list[Path]:
    """The files of scores of a data set: its own, and those of its runs on other data sets."""
    found = [folder / SCORES, *find_paths(folder, f"{FOLDER}/*/*/predictions.parquet")]
    found += find_paths(folder, f"{FOLDER}/*/*/metrics.json")
    return [path for path in found if path.exists()]


def score_problems(folder: Path, path: Path) -> Iterator[str]:
    """What is wrong with one of :func:`scores_of`, a sentence each.

    Args:
        folder: ``data/<dataset>``.
        path: The file.
    """
    other = "" if path.name == SCORES else path.parent.parent.name
    again = f"run `grace evaluate --dataset {folder.name}{f' --on {other}' if other else ''}` again"
    if path.suffix == ".parquet":
        try:
            check(CROSS_DATASET, path)
        except UserError as error:
            yield str(error)
        return
    content = path.read_bytes()
    if not is_intact(content):
        yield f"{path} is damaged or was written by an earlier version (no checksum fits it): {again}."
        return
    scores: dict[str, Any] = json.loads(content)
    runs = folder / "runs" / scores["method"]
    if odd := [name for name, made_from in scores["runs"].items() if _fingerprint(runs / name) != made_from]:
        yield f"{path} is of another {runs / odd[0]} than there is now: {again}."
    if other:
        there = folder.parent / other
        if there.is_dir() and cache_inputs(there, read_clips(there)) != scores["inputs"]:
            yield f"{path} is of other clips, tokens or motion of {other} than there are now: {again}."
    elif _read_json(folder / "metrics.json") != headline(scores):
        yield f"{folder / 'metrics.json'} does not hold the scores of {path}: {again}."


def _fingerprint(run: Path) -> str:
    try:
        return read_config(run).fingerprint
    except UserError:
        return ""


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
