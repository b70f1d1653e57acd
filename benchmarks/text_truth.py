"""The text is true: actions, regions and order that captions and descriptions name, against the world's truth.

Renders a world of its own (other people and clips than the demo's), takes it through index, faces, caption and refine
with the models of params.yaml (the pocket models), and audits the texts as `grace audit` does. `--dataset NAME` judges
a rendered set whose texts are there instead.

    python benchmarks/text_truth.py [--quick] [--clips 200] [--dataset demo]

Ends with one line of JSON: precision and recall, each the lowest of actions and regions, caption and description; every
one of them beside it; and what refining lost of the truth and gained in specificity. The full run also writes
benchmarks/results/text_truth.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from grace.pipeline.audit import GroundTruth, TextsByKind, read_dataset_texts, read_truth, refining
from grace.pipeline.audit.ground_truth import truthfulness
from grace.pipeline.execution.runner import run
from grace.pipeline.index.index import index
from grace.pipeline.steps import step
from grace.pipeline.store import write_atomic
from grace.pipeline.world.world import make_world
from grace.settings import Settings, load_settings

PROJECT = Path(__file__).parent.parent
SEED = 20_000
"""Of the world that is judged; neither the demo's nor one that pocket models are trained on."""


def main() -> None:
    """Make or read the texts, and print how true they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="24 clips")
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--dataset", help="a rendered set with texts, such as demo")
    chosen = parser.parse_args()
    os.chdir(PROJECT)
    with tempfile.TemporaryDirectory(prefix="grace-text-truth-") as scratch:
        if chosen.dataset:
            texts, truth = made(load_settings(), chosen.dataset)
        else:
            texts, truth = fresh(24 if chosen.quick else chosen.clips, Path(scratch))
    figures = judged(texts, truth)
    if not chosen.quick and not chosen.dataset:
        write_atomic(PROJECT / "benchmarks/results/text_truth.json", (json.dumps(figures, indent=2) + "\n").encode())
    print(json.dumps(figures))


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
            step(stage, settings, "truth"),
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
