"""Where words land in each cell of the ablation's grid: the plans of its trained runs, and plain cosine.

As `benchmarks.grounding`, on the final world of `benchmarks.ablation` and with its runs, whose options these are: the
plan of `grace`; in the cells that decide also of `grace` with cross-attention in the place of transport; and, where
video and text share a space, softmax(cos/epsilon) of the cached tokens. Test clips of all folds, first seed.

    python -m benchmarks.ablation_grounding [--quick] [--work FOLDER] [--real-models FOLDER]

Ends with one line of JSON: grounding_lead (goal > 0), the least lead of `grace` in lift over cosine or cross-attention
in the cells with general vision; and every lift by cell.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.ablation import FINAL, PARTS, ROWS, SMALL, Bench, chosen, rate_of
from benchmarks.ablation_caches import Caches
from benchmarks.ablation_levels import GENERAL_VISION, Noise
from benchmarks.grounding import Landing, landings_of, lift_of
from benchmarks.harness import PROJECT, Benchmark, progress, table
from grace.pipeline.store import UserError
from grace.trainer.classifier import TokenClassifier
from grace.trainer.data import Cache
from grace.trainer.protocol import split
from grace.trainer.runs import FILES
from grace.trainer.settings import TrainSettings

TRAINED = {
    "grace": next(row for row in ROWS if row.name == "grace"),
    "cross-attention": next(row for row in PARTS if row.changed.get("transport") is False),
}
WAYS = (*TRAINED, "cosine")

BENCHMARK = Benchmark(
    "ablation_grounding", __doc__, keys=("grounding_lead", "cells"), quick="the ablation's quick world, one fold"
)


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument("--real-models", type=Path, help="folder with dinov2-small and minilm")
    options.add_argument("--work", type=Path, default=PROJECT / "data/ablation", help="where the ablation is kept")
    return options


def main() -> None:
    """The lifts of each cell that has trained runs."""
    args = parser().parse_args()
    if args.quick:
        bench = Bench(Caches(args.work, SMALL, Noise(), None, ("pocket",)), ("true", "noisy"), 1, 2, (), 1)
    else:
        bench = Bench(Caches(args.work, FINAL, Noise(), args.real_models))
    rates = {} if args.quick else chosen()
    lifts: dict[str, dict[str, list[float]]] = {}
    words: dict[str, int] = {}
    for cell in bench.cells:
        landings = list(landings_in(bench, cell, rates))
        ways = [way for way in WAYS if any(one.way == way for one in landings)]
        if ways:
            name = ", ".join(cell)
            lifts[name] = {way: [round(lift, 2) for lift in lift_of(landings, way)] for way in ways}
            words[name] = sum(one.way == ways[0] for one in landings)
            progress(f"{name}: {words[name]} words")
    if not lifts:
        raise UserError(
            f"There is no finished run in {bench.caches.folder}: run `python -m benchmarks.ablation` first."
        )
    lines = [
        (cell, way, str(words[cell]), *(f"{lift:.2f}" for lift in lift))
        for cell, ways_of in lifts.items()
        for way, lift in ways_of.items()
    ]
    shown = table("mass over chance", ("cell", "way", "words", "part", "moment", "both"), lines, text_columns=2)
    BENCHMARK.report(figures(lifts, words), keep=not args.quick, tables=[shown])


def landings_in(bench: Bench, cell: tuple[str, str], rates: dict[str, float]) -> Iterator[Landing]:
    """Every word of a cell's test clips that names a part of the face that moves, each way."""
    data = bench.caches.cell(*cell)
    tokens = bench.caches.settings(cell[0]).tokens
    for fold in range(1, bench.folds + 1):
        jobs = {way: bench.job(cell, row, fold, 0, rate_of(rates, cell, row)) for way, row in TRAINED.items()}
        classifiers = {
            way: TokenClassifier.from_pretrained(job.folder)
            for way, job in jobs.items()
            if all((job.folder / name).exists() for name in FILES)
        }
        if "grace" in classifiers:
            clips = set(split(Cache(data), fold, TrainSettings()).test.clip_ids)
            epsilon = TrainSettings().epsilon
            yield from landings_of(data, bench.caches.folder / "raw", classifiers, tokens, clips, epsilon)


def figures(lifts: dict[str, dict[str, list[float]]], words: dict[str, int]) -> dict[str, Any]:
    """The key of the claim, and the lifts it rests on."""
    leads = [
        ways["grace"][0] - max(lift[0] for way, lift in ways.items() if way != "grace")
        for cell, ways in lifts.items()
        if cell.split(", ")[0] in GENERAL_VISION and len(ways) > 1
    ]
    cells = {
        cell: {
            "words": words[cell],
            **{way: dict(zip(("part", "moment", "both"), lift, strict=True)) for way, lift in ways.items()},
        }
        for cell, ways in lifts.items()
    }
    return {"grounding_lead": round(min(leads), 2) if leads else None, "cells": cells}


if __name__ == "__main__":
    main()
