"""Two runs on the same test clips: does one lead, or is it chance?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from grace.pipeline.store import Row, UserError, find_paths
from grace.trainer.provenance import check_runs, people_of
from grace.trainer.runs import class_indices, open_run
from grace.trainer.significance import Lead, leads, mcnemar


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` found. ``leads`` holds first minus second, by score."""

    first: str
    second: str
    protocol: str
    clips: int
    confidence: float
    leads: dict[str, Lead]
    mcnemar: dict[str, Any]
    limits: tuple[str, ...] = ()
    """Models behind the runs that do not know the footage, a sentence each."""


def compare(
    first: Path, second: Path, dataset_folder: str | Path, samples: int = 1000, confidence: float = 0.95
) -> Comparison:
    """Paired tests of two runs on the same test clips.

    Args:
        first: a fold's run folder, or a folder of ``fold-<k>``, whose test clips are pooled.
        second: the same of the other run.
        dataset_folder: ``data/<dataset>``, whose descriptions say whether a label was visible.
        samples: draws of the paired bootstrap, over people where the table of clips names some (a clip that names
            nobody is a person of its own), else over clips.
        confidence: of its intervals.

    Returns:
        Every score of both with its difference, interval and p, and McNemar's test.

    Raises:
        UserError: a run is unfinished, or the two were not tested on the same clips, classes and protocol.
        GraceError: the label was visible to the text of a test clip.

    Example:
        >>> runs = Path("data/demo/runs")
        >>> result = compare(runs / "grace/fold-1", runs / "vision/fold-1", "data/demo", samples=100)
        >>> result.clips, sorted(result.mcnemar)
        (18, ['only_first', 'only_second', 'p'])
        >>> result.leads["UAR"].low <= result.leads["UAR"].difference <= result.leads["UAR"].high
        True
    """
    runs = [_PooledRun(path) for path in (first, second)]
    for name in ("labels", "protocols"):
        here, there = (getattr(run, name) for run in runs)
        if here != there:
            raise UserError(f"{first} and {second} have different {name} ({here} and {there}): compare like with like.")
    check_runs(runs[0].runs, Path(dataset_folder), runs[1].runs)
    _check_clips(*runs)
    order = sorted(runs[0].rows)
    names = runs[0].labels
    indices = [class_indices([run.rows[key] for key in order], names) for run in runs]
    people = people_of(Path(dataset_folder), [clip_id for _, clip_id in order])
    right = [(labels == predicted).astype(np.float64) for labels, predicted in indices]
    return Comparison(
        first=str(first),
        second=str(second),
        protocol=runs[0].protocols[0],
        clips=len(order),
        confidence=confidence,
        leads=leads(indices[0][0], right[0], right[1], names, samples, confidence, people),
        mcnemar=mcnemar(right[0], right[1]),
        limits=tuple(sorted({limit for pooled in runs for run in pooled.runs.values() for limit in run.limits})),
    )


class _PooledRun:
    """The predictions of one run, by fold and clip."""

    def __init__(self, path: Path) -> None:
        self.path = path
        folders = [path] if (path / "config.yaml").exists() else find_paths(path, "fold-*")
        if not folders:
            raise UserError(f"{path} is no run: name a folder that holds fold-1, or one fold's folder.")
        self.runs = {folder: open_run(folder) for folder in folders}
        runs = list(self.runs.values())
        self.rows: dict[tuple[int, str], Row] = {
            (row["fold"], row["clip_id"]): row for run in runs for row in run.predictions
        }
        self.labels = runs[0].config.labels
        self.protocols = sorted({run.config.protocol for run in runs})


def _check_clips(first: _PooledRun, second: _PooledRun) -> None:
    if first.rows.keys() != second.rows.keys():
        apart = sorted(first.rows.keys() ^ second.rows.keys())
        raise UserError(
            f"{first.path} and {second.path} were not tested on the same clips ({_named(apart)}): train both on "
            f"the same folds."
        )
    for key, row in first.rows.items():
        if row["label"] != second.rows[key]["label"]:
            raise UserError(f"Clip {key[1]} has another label in {second.path} than in {first.path}: train both again.")


def _named(apart: Sequence[tuple[int, str]]) -> str:
    fold, clip_id = apart[0]
    return f"clip {clip_id} of fold {fold} and {len(apart) - 1} others are in one only"
