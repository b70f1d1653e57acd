"""Nothing is lost: `dvc repro` killed with SIGKILL and run again gives the bytes of an undisturbed run.

Each pipeline starts from nothing in a copy of the project and is killed at random moments, again and again until it
ends by itself (every other kill hits only DVC, so that a stage lives on as an orphan beside the next run); then every
file under raw/ and data/ is compared. Pipelines go on until `--kills N` kills (20) have hit.

    python -m benchmarks.kill [--quick] [--kills 20] [--seed 0]

Ends with one line of JSON: kills_ok (goal 1.0), the share of the kills whose pipeline ended with equal bytes; kills;
roads, the pipelines that were run.

The full run has 10 times the kills of --quick, which runs a small pipeline at least twice.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.harness import PROJECT, Benchmark, progress, scratch_folder

OVERRIDES = (
    "world.clips=14",
    "world.identities=10",
    "shards.clips=4",
    "faces.instants=8",
    "caption.max_tokens=24",
    "refine.max_tokens=24",
    "refine.max_attempts=1",
    "train.epochs=2",
    "evaluate.bootstrap=50",
)
"""A small pipeline through every stage; texts are cut short, since it is storage that is tested here."""

BENCHMARK = Benchmark("kill", __doc__, keys=("kills", "kills_ok"), quick="2 kills")


def copy_project(folder: Path) -> None:
    """The project's tracked files as a repository of its own, with small settings."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, target, follow_symlinks=False)
    from grace.settings import load_settings

    settings = load_settings(folder / "params.yaml", list(OVERRIDES))
    (folder / "params.yaml").write_text(json.dumps(settings.model_dump()))  # JSON is YAML
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    author = ("-c", "user.name=kill", "-c", "user.email=kill@localhost")
    subprocess.run(["git", *author, "commit", "-q", "--allow-empty", "-m", "start"], cwd=folder, check=True)


def start(folder: Path) -> subprocess.Popen[bytes]:
    """`dvc repro` in a process group of its own."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder), "HF_HUB_OFFLINE": "1"}
    with (folder / "repro.log").open("ab") as log:
        return subprocess.Popen(
            ["dvc", "repro"], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file that the pipeline made, but for the kept answers, whose files are named at random."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for outputs in ("raw", "data")
        for path in sorted((folder / outputs).rglob("*"))
        if path.is_file() and path.name != ".gitignore" and "responses" not in path.parts
    }


def repro(folder: Path) -> None:
    """Run the pipeline to its end."""
    if start(folder).wait() != 0:
        sys.exit(f"dvc repro failed:\n{(folder / 'repro.log').read_text()[-3000:]}")


def run_killed(folder: Path, length: float, moments: random.Random, most: int) -> int:
    """Run the pipeline in ``folder`` to its end through at most ``most`` kills; returns how many hit it."""
    copy_project(folder)
    for kills in range(most):
        process = start(folder)
        try:
            process.wait(moments.uniform(0.02, 0.3) * length)
        except subprocess.TimeoutExpired:
            whole_group = kills % 2 == 0
            os.killpg(process.pid, signal.SIGKILL) if whole_group else process.kill()
            process.wait()
        else:
            repro(folder)  # nothing is left to do, unless the last run failed
            return kills
    repro(folder)
    return most


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--seed", type=int, default=0)
    return options


def main() -> None:
    """Print the share of kills that cost nothing."""
    args = parser().parse_args()
    kills = 2 if args.quick else args.kills
    moments = random.Random(args.seed)
    with scratch_folder() as scratch:
        whole = scratch / "whole"
        copy_project(whole)
        began = time.monotonic()
        repro(whole)
        length = time.monotonic() - began
        expected = digests(whole)
        progress(f"undisturbed: {length:.0f} s, {len(expected)} files")
        hit = fine = runs = 0
        while hit < kills:
            folder = scratch / f"killed-{runs}"
            times = run_killed(folder, length, moments, kills - hit)
            found = digests(folder)
            differing = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
            runs, hit, fine = runs + 1, hit + times, fine + (0 if differing else times)
            verdict = f"differs in {', '.join(differing[:5])}" if differing else "same bytes"
            progress(f"pipeline {runs}, killed {times} times: {verdict}")
            shutil.rmtree(folder, ignore_errors=True)
    BENCHMARK.report({"kills": kills, "roads": runs, "kills_ok": fine / kills}, keep=not args.quick)


if __name__ == "__main__":
    main()
