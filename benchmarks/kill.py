"""Nothing is lost: `dvc repro` killed with SIGKILL and run again gives the bytes of an undisturbed run.

Each road starts afresh in a copy of the project and is killed at random moments, again and again until it ends by
itself (every other kill hits only DVC, so that a stage lives on as an orphan beside the next run); then every file
under raw/ and data/ is compared. Roads go on until `--kills N` kills (20) have hit; `--quick` does 2. The full run is
kept as benchmarks/results/kill.json.

Prints one line of JSON: kills; roads; kills_ok, the share of the kills that lay on roads with equal bytes.
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
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).parent.parent
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
"""A small road through every stage; texts are cut short, since it is storage that is tried here."""


def copy_project(folder: Path) -> None:
    """The project's tracked files as a repository of its own, with small settings."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, target)
    sys.path.insert(0, str(PROJECT))
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
    """SHA-256 of every file that the road made."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for room in ("raw", "data")
        for path in sorted((folder / room).rglob("*"))
        if path.is_file() and path.name != ".gitignore"
    }


def repro(folder: Path) -> None:
    """Run the road to its end."""
    if start(folder).wait() != 0:
        sys.exit(f"dvc repro failed:\n{(folder / 'repro.log').read_text()[-3000:]}")


def killed_road(folder: Path, length: float, moments: random.Random, most: int) -> int:
    """Run the road in ``folder`` to its end through at most ``most`` kills; returns how many hit it."""
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


def main() -> None:
    """Print the share of kills that cost nothing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="2 kills")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    kills = 2 if arguments.quick else arguments.kills
    moments = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="grace-kill-") as scratch:
        whole = Path(scratch) / "whole"
        copy_project(whole)
        began = time.monotonic()
        repro(whole)
        length = time.monotonic() - began
        wanted = digests(whole)
        print(f"undisturbed: {length:.0f} s, {len(wanted)} files", file=sys.stderr)
        hit = fine = roads = 0
        while hit < kills:
            folder = Path(scratch) / f"road-{roads}"
            times = killed_road(folder, length, moments, kills - hit)
            found = digests(folder)
            differing = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
            roads, hit, fine = roads + 1, hit + times, fine + (0 if differing else times)
            verdict = f"differs in {', '.join(differing[:5])}" if differing else "same bytes"
            print(f"road {roads}, killed {times} times: {verdict}", file=sys.stderr, flush=True)
            shutil.rmtree(folder, ignore_errors=True)
    figures = {"kills": kills, "roads": roads, "kills_ok": fine / kills}
    if not arguments.quick:
        from grace.pipeline.store import write_atomic

        write_atomic(PROJECT / "benchmarks/results/kill.json", (json.dumps(figures, indent=2) + "\n").encode())
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
