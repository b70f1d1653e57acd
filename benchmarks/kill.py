"""Nothing is lost: a command killed with SIGKILL and run again gives the bytes of an undisturbed run.

`index`, every stage, `train`, `evaluate` and `dvc repro` are killed 100 times in all. Each kill hits the whole process
group at a moment drawn by the seed (where the command has ended by then, an earlier one is drawn), the command is run
again to its end, and then: every file is equal to that of an undisturbed run, no other file is there (no temporary
files), and no process of it lives on (so no lock is held).

    python -m benchmarks.kill [--quick] [--kills 100] [--seed 0] [--journal FILE]

Commands are forked from a process that has imported the libraries, so that kills hit the work; `dvc repro` starts at a
random stage of a finished pipeline and imports for itself. Kept answers lie in files named at random and are compared
by content; whether a clip's answer was asked for twice, because a kill came before it was kept, does not matter.
`--journal` keeps the verdicts in a file as they come, and a run with the same file and seed goes on from there.

Ends with one line of JSON: kills_ok (goal 1.0), the share of kills that cost nothing; kills, how many;
hit, those of them that came before the command had ended (goal: all).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import PROJECT, Benchmark, progress, scratch_folder, table

if TYPE_CHECKING:
    from rich.table import Table

OVERRIDES = (
    "world.clips=24",
    "world.identities=12",
    "shards.clips=4",
    "folds=[1]",
    "faces.instants=4",
    "caption.images=2",
    "caption.max_tokens=16",
    "refine.max_tokens=16",
    "refine.max_attempts=1",
    "tokens.text_length=32",
    "train.epochs=4",
    "train.hidden=16",
    "evaluate.bootstrap=50",
)
"""A small pipeline through every stage; texts are cut short, since it is storage that is tested here."""

OUTPUTS: dict[str, tuple[str, ...]] = {
    "index": ("clips.parquet", "reconciliation.csv"),
    "faces": ("faces",),
    "caption": ("captions", "responses/caption"),
    "refine": ("descriptions", "responses/refine"),
    "motion": ("motion",),
    "tokens": ("tokens",),
    "train": ("runs",),
    "evaluate": ("metrics.json", "plots"),
}
"""What each command writes into the data set's folder, in the order of the pipeline."""

REPRO = "dvc repro"
COMMANDS = (REPRO, *OUTPUTS)
DATA = Path("data/demo")
DRAWS = 20
"""Moments that are drawn at most for one kill."""
PATIENCE = 20.0
"""Seconds that a worker has to notice that its parent is gone."""
LIBRARIES = ["torch", "transformers", "pandas", "pyarrow.parquet", "h5py", "av", "cv2", "sklearn.metrics", "stages"]

BENCHMARK = Benchmark("kill", __doc__, keys=("kills", "kills_ok"), quick="10 kills")


@dataclass(frozen=True)
class Kill:
    """One trial: the command, from which stage on `dvc repro` had work, when it was killed, and what came of it."""

    command: str
    start: str
    seconds: float
    hit: bool  # False: it had ended by the last of the moments drawn
    verdict: str  # ok, or what is wrong
    draws: int = 1  # of moments, until one came before its end


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


def run_stage(folder: Path, arguments: Sequence[str]) -> None:
    """A command of `grace` in a process group of its own; the target of a forked process."""
    os.setsid()
    os.chdir(folder)
    os.environ["TMPDIR"] = str(folder / "tmp")
    sys.stdout = sys.stderr = (folder / "log.txt").open("a")
    from stages import app

    app(list(arguments))


class Command:
    """A command under way in a project's folder."""

    def __init__(self, folder: Path, name: str) -> None:
        (folder / "tmp").mkdir(exist_ok=True)
        self.started = time.monotonic()
        self.process: subprocess.Popen[bytes] | BaseProcess
        if name == REPRO:
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            own = {"PATH": path, "PYTHONPATH": str(folder), "HF_HUB_OFFLINE": "1", "TMPDIR": str(folder / "tmp")}
            with (folder / "log.txt").open("ab") as log:
                self.process = subprocess.Popen(
                    ["dvc", "repro"], cwd=folder, env=os.environ | own, stdout=log, stderr=log, start_new_session=True
                )
        else:
            arguments = [name, "--dataset", "demo", *(("--fold", "1") if name == "train" else ())]
            context = multiprocessing.get_context("forkserver")
            self.process = context.Process(target=run_stage, args=(folder, arguments))
            self.process.start()

    def ended(self, seconds: float | None = None) -> bool:
        """Whether the command ends within that time."""
        if isinstance(self.process, BaseProcess):
            self.process.join(seconds)
            return self.process.exitcode is not None
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def finish(self) -> int:
        """Wait for its end; returns its exit status."""
        self.ended()
        code = self.process.exitcode if isinstance(self.process, BaseProcess) else self.process.returncode
        return -1 if code is None else code

    def kill(self) -> None:
        """SIGKILL to the whole process group."""
        assert self.process.pid is not None
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:  # it has not made its group yet, or is gone
            self.process.kill()
        self.ended()


def processes_in(folder: Path) -> list[str]:
    """The command lines of the processes that run in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            where = (process / "cwd").readlink()
            if where.is_relative_to(folder):
                found.append((process / "cmdline").read_text().replace("\0", " ")[:80] or process.name)
        except OSError:  # it has ended, or is another user's
            continue
    return found


def content(folder: Path) -> dict[str, str]:
    """A digest of every file that the pipeline made or left in a project's folder, but for logs.

    The kept answers of a stage are one entry: what was asked, and what was answered.
    """
    digests = {}
    answers: dict[str, dict[str, Any]] = {}
    for path in sorted(path for top in ("raw", "data", "tmp") for path in (folder / top).rglob("*")):
        name = str(path.relative_to(folder))
        if "responses" in path.parts and path.suffix == ".jsonl":
            kept = answers.setdefault(str(path.parent.relative_to(folder)), {})
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                kept |= _answer(line)
        elif path.is_file() and path.name != ".gitignore":
            digests[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    for name, kept in answers.items():
        digests[name] = hashlib.sha256(repr(sorted(kept.items())).encode()).hexdigest()
    return digests


def _answer(line: str) -> dict[str, str]:
    """Question to answer; nothing for a line that a kill has torn."""
    try:
        parsed = json.loads(line)
        return {parsed["key"]: json.dumps(parsed, sort_keys=True)}
    except (ValueError, KeyError, TypeError):
        return {}


class Campaign:
    """A finished pipeline, how long each of its commands takes, and kills of copies of it."""

    def __init__(self, folder: Path, commands: Sequence[str]) -> None:
        self.folder, self.whole = folder, folder / "whole"
        copy_project(self.whole)
        self.lengths: dict[str, float] = {}
        began = time.monotonic()
        if Command(self.whole, REPRO).finish() != 0:
            sys.exit(f"dvc repro failed:\n{(self.whole / 'log.txt').read_text()[-3000:]}")
        self.lengths[REPRO] = time.monotonic() - began
        self.expected = content(self.whole)
        warm_up = multiprocessing.get_context("forkserver").Process(target=os.getpid)  # the libraries are imported here
        warm_up.start()
        warm_up.join()
        for name in OUTPUTS if REPRO in commands else commands:
            copy = self.prepared(f"length-{name}", name, name)
            began = time.monotonic()
            code = Command(copy, name).finish()
            self.lengths[name] = time.monotonic() - began
            verdict = self.verdict(copy, code)
            if verdict != "ok":
                sys.exit(f"{name}, undisturbed: {verdict}")
            shutil.rmtree(copy)

    def prepared(self, label: str, command: str, start: str) -> Path:
        """A copy of the finished pipeline without the outputs of ``start``, and for `dvc repro` of what follows."""
        copy = self.folder / label
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.whole, copy, symlinks=True)
        (copy / "log.txt").unlink(missing_ok=True)
        names = list(OUTPUTS)
        undone = names[names.index(start) :] if command == REPRO else [start]
        for output in (output for name in undone for output in OUTPUTS[name]):
            path = copy / DATA / output
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        if command == REPRO:
            shutil.rmtree(copy / ".dvc/cache", ignore_errors=True)  # else DVC would fetch what it once made
            if start == "index":
                shutil.rmtree(copy / "raw/demo")
                (copy / "dvc.lock").unlink()
        return copy

    def length(self, command: str, start: str) -> float:
        """About how many seconds a command takes; `dvc repro` from one of its stages on."""
        if command != REPRO:
            return self.lengths[command]
        names = list(OUTPUTS)
        undone = sum(self.lengths[name] for name in names[names.index(start) :])
        return self.lengths[REPRO] * undone / sum(self.lengths[name] for name in names)

    def trial(self, label: str, command: str, start: str, share: float) -> Kill:
        """Kill a command after a share of its length, run it again to its end, and look.

        Where it had ended by then, it is started again and killed at an earlier moment, drawn by the share.
        """
        moments = earlier_moments(share, share * self.length(command, start))
        moment, draws, hit = kill_one(lambda: Command(self.prepared(label, command, start), command), moments)
        copy = self.folder / label
        code = Command(copy, command).finish()
        verdict = self.verdict(copy, code)
        if verdict == "ok":
            shutil.rmtree(copy, ignore_errors=True)
        return Kill(command, start, round(moment, 2), hit, verdict, draws)

    def verdict(self, copy: Path, code: int) -> str:
        """``ok``, or what is wrong with a folder in which a command has ended."""
        if code != 0:
            log = (copy / "log.txt").read_text(errors="replace").strip().splitlines()
            return f"exit status {code}: {' '.join(log[-3:])[-300:]}"
        until = time.monotonic() + PATIENCE
        while (alive := processes_in(copy)) and time.monotonic() < until:
            time.sleep(0.2)
        if alive:
            return f"a process lives on: {alive[0]}"
        found = content(copy)
        if added := sorted(found.keys() - self.expected.keys()):
            return f"left behind: {', '.join(added[:5])}"
        differing = sorted(name for name, digest in self.expected.items() if found.get(name) != digest)
        return f"other bytes: {', '.join(differing[:5])}" if differing else "ok"


def earlier_moments(seed: float, first: float) -> list[float]:
    """A moment in seconds, and others to fall back on: each is drawn between the start and the one before it."""
    draws = random.Random(seed)
    return list(itertools.accumulate(range(DRAWS - 1), lambda moment, _: moment * draws.random(), initial=first))


def kill_one(start: Callable[[], Command], moments: Sequence[float]) -> tuple[float, int, bool]:
    """Start a command, once for each moment, until it is killed at one: that moment, the starts, whether it was hit."""
    for starts, moment in enumerate(moments, 1):
        under_way = start()
        if not under_way.ended(moment):
            under_way.kill()
            return moment, starts, True
    return moments[-1], len(moments), False


def schedule(kills: int, seed: int) -> list[tuple[str, str, float]]:
    """Command, first stage with work and share of its length of each kill; the same for the same seed."""
    draws = random.Random(seed)
    names = itertools.islice(itertools.cycle(COMMANDS), kills)
    return [(name, draws.choice(list(OUTPUTS)) if name == REPRO else name, draws.random()) for name in names]


def kills_table(kills: Sequence[Kill]) -> Table:
    """Kills by command: how many, how many hit it, how many cost nothing."""
    rows = []
    for name in COMMANDS:
        own = [kill for kill in kills if kill.command == name]
        counts = (len(own), sum(kill.hit for kill in own), sum(kill.verdict == "ok" for kill in own))
        rows.append((name, *map(str, counts)))
    return table("killed with SIGKILL and run again", ("command", "kills", "hit it", "cost nothing"), rows)


def run(scheduled: Sequence[tuple[str, str, float]], journal: Path | None, workers: int) -> list[Kill]:
    """All scheduled kills, ``workers`` at a time; those in the journal are not repeated."""
    lines = journal.read_text(encoding="utf-8").splitlines() if journal is not None and journal.exists() else []
    done = {number: Kill(**kill) for number, kill in map(json.loads, lines)}
    waiting = [number for number in range(len(scheduled)) if number not in done]
    if not waiting:
        return [done[number] for number in range(len(scheduled))]
    multiprocessing.set_forkserver_preload(LIBRARIES)
    with scratch_folder() as scratch, ThreadPoolExecutor(workers) as pool:
        campaign = Campaign(scratch, sorted({scheduled[number][0] for number in waiting}))
        progress(f"undisturbed: {', '.join(f'{name} {length:.1f} s' for name, length in campaign.lengths.items())}")

        def one(number: int) -> tuple[int, Kill]:
            return number, campaign.trial(f"kill-{number}", *scheduled[number])

        for number, kill in pool.map(one, waiting):
            done[number] = kill
            progress(f"{len(done)}/{len(scheduled)} {kill.command} ({kill.start}) at {kill.seconds} s: {kill.verdict}")
            if journal is not None:
                with journal.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([number, asdict(kill)]) + "\n")
    return [done[number] for number in range(len(scheduled))]


def parser() -> ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument("--kills", type=int, default=100)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--workers", type=int, default=2, help="kills at a time")
    options.add_argument("--journal", type=Path, help="file of verdicts, from which a run goes on")
    return options


def main() -> None:
    """Print the share of kills that cost nothing."""
    args = parser().parse_args()
    kills = run(schedule(10 if args.quick else args.kills, args.seed), args.journal, args.workers)
    figures = {
        "kills": len(kills),
        "hit": sum(kill.hit for kill in kills),
        "kills_ok": sum(kill.verdict == "ok" for kill in kills) / len(kills),
    }
    BENCHMARK.report(
        figures, keep=not args.quick, tables=[kills_table(kills)], details={"each": [asdict(kill) for kill in kills]}
    )


if __name__ == "__main__":
    main()
