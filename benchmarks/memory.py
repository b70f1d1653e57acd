"""Memory does not grow with the data: peak resident memory of a stage at ten times the clips.

Each stage, caption and refine in one, runs in a process of its own on a data set made for it, once with N clips and
once with 10 N; what is compared is the peak of that process as the kernel counted it, files that are mapped included,
and where the stage has worker processes, that of the largest of them added. index, faces and motion go from 200 clips
to 2,000.

    python -m benchmarks.memory [--quick] [--stage tokens]

Ends with one line of JSON: rss_ratio (goal <= 1.1), the worst of the stages, and each stage's own.

The full run has 2 to 13 times the clips of --quick, and larger ones.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import PROJECT, Benchmark, progress, scratch_folder, table

SHARD = 8
MORE = 10

BENCHMARK = Benchmark("memory", __doc__, keys=("rss_ratio",), quick="few, small clips")


@dataclass(frozen=True)
class Stage:
    """How a stage is measured."""

    clips: tuple[int, int]
    """N of the quick run and of the full one."""
    build: Callable[[Path, int, bool], object]
    """Make a data set of so many clips in a folder (small ones when quick)."""
    run: Callable[[Path], object]
    """Do the stage on it."""


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument("--stage", choices=MEASURED, help="this one only")
    options.add_argument("--inside", type=Path, help=argparse.SUPPRESS)  # the folder of the measured process
    return options


def main() -> None:
    """Measure each stage at both sizes, print the table and the line of JSON."""
    args = parser().parse_args()
    if args.inside:
        MEASURED[args.stage].run(args.inside)
        print(sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
        return
    peaks = {name: peak(name, args.quick) for name in ([args.stage] if args.stage else MEASURED)}
    ratios = {f"{name}_rss_ratio": round(more / few, 3) for name, (few, more) in peaks.items()}
    figures = {"rss_ratio": max(ratios.values()), **ratios}
    title = f"peak resident memory, MB, at {MORE} times the clips"
    rows = [(name, f"{few:.0f}", f"{more:.0f}", f"{more / few:.3f}") for name, (few, more) in peaks.items()]
    tables = [table(title, ("stage", "N", f"{MORE} N", "ratio"), rows)]
    BENCHMARK.report(figures, keep=not args.quick and not args.stage, tables=tables)


def peak(name: str, quick: bool) -> tuple[float, float]:
    """Megabytes at N clips and at ten times as many."""
    stage, found = MEASURED[name], []
    for clips in (stage.clips[not quick], MORE * stage.clips[not quick]):
        with scratch_folder() as scratch:
            stage.build(scratch, clips, quick)
            inside = [sys.executable, "-m", "benchmarks.memory", "--stage", name, "--inside", str(scratch)]
            done = subprocess.run(inside, check=True, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
            found.append(int(done.stdout.split()[-1]) / 1024)
            progress(f"{name}: {clips} clips, {found[-1]:.0f} MB")
    return found[0], found[1]


def videos(folder: Path, clips: int, quick: bool) -> None:
    """A folder set of drawn clips: as many names as requested, of a few files."""
    import numpy as np

    from grace.pipeline.world.footage import write_video
    from grace.pipeline.world.identity import sample_identity
    from grace.pipeline.world.render import frame_times, render_at
    from grace.pipeline.world.scenario import sample_scenario
    from grace.pipeline.world.settings import WorldSettings

    raw, world, files = folder / "raw", WorldSettings(), []
    raw.mkdir()
    for number in range(4):
        rng = np.random.default_rng(number)
        identity = sample_identity(rng, number)
        scenario = sample_scenario(rng, identity, "happiness", world)
        times = frame_times(scenario, world)[:32]
        files.append(folder / f"{number}.mp4")
        write_video(
            files[-1], (frame.image for frame in render_at(scenario, identity, world, times)), world.fps, folder
        )
    for number in range(clips):
        (raw / f"{number:05d}.mp4").hardlink_to(files[number % len(files)])
    (raw / "clips.csv").write_text("path,label\n" + "".join(f"{number:05d}.mp4,fear\n" for number in range(clips)))


def indexed(folder: Path, clips: int, quick: bool) -> None:
    """The same, indexed."""
    videos(folder, clips, quick)
    index(folder)


def index(folder: Path) -> None:
    """The index stage, in two processes."""
    from grace.pipeline.index.index import index

    index("many", folder / "raw", folder, workers=2)


def faces(folder: Path) -> None:
    """The faces stage with Haar's cascade, in two processes."""
    from grace.pipeline.execution.runner import run
    from grace.pipeline.faces.settings import FacesSettings
    from grace.pipeline.faces.step import FacesStep

    run(FacesStep(FacesSettings(), folder / "raw"), folder, size=SHARD, workers=2)


def motion(folder: Path) -> None:
    """The motion stage, in two processes."""
    from grace.pipeline.execution.runner import run
    from grace.pipeline.motion.settings import MotionSettings
    from grace.pipeline.motion.step import MotionStep

    run(MotionStep(MotionSettings()), folder, size=SHARD, workers=2)


def crops(folder: Path, clips: int, quick: bool) -> None:
    """Crops and texts for the tokens stage."""
    from benchmarks.random_datasets import crops_set

    crops_set(folder, clips, instants=4 if quick else 16, side=128, size=SHARD)


def texts(folder: Path) -> None:
    """The caption and refine stages with the pocket models."""
    from grace.pipeline.execution.runner import run
    from grace.pipeline.steps import make_step
    from grace.settings import load_settings

    for stage in ("caption", "refine"):
        run(make_step(stage, load_settings(None)), folder, size=SHARD)


def tokens(folder: Path) -> None:
    """The tokens stage with the pocket CLIP, and the virtual data set of its shards."""
    from grace.pipeline.execution.runner import run
    from grace.pipeline.store import Store
    from grace.pipeline.store.virtual import write_virtual_dataset
    from grace.pipeline.tokens.settings import TokensSettings
    from grace.pipeline.tokens.step import tokens_step

    step = tokens_step(TokensSettings())
    run(step, folder, size=SHARD)
    write_virtual_dataset(Store(folder / "tokens", step.schema))


def cached(folder: Path, clips: int, quick: bool) -> None:
    """A cache of ViT-B/32's shape in one fold, every fifth clip in its test part."""
    from benchmarks.train import random_cache
    from grace.pipeline.store import Clips, write_clips

    random_cache(folder, clips)
    table = Clips(folder)
    rows = [{**row, "fold_1": "test" if k % 5 == 0 else "train"} for k, row in enumerate(table.rows)]
    write_clips(folder, rows, table.labels)


def train(folder: Path) -> None:
    """One fold of ``grace``, one epoch, from reading for NaN to the scores of the test part.

    Small batches: with N clips the largest of them must have come already, and beside another one.
    """
    from grace.trainer.settings import TrainSettings
    from grace.trainer.train import train

    train(folder, TrainSettings().model_copy(update={"epochs": 1, "batch": 8}), 1, quiet=True)


MEASURED = {
    "index": Stage((40, 200), videos, index),
    "faces": Stage((16, 200), indexed, faces),
    "motion": Stage((16, 200), crops, motion),
    "texts": Stage((8, 16), crops, texts),
    "tokens": Stage((32, 128), crops, tokens),
    "train": Stage((64, 160), cached, train),
}


if __name__ == "__main__":
    main()
