"""Memory does not grow with the data: peak resident memory of a stage at ten times the clips.

Each stage runs in a process of its own on a data set of random content, once with N clips and once with 10 N; what is
compared is the peak of that process as the kernel counted it, files that are mapped included.

    python benchmarks/memory.py [--quick] [--stage tokens]

Ends with one line of JSON: rss_ratio (goal <= 1.1), the worst of the stages, and each stage's own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

PROJECT = Path(__file__).parent.parent
sys.path.insert(0, str(PROJECT))

SHARD = 8
MORE = 10


@dataclass(frozen=True)
class Stage:
    """How a stage is measured."""

    clips: tuple[int, int]
    """N of the quick run and of the full one."""
    build: Callable[[Path, int, bool], object]
    """Make a data set of so many clips in a folder (small ones when quick)."""
    run: Callable[[Path], object]
    """Do the stage on it."""


def main() -> None:
    """Measure each stage at both sizes, print the table and the line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few, small clips; no file is written")
    parser.add_argument("--stage", choices=STAGES, help="this one only")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.inside:
        STAGES[chosen.stage].run(chosen.inside)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return
    peaks = {name: peak(name, chosen.quick) for name in ([chosen.stage] if chosen.stage else STAGES)}
    Console(highlight=False).print(table(peaks))
    ratios = {f"{name}_rss_ratio": round(more / few, 3) for name, (few, more) in peaks.items()}
    figures = {"rss_ratio": max(ratios.values()), **ratios}
    if not chosen.quick and not chosen.stage:
        from pipeline.store import commit

        commit(Path(__file__).parent / "results/memory.json", (json.dumps(figures, indent=2) + "\n").encode())
    print(json.dumps(figures))


def peak(name: str, quick: bool) -> tuple[float, float]:
    """Megabytes at N clips and at ten times as many."""
    stage, found = STAGES[name], []
    for clips in (stage.clips[not quick], MORE * stage.clips[not quick]):
        with TemporaryDirectory(prefix="grace-bench-") as scratch:
            stage.build(Path(scratch), clips, quick)
            inside = [sys.executable, __file__, "--stage", name, "--inside", scratch]
            done = subprocess.run(inside, check=True, capture_output=True, text=True, cwd=PROJECT)
            found.append(int(done.stdout.split()[-1]) / 1024)
            print(f"{name}: {clips} clips, {found[-1]:.0f} MB", file=sys.stderr)
    return found[0], found[1]


def crops(folder: Path, clips: int, quick: bool) -> None:
    """Crops and texts for the tokens stage."""
    from benchmarks.random_sets import crops_set

    crops_set(folder, clips, instants=4 if quick else 16, side=128, size=SHARD)


def tokens(folder: Path) -> None:
    """The tokens stage with the pocket CLIP, and its shards joined."""
    from pipeline.run import run
    from pipeline.settings import Tokens
    from pipeline.store import Store
    from pipeline.store.joined import join
    from pipeline.tokens import tokens_step

    step = tokens_step(Tokens())
    run(step, folder, size=SHARD)
    join(Store(folder / "tokens", step.schema))


def cached(folder: Path, clips: int, quick: bool) -> None:
    """A cache of ViT-B/32's shape in one fold, every fifth clip in its test part."""
    from benchmarks.train import random_cache
    from pipeline.store import Clips, write_clips

    random_cache(folder, clips)
    table = Clips(folder)
    rows = [{**row, "fold_1": "test" if k % 5 == 0 else "train"} for k, row in enumerate(table.rows)]
    write_clips(folder, rows, table.labels)


def train(folder: Path) -> None:
    """One fold of ``grace``, two epochs, from reading for NaN to the scores of the test part."""
    from trainer.settings import TrainSettings
    from trainer.train import train

    train(folder, replace(TrainSettings(), epochs=2), 1, quiet=True)


STAGES = {
    "tokens": Stage((32, 128), crops, tokens),
    "train": Stage((64, 256), cached, train),
}


def table(peaks: dict[str, tuple[float, float]]) -> Table:
    """A row a stage."""
    made = Table(title=f"peak resident memory, MB, at {MORE} times the clips", title_justify="left")
    made.add_column("stage")
    for name in ("N", f"{MORE} N", "ratio"):
        made.add_column(name, justify="right")
    for name, (few, more) in peaks.items():
        made.add_row(name, f"{few:.0f}", f"{more:.0f}", f"{more / few:.3f}")
    return made


if __name__ == "__main__":
    main()
