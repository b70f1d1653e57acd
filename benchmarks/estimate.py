"""`grace estimate` tells what then happens: the demo's stages, on an idle machine and with one core busy.

Renders the demo's world, asks for an estimate, then runs index, faces, caption, refine, motion and tokens as commands
and takes their time; once with nothing else to do, once beside a process that keeps one core busy.

    python -m benchmarks.estimate [--quick] [--clips 240]

Ends with one line of JSON: idle_ratio and busy_ratio, the estimated seconds of all stages ÷ those they took (goal: 0.75
to 1.25 each), and beside them disk_ratio, estimated ÷ written bytes, the seconds of both sides, and the cores that
other work wanted when the estimate was made: above 0.2 (idle) and 1.2 (busy) the figures are not to be believed.

--quick takes 40 clips, whose start counts for more.
"""

from __future__ import annotations

import argparse
import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import PROJECT, Benchmark, progress, scratch_folder, seconds

TIMED_STAGES = ("index", "faces", "caption", "refine", "motion", "tokens")
BENCHMARK = Benchmark("estimate", __doc__, keys=("idle_ratio", "busy_ratio", "disk_ratio"), quick="40 clips")


def spin() -> None:
    """Keep one core busy."""
    while True:
        pass


@contextmanager
def busy_core() -> Iterator[None]:
    """One core at work for somebody else."""
    process = multiprocessing.get_context("spawn").Process(target=spin, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def grace(folder: Path, *arguments: str) -> None:
    """Run a command in a project's folder; stop with its words when it fails."""
    done = subprocess.run([sys.executable, "-m", "stages", *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)}: {done.stderr}")


def compare(folder: Path, data: str) -> tuple[float, float, float, float]:
    """Estimated and taken seconds of the stages in an empty data folder, estimated ÷ written bytes, other work."""
    from grace.pipeline.estimate.trial import estimate
    from grace.settings import load_settings

    settings = load_settings(folder / "params.yaml", [f"data={folder / data}", f"roots.demo={folder / 'raw/demo'}"])
    made = estimate(settings, "demo")
    expected = made.seconds().expected
    taken = 0.0
    for stage in TIMED_STAGES:
        here = seconds(lambda stage=stage: grace(folder, stage, "-S", f"data={data}"))  # type: ignore[misc]
        found = next((cost.seconds(made.clips) for cost in made.costs if cost.stage == stage), None)
        progress(f"{data} {stage}: {found.expected if found else 0:.1f} s estimated, {here:.1f} s taken")
        taken += here
    stores = [folder / data / "demo" / name for name in ("faces", "captions", "descriptions", "motion", "tokens")]
    written = sum(path.stat().st_size for store in stores for path in store.glob("[0-9]*"))
    estimated = sum((cost.bytes_per_clip or 0) * made.clips for cost in made.costs if cost.stage != "index")
    return expected, taken, estimated / written, made.machine.busy


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument("--clips", type=int, default=240)
    return options


def main() -> None:
    """Print the figures, and keep those of a full run."""
    args = parser().parse_args()
    clips = 40 if args.quick else args.clips
    with scratch_folder() as folder:
        (folder / "params.yaml").write_text((PROJECT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
        grace(folder, "world", "--out", "raw/demo", "-S", f"world.clips={clips}")
        idle = compare(folder, "idle")
        with busy_core():
            busy = compare(folder, "busy")
    figures = {
        "clips": clips,
        "idle_ratio": round(idle[0] / idle[1], 2),
        "busy_ratio": round(busy[0] / busy[1], 2),
        "disk_ratio": round(idle[2], 2),
        "idle_estimated": round(idle[0], 1),
        "idle_taken": round(idle[1], 1),
        "busy_estimated": round(busy[0], 1),
        "busy_taken": round(busy[1], 1),
        "idle_other_work": round(idle[3], 1),
        "busy_other_work": round(busy[3], 1),
    }
    BENCHMARK.report(figures, keep=not args.quick)


if __name__ == "__main__":
    main()
