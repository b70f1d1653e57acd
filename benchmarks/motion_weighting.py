"""Does motion say where to look, and when? The label as a linear classifier reads it from one mean of a clip's patches.

The visual marginal of `grace` is b ∝ softmax(saliency) · (m + ε)^γ. Before anything is trained it is (m + ε)^γ alone:
each row is a logistic regression on the patches' mean under that weight, for several γ. `place` keeps only what motion
says within each frame and gives all instants the same share, `time` only each instant's share. Penalties are chosen on
the validation clips, the test clips are read once per row. The set is the ablation's world, which benchmarks.ablation
makes; for another set no file is written.

    python -m benchmarks.motion_weighting [--quick] [--folds 1,2,3,4,5] [--data data/demo]

Ends with one line of JSON: the UAR of each row, such as "no motion" and "γ 1", mean of the folds, kept in
benchmarks/results/weighting.json (a diagnosis without a goal).

--quick on the demo takes 29 s of processor time; the full run reads 12 times the clips and fits 5 folds.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from benchmarks.harness import Benchmark, add_world_options
from benchmarks.linear_probe_labels import WORLD, score, uar_table
from grace.trainer.data import Cache, Subset
from grace.trainer.protocol import split
from grace.trainer.settings import TrainSettings

GAMMAS = (0.5, 1.0, 2.0, 4.0)
BATCH = 32

BENCHMARK = Benchmark("weighting", __doc__, keys=("no motion", "γ 1"), quick="the first fold only")


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    add_world_options(options, WORLD / "cells/pocket-pocket", WORLD / "raw", folds="1,2,3,4,5")
    return options


def main() -> None:
    """Pool under every weight, fit, print the table and the line of JSON."""
    args = parser().parse_args()
    folds = args.folds[:1] if args.quick else args.folds
    cache = Cache(args.data)
    usable = [clip_id for clip_id in cache.rows if not cache.failure(clip_id)]
    place = {clip_id: index for index, clip_id in enumerate(usable)}
    reached: dict[str, list[float]] = {}
    for name, pooled in means(Subset(cache, tuple(usable))).items():
        for number in folds:
            fold = split(cache, number, TrainSettings())
            parts = (fold.selection.train, fold.selection.validation, fold.test)
            sides = [pooled[[place[clip_id] for clip_id in part.clip_ids]] for part in parts]
            one = score(sides, [part.labels for part in parts], len(cache.labels))
            reached.setdefault(name, []).append(one)
    figures = {name: round(float(np.mean(values)), 4) for name, values in reached.items()}
    keep = not args.quick and args.data == parser().get_default("data")
    BENCHMARK.report(figures, keep=keep, tables=[uar_table(reached, folds)])


def means(part: Subset) -> dict[str, Float[np.ndarray, "clips width"]]:
    """The mean of each clip's patches under every weight, by the weight's name."""
    found: dict[str, list[np.ndarray]] = {}
    for batch, _ in tqdm(part.batches(BATCH), unit="batch", total=math.ceil(len(part) / BATCH)):
        for name, weight in weights(batch.motion + TrainSettings().motion_floor).items():
            mean = weight.flatten(1)[:, None] @ batch.visual.flatten(1, 2)
            found.setdefault(name, []).append(mean[:, 0].numpy())
    return {name: np.concatenate(batches) for name, batches in found.items()}


def weights(moved: Float[Tensor, "batch instants patches"]) -> dict[str, Float[Tensor, "batch instants patches"]]:
    """Each row's share of every patch and instant; a clip's shares sum to 1."""
    _, instants, patches = moved.shape
    found = {"no motion": torch.full_like(moved, 1 / (instants * patches))}
    for gamma in GAMMAS:
        both = moved**gamma / (moved**gamma).sum((1, 2), keepdim=True)
        when = both.sum(2, keepdim=True)  # the share of each instant
        found |= {
            f"γ {gamma:g}": both,
            f"γ {gamma:g}, place": both / when / instants,
            f"γ {gamma:g}, time": (when / patches).expand_as(moved),
        }
    return found


if __name__ == "__main__":
    main()
