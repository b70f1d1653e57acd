"""The bench's runs, read back: scores with intervals over people, and paired tests of GRACE against every other row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.ablation_levels import GENERAL_VISION
from benchmarks.harness import table
from grace.pipeline.store import UserError
from grace.trainer.metrics import tail_classes
from grace.trainer.settings import METHODS
from grace.trainer.significance import Lead, counted, leads, mcnemar, resampled, statistics

SAMPLES, CONFIDENCE = 2000, 0.95
MARGIN = 1.0
"""Points of UAR within which two methods count as equal: an interval inside it shows that they are."""
RIVALS = ("vision", "template", "narrative")
SIDES = {
    "vision": ("video",), "template": ("video",), "queries": ("video",), "text": ("text",),
    "narrative": ("video", "text"), "grace": ("video", "text"),
}  # fmt: skip
"""What each method reads; it is held against the best probe of those sides, the one of both among them."""

Run = tuple[int, int]
"""Seed and fold."""


@dataclass(frozen=True)
class Score:
    """The predictions of one row: for each finished run, which test clips were right, and its validation score."""

    names: list[str]
    labels: dict[str, int]
    people: Mapping[str, str]
    runs: dict[Run, dict[str, bool]]
    validation: dict[Run, float]

    def right(self, runs: Iterable[Run]) -> dict[tuple[int, str], float]:
        """For each test clip, the share of the seeds of ``runs`` that were right."""
        seen: dict[tuple[int, str], list[bool]] = {}
        for seed, fold in runs:
            for clip_id, right in self.runs[seed, fold].items():
                seen.setdefault((fold, clip_id), []).append(right)
        return {key: float(np.mean(values)) for key, values in seen.items()}

    @property
    def point(self) -> dict[str, float]:
        """Every score over all test clips."""
        labels, values, _ = self._arrays()
        tail = tail_classes(np.bincount(labels, minlength=len(self.names)))
        found = statistics(*counted(labels, values, len(self.names)), self.names, tail)
        return {name: float(value) for name, value in found.items()}

    @property
    def uar(self) -> float:
        """UAR in points."""
        return 100 * self.point["UAR"]

    def interval(self) -> tuple[float, float]:
        """Of the UAR in points, over people."""
        labels, values, people = self._arrays()
        tail = tail_classes(np.bincount(labels, minlength=len(self.names)))
        total, hits = resampled(labels, values[None], len(self.names), SAMPLES, people=people)
        drawn = 100 * statistics(total, hits[0], self.names, tail)["UAR"]
        low, high = np.nanpercentile(drawn, (100 * (1 - CONFIDENCE) / 2, 100 * (1 + CONFIDENCE) / 2))
        return float(low), float(high)

    def by_seed(self) -> list[float]:
        """UAR in points of each seed alone."""
        seeds = sorted({seed for seed, _ in self.runs})
        of_seed = [{key: run for key, run in self.runs.items() if key[0] == seed} for seed in seeds]
        return [Score(self.names, self.labels, self.people, runs, {}).uar for runs in of_seed]

    def _arrays(self) -> tuple[np.ndarray, np.ndarray, list[str]]:
        right = self.right(self.runs)
        labels = np.array([self.labels[clip_id] for _, clip_id in right])
        return labels, np.array(list(right.values())), [self.people[clip_id] for _, clip_id in right]


@dataclass(frozen=True)
class Cell:
    """One level of vision and of text: the scores of its rows, and of what kind each row is."""

    vision: str
    text: str
    scores: dict[str, Score]
    kinds: dict[str, str]

    def best(self, names: Iterable[str]) -> str | None:
        """The row with the highest UAR among ``names``."""
        return max((name for name in names if name in self.scores), key=lambda n: self.scores[n].uar, default=None)

    def probe_gains(self) -> Iterator[tuple[str, float]]:
        """Each method's lead in points over the best probe of the sides that it reads."""
        if unknown := sorted(set(METHODS) - set(SIDES) - {"probe"}):
            raise UserError(f"SIDES in benchmarks/ablation_table.py does not say what the method {unknown[0]} reads.")
        for method, sides in SIDES.items():
            names = [f"probe of the {side}" for side in sides] + (["probe of both"] if len(sides) > 1 else [])
            if method in self.scores and (best := self.best(names)):
                yield method, self.scores[method].uar - self.scores[best].uar


def paired(first: Score, second: Score) -> tuple[Lead, float] | None:
    """The first's lead in UAR on the runs that both have, over people, and McNemar's p; None when they share none."""
    common = sorted(first.runs.keys() & second.runs.keys())
    if not common:
        return None
    ours, theirs = first.right(common), second.right(common)
    keys = sorted(ours.keys() & theirs.keys())
    labels = np.array([first.labels[clip_id] for _, clip_id in keys])
    here, there = (np.array([side[key] for key in keys]) for side in (ours, theirs))
    people = [first.people[clip_id] for _, clip_id in keys]
    lead = leads(labels, here, there, first.names, SAMPLES, CONFIDENCE, people)["UAR"]
    return lead, float(mcnemar(here, there)["p"])


def tables(cells: list[Cell]) -> list[Table]:
    """UAR of every row in every cell; then each cell with intervals and the leads of GRACE."""
    names = list(dict.fromkeys(name for cell in cells for name in cell.scores))
    grid = [
        (name, *(f"{cell.scores[name].uar:.1f}" if name in cell.scores else "" for cell in cells)) for name in names
    ]
    columns = ("UAR, %", *(f"{cell.vision}, {cell.text}" for cell in cells))
    return [table("all cells: vision, text", columns, grid), *(cell_table(cell) for cell in cells)]


def cell_table(cell: Cell) -> Table:
    """One row per method, control, probe and part."""
    p_values = holm({name: tests[0].p for name, tests in _tests(cell).items()})
    rows: list[tuple[str, ...] | None] = []
    for name, one in cell.scores.items():
        low, high = one.interval()
        point = one.point
        seeds = one.by_seed()
        spread = f"± {np.std(seeds, ddof=1):.1f}" if len(seeds) > 1 else ""
        of_uar = (name, str(len(one.runs)), f"{one.uar:.1f}", spread, f"{low:.1f} … {high:.1f}")
        others = (f"{100 * point['WAR']:.1f}", f"{100 * np.mean(list(one.validation.values())):.1f}")
        rows.append((*of_uar, *others, *_lead(cell, name, p_values)))
    title = f"vision {cell.vision}, text {cell.text}: test clips, in %; intervals over people; p corrected (Holm)"
    columns = ("row", "runs", "UAR", "seeds", "95 %", "WAR", "validation", "lead of grace", "95 %", "p", "McNemar")
    return table(title, columns, rows)


def curve_tables(curves: Mapping[str, Mapping[str, float]], cells: Iterable[Cell]) -> Iterator[Table]:
    """UAR by the share of the training clips that was learned from; a point is named ``<row> at <share>``."""
    whole = {cell_name(cell): {name: one.uar for name, one in cell.scores.items()} for cell in cells}
    for cell, points in curves.items():
        rows = list(dict.fromkeys(name.rpartition(" at ")[0] for name in points))
        shares = sorted({float(name.rpartition(" at ")[2]) for name in points})
        lines = [
            (
                row,
                *(f"{points[key]:.1f}" if (key := f"{row} at {share:g}") in points else "" for share in shares),
                f"{whole[cell][row]:.1f}" if row in whole.get(cell, {}) else "",
            )
            for row in rows
        ]
        columns = ("UAR, %", *(f"{share:.0%}" for share in shares), "all")
        yield table(f"vision and text {cell}: learned from a share of the training clips", columns, lines)


def _tests(cell: Cell) -> dict[str, tuple[Lead, float]]:
    """GRACE against every other row."""
    if "grace" not in cell.scores:
        return {}
    found = {name: paired(cell.scores["grace"], one) for name, one in cell.scores.items() if name != "grace"}
    return {name: tests for name, tests in found.items() if tests}


def _lead(cell: Cell, name: str, p_values: dict[str, float]) -> tuple[str, str, str, str]:
    if name == "grace" or name not in p_values:
        return ("", "", "", "")
    tests = paired(cell.scores["grace"], cell.scores[name])
    assert tests is not None
    lead, p = tests
    low, high = 100 * lead.low, 100 * lead.high
    equal = " =" if low >= -MARGIN and high <= MARGIN else ""
    return (f"{100 * lead.difference:+.1f}", f"{low:+.1f} … {high:+.1f}{equal}", f"{p_values[name]:.3f}", f"{p:.3f}")


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p corrected for the number of comparisons in a cell (Holm 1979)."""
    ordered = sorted(p_values, key=lambda name: p_values[name])
    corrected, least = {}, 0.0
    for rank, name in enumerate(ordered):
        least = max(least, min(1.0, (len(ordered) - rank) * p_values[name]))
        corrected[name] = least
    return corrected


def figures(cells: list[Cell]) -> dict[str, Any]:
    """The keys of the claim, and what they rest on."""
    found = {cell_name(cell): _figures(cell) for cell in cells}
    probes = {f"{cell_name(cell)}, {method}": round(gain, 2) for cell in cells for method, gain in cell.probe_gains()}
    gains = [(cell.vision, _grace_gain(found[cell_name(cell)]["uar"])) for cell in cells]
    general = [gain for vision, gain in gains if gain is not None and vision in GENERAL_VISION]
    pocket = [gain for vision, gain in gains if gain is not None and vision not in GENERAL_VISION]
    return {
        "grace_gain": min(general, default=None),
        "grace_gain_pocket": min(pocket, default=None),
        "probe_gain": min(probes.values(), default=None),
        "cells": found,
        "probe_gains": probes,
    }


def cell_name(cell: Cell) -> str:
    """``dinov2, noisy``."""
    return f"{cell.vision}, {cell.text}"


def _grace_gain(uar: Mapping[str, float]) -> float | None:
    rivals = [uar[name] for name in RIVALS if name in uar]
    return round(uar["grace"] - max(rivals), 2) if rivals and "grace" in uar else None


def _figures(cell: Cell) -> dict[str, Any]:
    tests = _tests(cell)
    corrected = holm({name: lead.p for name, (lead, _) in tests.items()})
    found: dict[str, Any] = {"uar": {name: round(one.uar, 2) for name, one in cell.scores.items()}}
    found["runs"] = {name: len(one.runs) for name, one in cell.scores.items()}
    found["best_rival"] = cell.best(RIVALS)
    found["leads"] = {
        name: {
            "lead": round(100 * lead.difference, 2),
            "low": round(100 * lead.low, 2),
            "high": round(100 * lead.high, 2),
            "p": round(corrected[name], 4),
        }
        for name, (lead, _) in tests.items()
    }
    return found
