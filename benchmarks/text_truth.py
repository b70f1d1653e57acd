"""The text is true: actions, regions and order that captions and descriptions name, against the world's truth.

Renders a world of its own (other people and clips than the demo's), takes it through index, faces, caption and refine
with the models of params.yaml (the pocket models), and audits the texts as `grace audit` does. `--dataset NAME` judges
the texts of a rendered set that is already there instead.

    python -m benchmarks.text_truth [--quick] [--clips 200] [--dataset demo]

Ends with one line of JSON: precision and recall (goal >= 0.80 each), each the lowest of actions and regions, caption
and description; every one of them beside it; and what refining lost of the truth and gained in specificity.

The full run has 8 times the clips of --quick.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness import PROJECT, Benchmark, scratch_folder
from grace.pipeline.audit import GroundTruth, TextsByKind, read_dataset_texts, read_truth, refining
from grace.pipeline.audit.ground_truth import truthfulness
from grace.pipeline.execution.runner import run
from grace.pipeline.index.index import index
from grace.pipeline.steps import make_step
from grace.pipeline.world.world import make_world
from grace.settings import Settings, load_settings

SEED = 20_000
"""Of the world that is judged; neither the demo's nor one that pocket models are trained on."""


BENCHMARK = Benchmark("text_truth", __doc__, keys=("precision", "recall"), quick="24 clips")


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument("--clips", type=int, default=200)
    options.add_argument("--dataset", help="a rendered set with texts, such as demo")
    return options


def main() -> None:
    """Make or read the texts, and print how true they are."""
    args = parser().parse_args()
    os.chdir(PROJECT)
    with scratch_folder() as scratch:
        if args.dataset:
            texts, truth = made(load_settings(), args.dataset)
        else:
            texts, truth = fresh(24 if args.quick else args.clips, scratch)
    BENCHMARK.report(judged(texts, truth), keep=not args.quick and not args.dataset)


def made(settings: Settings, dataset: str) -> tuple[TextsByKind, GroundTruth]:
    """The texts of a data set that is there, and its truth."""
    truth = read_truth(Path(settings.roots.get(dataset, "")))
    if truth is None:
        sys.exit(f"{dataset} is no rendered world: its truth is not known.")
    return read_dataset_texts(settings.folder(dataset)), truth


def fresh(clips: int, scratch: Path) -> tuple[TextsByKind, GroundTruth]:
    """The texts of a world that is rendered for the purpose."""
    world = {"clips": clips, "identities": max(5, clips // 6), "seed": SEED}
    given = [f"world.{name}={value}" for name, value in world.items()]
    settings = load_settings(overrides=[*given, f"data={scratch}", f"roots.truth={scratch / 'raw'}"])
    make_world(settings.world, scratch / "raw", settings.workers)
    index("truth", scratch / "raw", settings.folder("truth"))
    for stage in ("faces", "caption", "refine"):
        run(
            make_step(stage, settings, "truth"),
            settings.folder("truth"),
            size=settings.shards.clips,
            workers=settings.workers,
            max_failed=settings.max_failed,
        )
    return made(settings, "truth")


def judged(texts: TextsByKind, truth: GroundTruth) -> dict[str, Any]:
    """The claim's keys, and all that they are the lowest of."""
    scores = {name: truthfulness(each, truth) for name, each in texts.items()}
    lowest = {
        kind: min(scores[name][what][kind] for name in scores for what in ("actions", "regions"))
        for kind in ("precision", "recall")
    }
    return {**lowest, **scores, "refining": refining(scores["caption"], scores["description"])}


if __name__ == "__main__":
    main()
