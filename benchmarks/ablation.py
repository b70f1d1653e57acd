"""GRACE earns its parts: four methods, and GRACE with each part removed alone, on the rendered world.

One world, one cache, one loop, one tuning budget: for each method the learning rate is chosen among the same RATES on
the validation clips of fold 1, mean of all seeds; GRACE without a part keeps GRACE's. Test folds are read once,
protocol held-out. Each clip is in the test part of one fold; every run is repeated with several seeds (Size below).
Difficulty is frozen as DIFFICULTY below, set so that `vision` reaches UAR 0.55 to 0.70, before any method is compared.

    python -m benchmarks.ablation                  # all of it; start it again after any stop, it continues
    python -m benchmarks.ablation --calibrate      # the world and `vision` alone, to set DIFFICULTY
    python -m benchmarks.ablation --table          # the table of the finished runs
    python -m benchmarks.ablation --quick          # a small world, one seed, few epochs: that it works
    python -m benchmarks.ablation --quick --data data/demo    # the same on an existing cache

Ends with one line of JSON: grace_gain, the UAR lead over the best rival in points (goal >= 3), and parts, the lead of
GRACE over itself without each part (goal: each > 0).

--quick on the demo takes 112 s of processor time; in full it is 246 trainings of 12 epochs on 2,400 clips.
"""

from __future__ import annotations

import argparse
import math
import shutil
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any

from tqdm import tqdm

from benchmarks.ablation_caches import FOLDERS, make_caches, world_settings
from benchmarks.ablation_table import Score, figures, score, table, validation_uar
from benchmarks.harness import PROJECT, Benchmark
from grace.pipeline.execution.processes import exit_with_parent
from grace.pipeline.store import UserError

DIFFICULTY = 2.0
"""Frozen before any other method was run: `vision` reached UAR 0.80, 0.77, 0.79 with three learning rates on fold 1 of
difficulty 1.0, and 0.61 and 0.70 on folds 1 and 2 of difficulty 2.0."""

RATES = (5e-4, 1e-3, 2e-3, 4e-3)


@dataclass(frozen=True)
class Variant:
    """One row of the table: a method, or GRACE without a part."""

    name: str
    method: str = "grace"
    changed: dict[str, Any] = field(default_factory=dict)
    text: str = "description"

    @property
    def rival(self) -> bool:
        """Whether it is a method of its own."""
        return self.method != "grace"


VARIANTS = (
    Variant("vision", "vision"),
    Variant("template", "template"),
    Variant("narrative", "narrative"),
    Variant("grace"),
    Variant("no motion in attention", changed={"motion_attention": False}),
    Variant("no motion in the marginal", changed={"motion_marginal": False}),
    Variant("motion over the clip", changed={"motion_normalisation": "clip"}),
    Variant("attention, not transport", changed={"transport": False}),
    Variant("columns held exactly", changed={"marginal_relaxation": math.inf}),
    Variant("one segment", changed={"segments": 1}),
    Variant("all patches", changed={"patch_dropout": 0.0}),
    Variant("coarse text", text="caption"),
    Variant("no contrastive term", changed={"contrastive_weight": 0.0}),
    Variant("no long-tail adjustment", changed={"logit_adjustment": 0.0}),
)


CALIBRATED = (Variant("vision", "vision", text="none"),)
"""What the world's difficulty is set by: no text is needed, so none is written."""


@dataclass(frozen=True)
class Size:
    """How much is run."""

    clips: int = 3000
    identities: int = 150
    folds: int = 5  # tested, of the world's five
    seeds: int = 3
    epochs: int = 12
    rates: tuple[float, ...] = RATES


QUICK = Size(clips=112, identities=20, folds=1, seeds=1, epochs=2, rates=(1e-3,))


@dataclass(frozen=True)
class Job:
    """One training run: where its cache and its runs lie, and its settings."""

    cache: Path
    runs: Path
    fold: int
    settings: dict[str, Any]


BENCHMARK = Benchmark(
    "ablation",
    __doc__,
    keys=("grace_gain", "best_rival", "rivals", "parts", "uar", "validation_uar", "learning_rates"),
    quick="a small world, one seed, few epochs",
)


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument("--calibrate", action="store_true", help="vision alone, one seed")
    options.add_argument("--table", action="store_true", help="train nothing")
    options.add_argument("--difficulty", type=float, default=DIFFICULTY, help="with --calibrate: another world")
    options.add_argument("--data", type=Path, help="a data set's folder, such as data/demo, instead of the world")
    options.add_argument("--work", type=Path, default=PROJECT / "data/ablation", help="where everything is kept")
    options.add_argument("--workers", type=int, default=2, help="training runs side by side, one thread each")
    return options


def main() -> None:
    """Make the world and its cache, tune, train what is missing, print the table and the line of JSON."""
    args = parser().parse_args()
    if args.difficulty != DIFFICULTY and not args.calibrate:
        parser().error("--difficulty goes with --calibrate: runs are compared on the frozen world only")
    size = QUICK if args.quick else Size()
    work = args.work / (args.data.name if args.data else f"{size.clips}-clips-difficulty-{args.difficulty:g}")
    variants = CALIBRATED if args.calibrate else VARIANTS
    kinds = ("none",) if args.calibrate else ("description", "caption")
    world = world_settings(work, size.clips, size.identities, args.difficulty)
    folders = {text: work / "data" / name for text, name in FOLDERS.items() if text in kinds}
    if not args.table:
        make_caches(world, folders, args.data)
    seeds = 1 if args.calibrate else size.seeds
    rates = tuned(work, folders, size, variants, seeds, args.workers, train_them=not args.table)
    if not args.table:
        keep_tuned(work, variants, rates, seeds)
        methods = [variant for variant in variants if variant.rival or variant.name == "grace"]
        parts = [variant for variant in variants if variant not in methods]
        jobs = [  # methods first: a table of them can be read while GRACE is still taken apart
            job(work, folders, variant, fold, seed, rates[variant.method], size)
            for rows in (methods, parts)
            for seed in range(seeds)
            for fold in range(1, size.folds + 1)
            for variant in rows
        ]
        run_all(jobs, args.workers, "runs")
    finish(work, size, variants, seeds, rates, args.quick or args.calibrate)


def tuned(
    work: Path,
    folders: dict[str, Path],
    size: Size,
    variants: Iterable[Variant],
    seeds: int,
    workers: int,
    train_them: bool,
) -> dict[str, float]:
    """The learning rate of each method: the one with the best mean validation UAR on fold 1 over the seeds.

    No test clip is looked at.
    """
    methods = [variant for variant in variants if variant.rival or variant.name == "grace"]
    jobs = {
        (variant.method, rate): [
            job(work / f"tuning/{rate:g}", folders, variant, 1, seed, rate, size) for seed in range(seeds)
        ]
        for variant in methods
        for rate in size.rates
    }
    if train_them and len(size.rates) > 1:
        run_all([one for repeated in jobs.values() for one in repeated], workers, "tuning")
    reached = {key: fmean(_reached(one) for one in repeated) for key, repeated in jobs.items()}
    return {variant.method: max(size.rates, key=lambda rate: reached[variant.method, rate]) for variant in methods}


def _reached(job: Job) -> float:
    folder = job.runs / job.settings["method"] / f"fold-{job.fold}"
    return validation_uar(folder) if (folder / "config.yaml").exists() else 0.0


def keep_tuned(work: Path, variants: Iterable[Variant], rates: dict[str, float], seeds: int) -> None:
    """The tuning runs with the chosen rates are the runs on fold 1: they are not made twice."""
    methods = [variant for variant in variants if variant.rival or variant.name == "grace"]
    for variant, seed in product(methods, range(seeds)):
        runs = runs_of(work, variant, seed) / variant.method / "fold-1"
        tuning = runs_of(work / f"tuning/{rates[variant.method]:g}", variant, seed) / variant.method / "fold-1"
        if tuning.exists() and not runs.exists():
            shutil.copytree(tuning, runs)


def job(work: Path, folders: dict[str, Path], variant: Variant, fold: int, seed: int, rate: float, size: Size) -> Job:
    """The training run of a variant, fold and seed."""
    settings = {"method": variant.method, "seed": seed, "learning_rate": rate, "epochs": size.epochs}
    return Job(folders[variant.text], runs_of(work, variant, seed), fold, settings | variant.changed)


def runs_of(work: Path, variant: Variant, seed: int) -> Path:
    """The folder of runs of a variant and a seed."""
    return work / "runs" / variant.name.replace(" ", "-").replace(",", "") / f"seed-{seed}"


def run_all(jobs: list[Job], workers: int, name: str) -> None:
    """Train every run that is missing, several side by side."""
    with ProcessPoolExecutor(workers, get_context("spawn"), exit_with_parent) as pool:
        waiting = [pool.submit(train_one, one) for one in jobs]
        for future in tqdm(as_completed(waiting), name, len(waiting), unit="run"):
            future.result()


def train_one(job: Job) -> None:
    """One run; a finished one from the same cache and settings is left as it is."""
    from grace.trainer.settings import TrainSettings
    from grace.trainer.train import train

    train(job.cache, TrainSettings.model_validate(job.settings), job.fold, job.runs, quiet=True)


def finish(
    work: Path, size: Size, variants: tuple[Variant, ...], seeds: int, rates: dict[str, float], trial: bool
) -> None:
    """Print the table of the finished runs, and the line of JSON; keep the figures of the full ablation."""
    scored: dict[str, Score] = {}
    for variant in variants:
        folders = [
            runs_of(work, variant, seed) / variant.method / f"fold-{fold}"
            for seed in range(seeds)
            for fold in range(1, size.folds + 1)
        ]
        if one := score(folders, rival=variant.rival):
            scored[variant.name] = one
    if not scored:
        raise UserError(f"There is no finished run in {work}: start the benchmark without --table.")
    found = figures(scored)
    found |= {"runs": f"{sum(len(one.runs) for one in scored.values())} of {len(variants) * seeds * size.folds}"}
    found |= {"learning_rates": rates}
    BENCHMARK.report(found, keep=not trial, tables=[table(scored)])


if __name__ == "__main__":
    main()
