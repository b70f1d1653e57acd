"""Two runs on the same test clips: does one lead, or is it chance?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from grace.pipeline.store import Row, UserError, read_table
from grace.pipeline.store.schemas import PREDICTIONS
from grace.trainer.evaluate import refuse_label_informed
from grace.trainer.significance import Lead, leads, mcnemar
from grace.trainer.train import FILES, read_config


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


def compare(
    first: Path, second: Path, dataset_folder: Path, samples: int = 1000, confidence: float = 0.95
) -> Comparison:
    """Paired tests of two runs: each a fold's folder, or a folder of ``fold-<k>``, whose test clips are pooled.

    Raises :class:`UserError` when a run is unfinished, or the two were not judged on the same clips, classes and
    protocol; :class:`~grace.pipeline.store.GraceError` when the label was visible to a test clip's text.
    """
    runs = [_Run(path) for path in (first, second)]
    for name in ("labels", "protocols"):
        here, there = (getattr(run, name) for run in runs)
        if here != there:
            raise UserError(f"{first} and {second} have different {name} ({here} and {there}): compare like with like.")
    if len(runs[0].protocols) > 1:
        raise UserError(f"The folds of {first} follow different protocols {runs[0].protocols}: train them alike.")
    _check_clips(*runs)
    refuse_label_informed(dataset_folder, [clip_id for _, clip_id in runs[0].rows])
    order = sorted(runs[0].rows)
    names = runs[0].labels
    labels = np.array([names.index(runs[0].rows[key]["label"]) for key in order], dtype=np.int64)
    right = [
        np.array([run.rows[key]["predicted"] == run.rows[key]["label"] for key in order], dtype=np.float64)
        for run in runs
    ]
    return Comparison(
        first=str(first),
        second=str(second),
        protocol=runs[0].protocols[0],
        clips=len(order),
        confidence=confidence,
        leads=leads(labels, right[0], right[1], names, samples, confidence),
        mcnemar=mcnemar(right[0], right[1]),
    )


class _Run:
    """The predictions of one run, by fold and clip."""

    def __init__(self, path: Path) -> None:
        self.path = path
        folders = [path] if (path / "config.yaml").exists() else sorted(path.glob("fold-*"))
        if not folders:
            raise UserError(f"{path} is no run: name a folder that holds fold-1, or one fold's folder.")
        self.rows: dict[tuple[int, str], Row] = {}
        configs = []
        for folder in folders:
            if missing := [name for name in FILES if not (folder / name).exists()]:
                raise UserError(f"{folder} lacks {', '.join(missing)}: run `grace train` for this fold first.")
            configs.append(read_config(folder))
            rows = read_table(folder / "predictions.parquet", PREDICTIONS)
            self.rows |= {(row["fold"], row["clip_id"]): row for row in rows}
        self.labels: list[str] = configs[0]["labels"]
        self.protocols: list[str] = sorted({config["protocol"] for config in configs})


def _check_clips(first: _Run, second: _Run) -> None:
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
