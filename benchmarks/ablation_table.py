"""The ablation's runs, read back: scores with intervals, and paired tests of GRACE against every other row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.box import HORIZONTALS
from rich.table import Table

from grace.pipeline.store import read_table
from grace.pipeline.store.schemas import PREDICTIONS
from grace.trainer.metrics import tail_classes
from grace.trainer.runs import FILES, read_config
from grace.trainer.significance import Lead, counted, leads, mcnemar, resampled, statistics

SAMPLES, CONFIDENCE = 2000, 0.95
COLUMNS = ("UAR", "WAR", "surprise/fear", "anger/disgust", "tail")

Run = tuple[int, int]
"""Seed and fold."""


@dataclass(frozen=True)
class Score:
    """The predictions of one variant: for each finished run, which test clips were right, and its validation score."""

    rival: bool
    names: list[str]
    labels: dict[str, int]
    runs: dict[Run, dict[str, bool]]
    validation: dict[Run, float]

    def right(self, runs: Iterable[Run]) -> dict[tuple[int, str], float]:
        """For each test clip, the share of the seeds of ``runs`` that were right."""
        seen: dict[tuple[int, str], list[bool]] = {}
        for seed, fold in runs:
            for clip_id, right in self.runs[seed, fold].items():
                seen.setdefault((fold, clip_id), []).append(right)
        return {key: float(np.mean(values)) for key, values in seen.items()}


def score(folders: Iterable[Path], rival: bool) -> Score | None:
    """The finished ones among ``…/seed-<s>/<method>/fold-<k>``; None when there is none."""
    runs: dict[Run, dict[str, bool]] = {}
    validation: dict[Run, float] = {}
    labels: dict[str, int] = {}
    names: list[str] = []
    for folder in folders:
        if not all((folder / name).exists() for name in FILES):
            continue
        names = read_config(folder).labels
        rows = read_table(folder / "predictions.parquet", PREDICTIONS)
        seed, fold = int(folder.parents[1].name.removeprefix("seed-")), int(folder.name.removeprefix("fold-"))
        runs[seed, fold] = {row["clip_id"]: row["predicted"] == row["label"] for row in rows}
        validation[seed, fold] = validation_uar(folder)
        labels |= {row["clip_id"]: names.index(row["label"]) for row in rows}
    return Score(rival, names, labels, runs, validation) if runs else None


def validation_uar(folder: Path) -> float:
    """The validation score of a run's selected epoch; no test clip is read for it."""
    settings = read_config(folder).settings
    scores = pd.read_csv(folder / "history.csv")["validation_uar"]
    return float(scores.rolling(settings.window).mean().max())


def paired(first: Score, second: Score) -> tuple[dict[str, Lead], float] | None:
    """GRACE's leads on the runs that both have, and McNemar's p; None when they share none."""
    common = sorted(first.runs.keys() & second.runs.keys())
    if not common:
        return None
    ours, theirs = first.right(common), second.right(common)
    keys = sorted(ours.keys() & theirs.keys())
    labels = np.array([first.labels[clip_id] for _, clip_id in keys])
    here, there = (np.array([side[key] for key in keys]) for side in (ours, theirs))
    return leads(labels, here, there, first.names, SAMPLES, CONFIDENCE), float(mcnemar(here, there)["p"])


def table(scored: dict[str, Score]) -> Table:
    """One row per variant: scores in %, the interval of UAR, and the lead of GRACE over it with both tests."""
    title = "test clips of all folds, in %; lead of grace in points of UAR"
    made = Table(title=title, title_justify="left", box=HORIZONTALS, padding=(0, 1, 0, 0), pad_edge=False)
    for column in ("variant", "runs", "val. UAR", *COLUMNS, "UAR 95%", "lead of grace", "95%", "p", "McNemar"):
        made.add_column(column, justify="left" if column == "variant" else "right", no_wrap=True)
    for name, one in scored.items():
        values, interval = _scores(one)
        cells = [f"{100 * values[column]:.1f}" if column in values else "–" for column in COLUMNS]
        tests = paired(scored["grace"], one) if "grace" in scored and name != "grace" else None
        lead = _lead(*tests) if tests else ("", "", "", "")
        validation = f"{100 * np.mean(list(one.validation.values())):.1f}"
        made.add_row(
            name, str(len(one.runs)), validation, *cells, f"{100 * interval[0]:.1f}–{100 * interval[1]:.1f}", *lead
        )
    return made


def figures(scored: dict[str, Score]) -> dict[str, Any]:
    """``grace_gain``, ``parts``, and what they rest on."""
    found: dict[str, Any] = {"uar": {name: round(_scores(one)[0]["UAR"], 4) for name, one in scored.items()}}
    found["validation_uar"] = {n: round(float(np.mean(list(one.validation.values()))), 4) for n, one in scored.items()}
    if "grace" not in scored:
        return found
    leads_of = {name: paired(scored["grace"], one) for name, one in scored.items() if name != "grace"}
    points = {name: _points(tests[0]["UAR"], tests[1]) for name, tests in leads_of.items() if tests}
    rivals = {name: found["uar"][name] for name in points if scored[name].rival}
    if rivals:
        best = max(rivals, key=lambda name: rivals[name])
        found |= {"grace_gain": points[best]["lead"], "best_rival": best, "rivals": {n: points[n] for n in rivals}}
    return found | {"parts": {name: lead for name, lead in points.items() if not scored[name].rival}}


def _scores(one: Score) -> tuple[dict[str, float], tuple[float, float]]:
    right = one.right(one.runs)
    labels = np.array([one.labels[clip_id] for _, clip_id in right])
    values = np.array(list(right.values()))
    tail = tail_classes(np.bincount(labels, minlength=len(one.names)))
    point = statistics(*counted(labels, values, len(one.names)), one.names, tail)
    total, hits = resampled(labels, values[None], len(one.names), SAMPLES)
    drawn = statistics(total, hits[0], one.names, tail)["UAR"]
    low, high = np.nanpercentile(drawn, (100 * (1 - CONFIDENCE) / 2, 100 * (1 + CONFIDENCE) / 2))
    return {name: float(value) for name, value in point.items()}, (float(low), float(high))


def _lead(tests: dict[str, Lead], p: float) -> tuple[str, str, str, str]:
    lead = tests["UAR"]
    return (
        f"{100 * lead.difference:+.1f}",
        f"{100 * lead.low:+.1f} … {100 * lead.high:+.1f}",
        f"{lead.p:.3f}",
        f"{p:.3f}",
    )


def _points(lead: Lead, p: float) -> dict[str, float]:
    values = {"lead": 100 * lead.difference, "low": 100 * lead.low, "high": 100 * lead.high}
    return {name: round(value, 2) for name, value in values.items()} | {"p": round(lead.p, 4), "mcnemar_p": round(p, 4)}
