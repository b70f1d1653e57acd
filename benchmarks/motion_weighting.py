"""Does motion say where to look, and when? The label as a linear classifier reads it from one mean of a clip's patches.

The visual marginal of `grace` is b ∝ softmax(saliency) · (m + ε)^γ. Before anything is trained it is (m + ε)^γ alone:
each row is a logistic regression on the patches' mean under that weight, for several γ. `place` keeps only what motion
says within each frame and gives all instants the same share, `time` only each instant's share. Penalties are chosen on
the validation clips, the test clips are read once a row. The set is the ablation's world, which benchmarks/ablation.py
makes; of another set no file is written.

    python benchmarks/motion_weighting.py [--folds 1,2,3,4,5] [--data data/demo]

Ends with one line of JSON: the UAR of each row, mean of the folds; kept in benchmarks/results/weighting.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from readable import PROJECT, WORLD, score, table
from rich.console import Console
from torch import Tensor
from tqdm import tqdm

from grace.pipeline.store import write_atomic
from grace.trainer.data import Cache, Subset
from grace.trainer.model import ModelConfig
from grace.trainer.protocol import split
from grace.trainer.settings import TrainSettings

GAMMAS = (0.5, 1.0, 2.0, 4.0)
BATCH = 32


def main() -> None:
    """Pool under every weight, fit, print the table and the line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=WORLD / "data/fine")
    parser.add_argument("--folds", default="1,2,3,4,5")
    chosen = parser.parse_args()
    folds = [int(fold) for fold in chosen.folds.split(",")]
    cache = Cache(chosen.data)
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
    Console(highlight=False).print(table(reached, folds))
    figures = {name: round(float(np.mean(values)), 4) for name, values in reached.items()}
    if chosen.data == parser.get_default("data"):
        write_atomic(PROJECT / "benchmarks/results/weighting.json", (json.dumps(figures, indent=2) + "\n").encode())
    print(json.dumps(figures))


def means(part: Subset) -> dict[str, Float[np.ndarray, "clips width"]]:
    """The mean of each clip's patches under every weight, by the weight's name."""
    found: dict[str, list[np.ndarray]] = {}
    for batch, _ in tqdm(part.batches(BATCH), unit="batch", total=-(-len(part) // BATCH)):
        for name, weight in weights(batch.motion + ModelConfig.motion_floor).items():
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
