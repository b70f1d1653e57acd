"""Does GRACE earn its parts? Methods, controls and probes in each cell of a grid: level of vision × level of text.

``bench.md`` holds the levels, their targets and the predictions, written before any method ran. Three worlds that share
no clip: knobs are set on the first by linear readings of one side at a time, learning rates are chosen on the second,
and the third is used once, protocol held-out. Each clip of its TESTED_FOLDS folds by people is tested once per seed.

    python -m benchmarks.ablation --set            # linear readings of the levels, on the world for setting knobs
    python -m benchmarks.ablation --choose         # each method's learning rate, on the world for choosing
    python -m benchmarks.ablation                  # the final run; start it again after any stop, it continues
    python -m benchmarks.ablation --table          # the tables of the finished runs
    python -m benchmarks.ablation --quick          # a small world, two cells, few epochs: that it works

DINOv2-small and MiniLM are read from --real-models, a folder that holds them as the Hugging Face folders
``dinov2-small`` and ``minilm``; without it all cells but those of the pocket CLIP are left out, which a line says.

Ends with one line of JSON: grace_gain (goal >= 3), the least UAR lead of GRACE in points over the best of vision,
template and narrative in the cells with general vision; grace_gain_pocket (goal >= 0), the same with the pocket CLIP;
probe_gain (goal >= 0), the least lead of a method over the best probe of the sides that it reads, in any cell.

In full it is 480 trainings of at most 12 epochs on 1,000 clips.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
from tqdm import tqdm

from benchmarks.ablation_caches import Caches, World
from benchmarks.ablation_levels import DECIDING, TEXTS, TWO_SPACES, VISIONS, Noise
from benchmarks.ablation_readings import readings
from benchmarks.ablation_runs import RUN, keep, predictions_of, scores, validation_uar, with_kept
from benchmarks.ablation_table import Cell, Score, curve_tables, figures, tables
from benchmarks.harness import PROJECT, Benchmark, progress
from grace.pipeline.execution.processes import exit_with_parent
from grace.pipeline.store import UserError

SETTING = World("setting", seed=101, clips=750, people=60)
CHOOSING = World("choosing", seed=102, clips=500, people=40)
FINAL = World("final", seed=103, clips=1000, people=80)
SMALL = World("quick", seed=104, clips=112, people=20)

TESTED_FOLDS = 3  # tested, of each world's five
CHOOSING_FOLDS = 2
EPOCHS = 12
RATES = (5e-4, 1e-3, 2e-3)
RATES_FILE = PROJECT / "benchmarks/ablation_rates.json"
SEEDS = 3  # in the cells that decide; one elsewhere

BENCHMARK = Benchmark(
    "ablation",
    __doc__,
    keys=("grace_gain", "grace_gain_pocket", "probe_gain", "cells", "learning_rates"),
    quick="a small world, two cells, few epochs",
)


@dataclass(frozen=True)
class Row:
    """One row of a cell's table: a method, or GRACE with a part changed."""

    name: str
    method: str
    changed: dict[str, Any] = field(default_factory=dict)
    kind: str = "method"  # or control, probe, part, curve

    @property
    def reads_text(self) -> bool:
        """Whether its runs differ between the texts of a level of vision."""
        return self.method not in ("vision", "template", "queries") and self.changed.get("probe") != "video"


ROWS = (
    Row("vision", "vision"),
    Row("template", "template"),
    Row("narrative", "narrative"),
    Row("grace", "grace"),
    Row("text", "text", kind="control"),
    Row("queries", "queries", kind="control"),
    Row("grace, shuffled texts", "grace", {"text": "shuffled"}, "control"),
    Row("probe of the video", "probe", {"probe": "video"}, "probe"),
    Row("probe of the text", "probe", {"probe": "text"}, "probe"),
    Row("probe of both", "probe", {"probe": "both"}, "probe"),
)
PARTS = (
    Row("no motion", "grace", {"motion_attention": False, "motion_marginal": False}, "part"),
    Row("attention, not transport", "grace", {"transport": False}, "part"),
    Row("no contrastive term", "grace", {"contrastive_weight": 0.0}, "part"),
    Row("heads joined evenly", "grace", {"join": "sum"}, "part"),
)
"""Removed one by one in the cells that decide."""

EPOCHS_AT = {0.05: 60, 0.1: 40, 0.25: 24}
"""Of each share of the training clips: fewer clips make shorter epochs, of which every method has equally many more."""
CURVES = tuple(
    Row(f"{row.name} at {share:g}", row.method, {**row.changed, "train_size": share, "epochs": epochs}, "curve")
    for row in ROWS
    if row.name in ("vision", "text", "narrative", "grace", "probe of both")
    for share, epochs in EPOCHS_AT.items()
)
"""Learning curves in the cells that decide, one seed; their last point is the row itself."""


@dataclass(frozen=True)
class Job:
    """One training run: its cache, where its runs lie, its fold and settings."""

    cache: Path
    runs: Path
    fold: int
    settings: dict[str, Any]

    @property
    def folder(self) -> Path:
        """The run's own folder."""
        return self.runs / self.settings["method"] / f"fold-{self.fold}"


@dataclass(frozen=True)
class Bench:
    """A world, its caches and its runs."""

    caches: Caches
    texts: tuple[str, ...] = TEXTS
    folds: int = TESTED_FOLDS
    epochs: int = EPOCHS
    decided: tuple[tuple[str, str], ...] = DECIDING
    seeds: int = SEEDS

    @property
    def cells(self) -> list[tuple[str, str]]:
        """All cells that can be had here."""
        return [(vision, text) for vision in self.caches.visions for text in self.texts]

    def rows(self, cell: tuple[str, str]) -> tuple[Row, ...]:
        """The rows of a cell's table."""
        return self.rows_of(cell[0]) + (PARTS if cell in self.decided else ())

    @staticmethod
    def rows_of(vision: str) -> tuple[Row, ...]:
        """The rows that a level of vision can have: ``template`` compares tokens of one space."""
        return tuple(row for row in ROWS if vision not in TWO_SPACES or row.method != "template")

    def curves(self, cell: tuple[str, str]) -> tuple[Row, ...]:
        """The points of a cell's learning curves."""
        return CURVES if cell in self.decided else ()

    def seeds_of(self, cell: tuple[str, str]) -> int:
        """How many seeds a cell has."""
        return self.seeds if cell in self.decided else 1

    def job(self, cell: tuple[str, str], row: Row, fold: int, seed: int, rate: float) -> Job:
        """A run. Rows that read no text have the same runs in all cells of a level of vision."""
        vision, text = cell if row.reads_text else (cell[0], self.texts[0])
        name = f"{vision}-{text}" if row.reads_text else vision
        runs = self.caches.folder / "runs" / name / row.name.replace(",", "").replace(" ", "-") / f"{rate:g}-{seed}"
        settings = {"method": row.method, "seed": seed, "learning_rate": rate, "epochs": self.epochs, **row.changed}
        return Job(self.caches.cell(vision, text), runs, fold, settings)

    def jobs(self, rates: dict[str, float]) -> list[Job]:
        """All runs: the first seed of every cell, those that decide before others; learning curves; the other seeds."""
        wanted = [
            (cell, row, seed)
            for seed in range(self.seeds)
            for rows in ((self.rows, self.curves) if seed == 0 else (self.rows,))
            for cell in sorted(self.cells, key=lambda cell: cell not in self.decided)
            if seed < self.seeds_of(cell)
            for row in rows(cell)
        ]
        found = {
            one.folder: one
            for cell, row, seed in wanted
            for fold in range(1, self.folds + 1)
            for one in [self.job(cell, row, fold, seed, rate_of(rates, cell, row))]
        }
        return list(found.values())


def rate_of(rates: dict[str, float], cell: tuple[str, str], row: Row) -> float:
    """The learning rate of a row: that of its method at this level of vision; a probe has none."""
    key = f"{cell[0]} {row.method}"
    if row.method != "probe" and rates and key not in rates:
        raise UserError(f"No learning rate is chosen for {key}: run `python -m benchmarks.ablation --choose` first.")
    return rates.get(key, 1e-3)


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument("--set", action="store_true", help="linear readings of one side at a time")
    options.add_argument("--choose", action="store_true", help="each method's learning rate")
    options.add_argument("--table", action="store_true", help="train nothing")
    options.add_argument("--real-models", type=Path, help="folder with dinov2-small and minilm")
    options.add_argument("--vision", nargs="+", choices=VISIONS, default=VISIONS, help="levels, all if not given")
    options.add_argument("--text", nargs="+", choices=TEXTS, default=TEXTS, help="levels, all if not given")
    options.add_argument("--work", type=Path, default=PROJECT / "data/ablation", help="where everything is kept")
    options.add_argument("--workers", type=int, default=2, help="training runs side by side, one thread each")
    return options


def main() -> None:
    """Set, choose, or run what is missing and report."""
    args = parser().parse_args()
    world = SETTING if args.set else CHOOSING if args.choose else SMALL if args.quick else FINAL
    bench = Bench(Caches(args.work, world, Noise(), args.real_models, tuple(args.vision)), tuple(args.text))
    if args.real_models is None and not args.quick:
        progress("Without --real-models there are only the cells of the pocket CLIP.")
    if args.choose:
        bench = Bench(bench.caches, ("noisy",), CHOOSING_FOLDS)
    if args.quick:
        bench = Bench(Caches(args.work, world, Noise(), None, ("pocket",)), ("true", "noisy"), 1, 2, (), 1)
    if not args.table:
        bench.caches.make([cell for cell in bench.cells if not (args.set and cell[1] == "pocket")])
    if args.set:
        readings(bench.caches, bench.cells, bench.folds)
    elif args.choose:
        choose(bench, args.workers)
    else:
        rates = {} if args.quick else chosen()
        if not args.table:
            run_all(bench.jobs(rates), args.workers, "runs")
        finish(bench, rates, args.quick)


def choose(bench: Bench, workers: int) -> None:
    """The learning rate of each method and level of vision: the best mean validation UAR over the folds."""
    rows = [
        (vision, row)
        for vision in bench.caches.visions
        for row in bench.rows_of(vision)
        if row.kind != "probe" and not row.changed
    ]
    jobs = {
        (vision, row.method, rate): [
            bench.job((vision, "noisy"), row, fold, 0, rate) for fold in range(1, bench.folds + 1)
        ]
        for vision, row in rows
        for rate in RATES
    }
    run_all([one for folds in jobs.values() for one in folds], workers, "choosing")
    reached = {key: fmean(validation_uar(one.folder) for one in folds) for key, folds in jobs.items()}
    best = {
        f"{vision} {row.method}": max(RATES, key=lambda rate: reached[vision, row.method, rate]) for vision, row in rows
    }
    for (vision, method, rate), value in reached.items():
        progress(f"{vision:8} {method:10} {rate:g}  {100 * value:.1f}")
    RATES_FILE.write_text(json.dumps(chosen() | best, indent=2, sort_keys=True) + "\n")


def chosen() -> dict[str, float]:
    """What ``--choose`` wrote, the levels of vision that other machines chose for among it."""
    rates: dict[str, float] = json.loads(RATES_FILE.read_text()) if RATES_FILE.exists() else {}
    return rates


def run_all(jobs: list[Job], workers: int, name: str) -> None:
    """Train every run that is missing, several side by side."""
    with ProcessPoolExecutor(workers, get_context("spawn"), exit_with_parent) as pool:
        waiting = [pool.submit(train_one, one) for one in jobs]
        try:
            for future in tqdm(as_completed(waiting), name, len(waiting), unit="run"):
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def train_one(job: Job) -> None:
    """One run; a finished one from the same cache and settings is left as it is."""
    from grace.trainer.settings import TrainSettings
    from grace.trainer.train import train

    train(job.cache, TrainSettings.model_validate(job.settings), job.fold, job.runs, quiet=True)


def finish(bench: Bench, rates: dict[str, float], quick: bool) -> None:
    """Print the tables of the finished runs, kept ones among them, and the line of JSON; keep the final run's."""
    found = list(_found(bench, rates))
    if not found:
        raise UserError(f"There is no finished run in {bench.caches.folder}: start the benchmark without --table.")
    table = pd.concat(found) if quick else with_kept(found)
    scored: dict[tuple[str, str], dict[str, Score]] = {}
    for vision, text, row, one in scores(table):
        scored.setdefault((vision, text), {})[row] = one
    cells, curves = [], {}
    for cell in (each for each in product(VISIONS, TEXTS) if each in scored):
        kinds = {row.name: row.kind for row in bench.rows(cell) if row.name in scored[cell]}
        cells.append(Cell(*cell, {name: scored[cell][name] for name in kinds}, kinds))
        if points := {row.name: round(scored[cell][row.name].uar, 2) for row in CURVES if row.name in scored[cell]}:
            curves[", ".join(cell)] = points
    if not quick:
        keep(table)
    found_figures = figures(cells) | {"curves": curves, "learning_rates": rates}
    BENCHMARK.report(found_figures, keep=not quick, tables=[*tables(cells), *curve_tables(curves, cells)])


def _found(bench: Bench, rates: dict[str, float]) -> Iterator[pd.DataFrame]:
    """The predictions of every finished run here."""
    people = bench.caches.people()
    for cell in bench.cells:
        for row in (*bench.rows(cell), *bench.curves(cell)):
            for seed, fold in product(range(bench.seeds_of(cell)), range(1, bench.folds + 1)):
                job = bench.job(cell, row, fold, seed, rate_of(rates, cell, row))
                run: dict[str, str | int] = dict(zip(RUN, (*cell, row.name, seed, fold), strict=True))
                if (read := predictions_of(job.folder, run, people)) is not None:
                    yield read


if __name__ == "__main__":
    main()
