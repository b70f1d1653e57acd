"""How firmly a plan should keep the visual marginal: mass of words that name a part of the face, before any training.

Plans of the cached tokens themselves (W_u = 0, words alike, no saliency), for motion in b as shares of each frame, of
the clip, or none, and for column weights from 0 (cross-attention) to infinite (Cuturi's transport). The pocket CLIP was
trained to know parts of the face, which real checkpoints know less well; so the same is asked of patches that are
blurred: mixed with their frame's class token, as patches of real CLIPs are, or drowned in noise.

    python -m benchmarks.marginal_relaxation [--quick] [--data data/demo] [--root raw/demo] [--folds 1,2]

Ends with one line of JSON: for each kind of patches, the lift on the part by row of the table, kept in
benchmarks/results/marginals.json (a diagnosis without a goal; grounding measures the claim).

--quick takes 36 s of processor time; the full run has twice the clips.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.grounding import NAMED, landed, lift_of, rows, truth, where_and_when
from benchmarks.harness import PROJECT, Benchmark, add_world_options, table
from grace.pipeline.visualize.alignment import merge_subwords
from grace.settings import load_settings
from grace.trainer.alignment import cosine_cost, cross_attention, sinkhorn, unit
from grace.trainer.batch import Batch
from grace.trainer.data import Cache, collate
from grace.trainer.layers import motion_scores
from grace.trainer.protocol import split
from grace.trainer.settings import TrainSettings

EPSILON, FLOOR, ITERATIONS = 0.05, 0.05, 200
MOTIONS = {"none": ("frame", 0.0), "frame, γ 1": ("frame", 1.0), "clip, γ 2": ("clip", 2.0)}
"""What the weights of motion are shares of (``train.motion_normalisation``), and their exponent."""
WEIGHTS = (0.0, 0.01, 0.05, 0.2, math.inf)
PATCHES = {
    "as they are": (0.0, 0.0),
    "half class token": (0.5, 0.0),
    "0.8 class token": (0.8, 0.0),
    "noise 3": (0.0, 3.0),
}
"""Share of the class token in each patch, and length of the noise added to its unit vector."""

BENCHMARK = Benchmark("marginals", __doc__, keys=tuple(PATCHES), quick="the first fold only")


@dataclass(frozen=True)
class Clip:
    """A test clip, its true parts and moments, and its tokens."""

    row: dict[str, Any]
    region: dict[str, Any]
    moving: dict[str, Any]
    pieces: list[str]
    batch: Batch


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    add_world_options(options, PROJECT / "data/demo", PROJECT / "raw/demo", folds="1,2")
    return options


def main() -> None:
    """Measure every combination, print the table and the line of JSON."""
    args = parser().parse_args()
    torch.set_num_threads(1)
    clips = test_clips(args.data, args.root, args.folds[:1] if args.quick else args.folds)
    lines: list[list[str] | None] = []
    figures: dict[str, dict[str, float]] = {name: {} for name in PATCHES}
    for motion in MOTIONS:
        for weight in WEIGHTS:
            found = {name: lift(clips, how, motion, weight) for name, how in PATCHES.items()}
            for name, value in found.items():
                figures[name][f"{motion}, rho {weight:g}"] = round(value, 3)
            lines.append([motion, f"{weight:g}", *(f"{value:.2f}" for value in found.values())])
        lines.append(None)
    title = "mass of region words on their part, over chance"
    tables = [table(title, ("motion in b", "column weight", *PATCHES), lines)]
    BENCHMARK.report(figures, keep=not args.quick, tables=tables)


def test_clips(data: Path, root: Path, folds: list[int]) -> list[Clip]:
    """The test clips of the folds."""
    from grace.pipeline.checkpoints import load_tokenizer

    tokens = load_settings(PROJECT / "params.yaml").tokens
    tokenizer = load_tokenizer(*tokens.text_model)
    cache, frames = Cache(data), truth(root)
    wanted = {clip_id for fold in folds for clip_id in split(cache, fold, TrainSettings()).test.clip_ids}
    found = []
    for row in rows(data, wanted):
        region, moving = where_and_when(row, frames[row["clip_id"]], side=round(row["visual"].shape[1] ** 0.5))
        pieces = tokenizer.convert_ids_to_tokens(row["text_id"].tolist())
        found.append(Clip(row, region, moving, pieces, collate([row])))
    return found


def lift(clips: list[Clip], how: tuple[float, float], motion: str, weight: float) -> float:
    """Mass on the part over chance, all words of all clips alike."""
    within, gamma = MOTIONS[motion]
    matcher: Callable[..., Any] = cross_attention if weight == 0 else sinkhorn
    more = {} if weight == 0 else {"iterations": ITERATIONS, "marginal_relaxation": weight}
    landings = []
    for clip in clips:
        batch = clip.batch
        words = batch.text_mask.float()
        b = motion_scores(batch.motion, gamma, FLOOR, within).flatten(1).softmax(-1)
        cost = cosine_cost(batch.text, blurred(batch, *how))
        plan = matcher(cost, words / words.sum(1, keepdim=True), b, EPSILON, **more).plan[0]
        mass = plan.unflatten(1, batch.motion.shape[1:]).numpy()
        length = len(mass)
        for word in merge_subwords(
            clip.pieces[:length], clip.row["sentence"][:length], clip.row["text_mask"][:length], mass
        ):
            part = NAMED.get(word.text)
            if part is not None and clip.moving[part].any():
                landings.append(landed("plan", part, word.mass, clip.region[part], clip.moving[part]))
    return lift_of(landings, "plan")[0]


def blurred(batch: Batch, share: float, noise: float) -> Float[Tensor, "batch visual width"]:
    """Unit patch tokens mixed with ``share`` of their frame's class token, then with noise of length ``noise``."""
    patches, frames = unit(batch.visual), unit(batch.frame)[:, :, None]
    generator = torch.Generator().manual_seed(0)
    drowned = noise * torch.randn(patches.shape, generator=generator) / patches.shape[-1] ** 0.5
    return ((1 - share) * patches + share * frames + drowned).flatten(1, 2)


if __name__ == "__main__":
    main()
