"""Could GRACE lead where it does not? Variants of it in the cells that decide, on validation clips alone.

Each variant answers one suspected cause (``bench.md``, section on tries, written before any of them ran): words that
nothing shows take as much mass as true ones; words are too many and too weakly trained; too many parameters for some
hundred clips; plans too flat or too sharp. They run on the world for choosing, all else as in `benchmarks.ablation`,
whose options these are; no clip of the final world is read.

    python -m benchmarks.ablation_variants [--quick] [--work FOLDER] [--real-models FOLDER]

Ends with one line of JSON: best_gain, the largest mean lead in points of validation UAR over ``grace`` as it is, in any
cell (a diagnosis without a goal); and of each cell and variant its validation UAR, lead and standard error over runs.

--quick trains four variants for two epochs on a small world with the pocket CLIP.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.ablation import CHOOSING, SMALL, Bench, Job, Row, chosen, rate_of, run_all
from benchmarks.ablation_caches import Caches
from benchmarks.ablation_levels import DECIDING, Noise
from benchmarks.ablation_runs import validation_uar
from benchmarks.harness import PROJECT, Benchmark, progress, table

FOLDS, SEEDS = 5, 2

BENCHMARK = Benchmark("ablation_variants", __doc__, keys=("best_gain",), quick="four variants, two epochs")


@dataclass(frozen=True)
class Variant:
    """A change of ``grace``, or a rival beside it."""

    name: str
    cause: str
    changed: dict[str, Any] = field(default_factory=dict)
    method: str = "grace"
    text_unit: str = "word"

    @property
    def row(self) -> Row:
        """As the bench runs it."""
        return Row(self.name, self.method, self.changed)


VARIANTS = (
    Variant("grace", ""),
    Variant("vision", "rival", method="vision"),
    Variant("narrative", "rival", method="narrative"),
    Variant("text relaxed, 0.2", "words that nothing shows", {"text_relaxation": 0.2}),
    Variant("text relaxed, 0.05", "words that nothing shows", {"text_relaxation": 0.05}),
    Variant("a token per cue", "many, weakly trained words", text_unit="cue"),
    Variant("cues, text relaxed, 0.05", "both of these", {"text_relaxation": 0.05}, text_unit="cue"),
    Variant("hidden 32", "too many parameters", {"hidden": 32}),
    Variant("dropout 0.4", "too many parameters", {"dropout": 0.4}),
    Variant("epsilon 0.02", "plans too flat", {"epsilon": 0.02}),
    Variant("epsilon 0.2", "plans too sharp", {"epsilon": 0.2}),
)


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument("--real-models", type=Path, help="folder with dinov2-small and minilm")
    options.add_argument("--work", type=Path, default=PROJECT / "data/ablation", help="where everything is kept")
    options.add_argument("--workers", type=int, default=2, help="training runs side by side, one thread each")
    return options


def main() -> None:
    """Train what is missing, print a table per cell and the line of JSON."""
    args = parser().parse_args()
    if args.real_models is None and not args.quick:
        progress("There is nothing to do without --real-models: the cells that decide have general vision.")
        return
    caches = Caches(args.work, SMALL if args.quick else CHOOSING, Noise(), args.real_models)
    cells = (("pocket", "noisy"),) if args.quick else DECIDING
    variants = (VARIANTS[0], *VARIANTS[3:6]) if args.quick else VARIANTS
    bench = Bench(caches, ("noisy",), 1, 2) if args.quick else Bench(caches, ("noisy",), FOLDS)
    rates = {} if args.quick else chosen()
    runs = {
        (cell, variant.name): list(jobs(bench, cell, variant, rates, 1 if args.quick else SEEDS))
        for cell in cells
        for variant in variants
    }
    for unit in sorted({variant.text_unit for variant in variants}, reverse=True):
        replace(caches, text_unit=unit).make(list(cells))
    run_all([job for each in runs.values() for job in each], args.workers, "variants")
    scores = {key: [100 * validation_uar(job.folder) for job in each] for key, each in runs.items()}
    found = {", ".join(cell): summary(cell, variants, scores) for cell in cells}
    best = max(each["lead"] for rows in found.values() for each in rows.values())
    figures = {"best_gain": round(best, 2), "cells": found}
    BENCHMARK.report(figures, keep=not args.quick, tables=[tabulated(cell, rows) for cell, rows in found.items()])


def jobs(bench: Bench, cell: tuple[str, str], variant: Variant, rates: dict[str, float], seeds: int) -> Iterator[Job]:
    """The runs of a variant in a cell."""
    own = replace(bench, caches=replace(bench.caches, text_unit=variant.text_unit))
    for seed in range(seeds):
        for fold in range(1, bench.folds + 1):
            yield own.job(cell, variant.row, fold, seed, rate_of(rates, cell, variant.row))


def summary(
    cell: tuple[str, str], variants: tuple[Variant, ...], scores: dict[tuple[tuple[str, str], str], list[float]]
) -> dict[str, dict[str, float]]:
    """Of each variant: validation UAR, its lead over the first one in points, and the standard error of that."""
    base, found = scores[cell, variants[0].name], {}
    for variant in variants:
        own = scores[cell, variant.name]
        leads = [one - other for one, other in zip(own, base, strict=True)]
        error = stdev(leads) / sqrt(len(leads)) if len(leads) > 1 else 0.0
        found[variant.name] = {"uar": round(fmean(own), 1), "lead": round(fmean(leads), 2), "error": round(error, 2)}
    return found


def tabulated(cell: str, rows: dict[str, dict[str, float]]) -> Any:
    """A cell's table."""
    causes = {variant.name: variant.cause for variant in VARIANTS}
    lines = [
        (name, causes[name], f"{row['uar']:.1f}", f"{row['lead']:+.1f}", f"± {row['error']:.1f}")
        for name, row in rows.items()
    ]
    return table(
        f"{cell}: validation UAR, %", ("variant", "suspected cause", "UAR", "lead", "error"), lines, text_columns=2
    )


if __name__ == "__main__":
    main()
