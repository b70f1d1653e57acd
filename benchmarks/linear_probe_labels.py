"""What the cache holds: the label as a linear classifier reads it from the cached tokens, and from the truth.

Methods that learn from the same cache can differ by no more than the cache holds. Each row is a logistic regression on
pooled tokens of a clip (mean, largest and spread over its instants; in order: the means of its quarters, too), or on
the movements that truly happened (each action's largest and mean intensity; in order: the means of its quarters, too):
the upper bound of a vision encoder that misses nothing. The strength of its penalty is chosen on the validation clips,
as an epoch is; the test clips are read once. The set is the ablation's world, which benchmarks.ablation makes; for
another set no file is written.

    python -m benchmarks.linear_probe_labels [--quick] [--folds 1,2] [--data data/demo --root raw/demo]

Ends with one line of JSON: the UAR of each row, mean of the folds, kept in benchmarks/results/readable.json: the floor
of every trained method (goal of the ablation's probe_gain: >= 0 over it).

--quick on the demo takes 62 s of processor time; the full run reads 12 times the clips and fits 5 folds.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
from jaxtyping import Float
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from benchmarks.grounding import truth
from benchmarks.harness import PROJECT, Benchmark, add_world_options, table
from grace.pipeline.store import Row
from grace.trainer.data import Cache, Subset
from grace.trainer.metrics import uar
from grace.trainer.protocol import split
from grace.trainer.settings import TrainSettings

READ = {
    "class tokens": ("class",),
    "patches": ("patches",),
    "class tokens and patches": ("class", "patches"),
    "words": ("words",),
    "class tokens and words": ("class", "words"),
    "class tokens in order": ("class", "order"),
    "class tokens in order and words": ("class", "order", "words"),
    "motion maps": ("motion",),
    "true movements": ("truth",),
    "true movements in order": ("truth", "truth in order"),
}
"""Rows of the table, and the pooled features that each reads."""
WORLD = PROJECT / "data/ablation/final"
SEGMENTS = 4
PENALTIES = (0.003, 0.01, 0.03, 0.1, 1.0)

BENCHMARK = Benchmark("readable", __doc__, keys=tuple(READ), quick="the first fold only")

Features = dict[str, Float[np.ndarray, "clips features"]]


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    add_world_options(options, WORLD / "cells/pocket-pocket", WORLD / "raw", folds="1,2,3,4,5")
    return options


def main() -> None:
    """Pool, fit, print the table and the line of JSON."""
    args = parser().parse_args()
    folds = args.folds[:1] if args.quick else args.folds
    cache, moved = Cache(args.data), true_movements(args.root)
    reached: dict[str, list[float]] = {name: [] for name in READ}
    for number in folds:
        fold = split(cache, number, TrainSettings())
        parts = (fold.selection.train, fold.selection.validation, fold.test)
        pooled = [features(part, cache, moved) for part in parts]
        for name, kinds in READ.items():
            sides = [np.hstack([one[kind] for kind in kinds]) for one in pooled]
            reached[name].append(score(sides, [part.labels for part in parts], len(cache.labels)))
    figures = {name: round(float(np.mean(values)), 4) for name, values in reached.items()}
    keep = not args.quick and args.data == parser().get_default("data")
    BENCHMARK.report(figures, keep=keep, tables=[uar_table(reached, folds)])


def true_movements(root: Path) -> dict[str, Features]:
    """Each clip's actions as they happened: largest and mean intensity of each, and the means of its segments."""
    clips = {
        clip_id: np.array([frame["actions"] for frame in frames])
        for clip_id, frames in truth(root, ("actions",)).items()
    }
    return {
        clip_id: {"truth": np.r_[rows.max(0), rows.mean(0)], "truth in order": segments(rows)}
        for clip_id, rows in clips.items()
    }


def features(part: Subset, cache: Cache, moved: dict[str, Features]) -> Features:
    """The pooled features of a part's clips."""
    rows = [pooled(cache.row(clip_id)) | moved[clip_id] for clip_id in tqdm(part.clip_ids, unit="clip")]
    return {kind: np.stack([row[kind] for row in rows]) for kind in rows[0]}


def pooled(row: Row) -> dict[str, Float[np.ndarray, " features"]]:
    """The tokens of a clip, pooled over instants, patches or words."""
    frame, visual = (np.asarray(row[name], dtype=np.float32) for name in ("frame", "visual"))
    words = np.asarray(row["text"], dtype=np.float32)[np.asarray(row["text_mask"], dtype=bool)]
    brightest = visual.mean(1).max(0)  # the instant at which the face as a whole says most
    return {
        "class": _spread(frame, 0),
        "order": segments(frame),
        "patches": np.r_[_spread(visual, (0, 1)), brightest],
        "words": np.r_[words.mean(0), words.max(0)],
        "motion": np.asarray(row["motion"], dtype=np.float32).mean(0).ravel(),
    }


def _spread(tokens: Float[np.ndarray, "..."], axis: int | tuple[int, ...]) -> Float[np.ndarray, " features"]:
    return np.r_[tokens.mean(axis), tokens.max(axis), tokens.std(axis)]


def segments(tokens: Float[np.ndarray, "instants features"]) -> Float[np.ndarray, " segments*features"]:
    return np.concatenate([part.mean(0) for part in np.array_split(tokens, SEGMENTS)])


def score(sides: Sequence[Float[np.ndarray, "clips features"]], labels: Sequence[np.ndarray], classes: int) -> float:
    """UAR on the test part of the penalty that is best on the validation part."""
    fitted = []
    for strength in PENALTIES:
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=strength, max_iter=300, class_weight="balanced")
        ).fit(sides[0], labels[0])
        fitted.append((uar(labels[1], model.predict(sides[1]), classes), model))
    _, best = max(fitted, key=lambda pair: pair[0])
    return uar(labels[2], best.predict(sides[2]), classes)


def uar_table(reached: dict[str, list[float]], folds: Sequence[int]) -> Table:
    """One row per kind of features, one column per fold."""
    rows = [(name, *(f"{100 * value:.1f}" for value in (*values, fmean(values)))) for name, values in reached.items()]
    columns = ("from", *(f"fold {fold}" for fold in folds), "mean")
    return table("the label, read linearly: UAR of the test clips, in %", columns, rows)


if __name__ == "__main__":
    main()
