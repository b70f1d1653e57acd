"""Which movements do the tokens show? Each action's true intensity, read linearly from a frame's tokens.

A ridge regression learns every action's intensity at every instant from the truth itself, which no method is ever
given: once from the frame's class token, once from all its patches in their places (the first principal components of
each), both with their difference from the clip's mean beside them. R² of the test clips says what is visible at all.
The label is then read from these predictions as benchmarks.linear_probe_labels reads it from the true movements in
order: how far such tokens get when the true actions supervise them. Penalties are chosen on the validation clips. The
set is the ablation's world, which benchmarks.ablation makes; for another set no file is written.

    python -m benchmarks.linear_probe_actions [--quick] [--folds 1,2] [--data data/demo --root raw/demo]

Ends with one line of JSON: R² of each action from "class tokens" and from "patches", and the uar, mean of the folds,
kept in benchmarks/results/visible.json (a diagnosis without a goal).

The full run reads 12 times the demo's clips and fits 5 folds.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from rich.table import Table
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from benchmarks.grounding import truth
from benchmarks.harness import Benchmark, add_world_options, table
from benchmarks.linear_probe_labels import WORLD, score, segments
from grace.pipeline.store import Row, Store
from grace.pipeline.store.schemas import FACES
from grace.pipeline.world.actions import ACTIONS
from grace.trainer.data import Cache, Subset
from grace.trainer.protocol import split
from grace.trainer.settings import TrainSettings

COMPONENTS = 24  # of each patch
SAMPLE = 30_000  # patches that the components are made of
PENALTIES = (1e3, 1e4, 1e5)

BENCHMARK = Benchmark("visible", __doc__, keys=("uar", "class tokens", "patches"), quick="the first fold only")


@dataclass(frozen=True)
class Side:
    """The clips of one side of a fold, T instants each, their frames one after the other."""

    labels: Int[np.ndarray, " clips"]
    frame: Float[np.ndarray, "clips instants dim"]
    visual: Float[np.ndarray, "clips instants patches dim"]
    actions: Float[np.ndarray, "clips instants actions"]


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    add_world_options(options, WORLD / "cells/pocket-pocket", WORLD / "raw", folds="1,2,3,4,5")
    return options


def main() -> None:
    """Read actions from tokens and labels from actions; print the table and the line of JSON."""
    args = parser().parse_args()
    cache, frames = Cache(args.data), truth(args.root, ("time", "actions"))
    times = {row["clip_id"]: row["times"] for row in Store(args.data / "faces", FACES).rows(["clip_id", "times"])}
    seen: dict[str, list[np.ndarray]] = {"class tokens": [], "patches": []}
    reached: dict[str, list[float]] = {"class tokens": [], "patches": [], "truth": []}
    for number in tqdm(args.folds[:1] if args.quick else args.folds, unit="fold"):
        fold = split(cache, number, TrainSettings())
        sides = [
            side(part, cache, frames, times) for part in (fold.selection.train, fold.selection.validation, fold.test)
        ]
        labels = [one.labels for one in sides]
        actions = [one.actions for one in sides]
        reached["truth"].append(score([movements(one) for one in actions], labels, len(cache.labels)))
        for name, tokens in (("class tokens", [one.frame for one in sides]), ("patches", placed(sides))):
            readings = read(tokens, actions)
            seen[name].append(r2_score(*(flat(one) for one in (actions[2], readings[2])), multioutput="raw_values"))
            reached[name].append(score([movements(one) for one in readings], labels, len(cache.labels)))
    visible = {name: np.mean(folds, axis=0) for name, folds in seen.items()}
    uar = {name: float(np.mean(folds)) for name, folds in reached.items()}
    figures = {"uar": {name: round(value, 4) for name, value in uar.items()}} | {
        name: {action.name: round(float(value), 3) for action, value in zip(ACTIONS, values, strict=True)}
        for name, values in visible.items()
    }
    keep = not args.quick and args.data == parser().get_default("data")
    BENCHMARK.report(figures, keep=keep, tables=[visibility_table(visible, uar)])


def side(part: Subset, cache: Cache, frames: dict[str, list[Row]], times: dict[str, list[float]]) -> Side:
    """The tokens of a part's clips, and the true intensities at the instants that were cached."""
    rows = [cache.row(clip_id) for clip_id in part.clip_ids]
    actions = [at_instants(frames[clip_id], times[clip_id]) for clip_id in part.clip_ids]
    frame, visual = (
        np.stack([np.asarray(row[name], dtype=np.float16) for row in rows]) for name in ("frame", "visual")
    )
    return Side(part.labels, frame, visual, np.stack(actions))


def at_instants(frames: list[Row], times: Sequence[float]) -> Float[np.ndarray, "instants actions"]:
    """The true intensities of the frames nearest to the instants."""
    every = np.array([frame["time"] for frame in frames])
    return np.array([frames[int(np.abs(every - time).argmin())]["actions"] for time in times], dtype=np.float32)


def placed(sides: Sequence[Side]) -> list[Float[np.ndarray, "clips instants components"]]:
    """Every patch's principal components, side by side in the order of the patches."""
    patches = sides[0].visual.reshape(-1, sides[0].visual.shape[-1])
    drawn = np.random.default_rng(0).choice(len(patches), min(SAMPLE, len(patches)), replace=False)
    components = PCA(min(COMPONENTS, patches.shape[-1])).fit(patches[np.sort(drawn)].astype(np.float32))
    return [
        components.transform(one.visual.reshape(-1, patches.shape[-1])).reshape(*one.visual.shape[:2], -1)
        for one in sides
    ]


def read(
    tokens: Sequence[Float[np.ndarray, "clips instants features"]],
    actions: Sequence[Float[np.ndarray, "clips instants actions"]],
) -> list[Float[np.ndarray, "clips instants actions"]]:
    """The actions as predicted from the tokens, for each side; the penalty is the validation clips' best."""
    given = [flat(np.concatenate([one, one - one.mean(1, keepdims=True)], axis=-1, dtype=np.float32)) for one in tokens]
    fitted = []
    for penalty in PENALTIES:
        model = make_pipeline(StandardScaler(), Ridge(penalty)).fit(given[0], flat(actions[0]))
        fitted.append((r2_score(flat(actions[1]), model.predict(given[1])), model))
    _, best = max(fitted, key=lambda pair: pair[0])
    return [best.predict(frames).reshape(true.shape) for frames, true in zip(given, actions, strict=True)]


def movements(actions: Float[np.ndarray, "clips instants actions"]) -> Float[np.ndarray, "clips features"]:
    """Largest and mean intensity of each action, and the means of the clip's segments."""
    return np.stack([np.r_[clip.max(0), clip.mean(0), segments(clip)] for clip in actions])


def flat(clips: Float[np.ndarray, "clips instants features"]) -> Float[np.ndarray, "frames features"]:
    """All frames of all clips, one after the other."""
    return clips.reshape(-1, clips.shape[-1])


def visibility_table(visible: dict[str, np.ndarray], uar: dict[str, float]) -> Table:
    """One row per action, the clearest first; the label's UAR last."""
    rows: list[list[str] | None] = [
        [ACTIONS[at].name, ACTIONS[at].region, *(f"{max(r2[at], 0):.2f}" for r2 in visible.values()), ""]
        for at in np.argsort(-visible["class tokens"])
    ]
    label = ["the label from them, UAR in %", "", *(f"{100 * uar[name]:.1f}" for name in (*visible, "truth"))]
    title = "what the tokens show: R² of each action's intensity on test clips"
    return table(title, ("action", "part of the face", *visible, "truth"), [*rows, None, label], text_columns=2)


if __name__ == "__main__":
    main()
