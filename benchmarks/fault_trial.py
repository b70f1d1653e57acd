"""One trial of the campaign of faults: an input, what is done with it, and which verdicts are right.

A trial runs in a process of its own that is forked from this one, in a folder of its own that may be a copy of a base
(:mod:`benchmarks.fault_bases`), with a time limit. Whatever it does to its process or folder, no other trial sees it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import PROJECT

VERDICTS = ("held", "row", "sentence", "misleading", "silent", "traceback", "hang")
"""The result is that of the sound input; one clip has a row with the cause and all others are as before; one sentence
and a failed command; a row or sentence without the words that name its cause; another result without a word; an error
that is no sentence; no end."""
LIMIT = 20.0
"""Seconds that a trial may take on an idle machine."""
DETAIL = 300
"""Characters of what happened that are kept."""


@dataclass(frozen=True)
class Outcome:
    """What became of a trial."""

    verdict: str
    detail: str = ""


@dataclass(frozen=True)
class Trial:
    """An input and what is done with it.

    ``attempt`` gets a folder of its own, which is the working directory; ``base`` names what that folder is a copy of.
    ``says`` are words (a file, a key, a cause) that a sentence or a row has to hold, all of them.
    """

    kind: str
    name: str
    attempt: Callable[[Path], Outcome]
    expected: tuple[str, ...]
    base: str = ""
    says: tuple[str, ...] = ()

    def judge(self, outcome: Outcome) -> Outcome:
        """The outcome itself, or ``misleading`` where its sentence or row does not hold the words."""
        missing = [words for words in self.says if words not in outcome.detail]
        if outcome.verdict in ("row", "sentence") and missing:
            return Outcome("misleading", f"not said: {', '.join(missing)}: {outcome.detail}")
        return outcome


@dataclass(frozen=True)
class Ran:
    """A command that was run: its exit code, all that it printed, and an exception that is no exit."""

    exit_code: int
    output: str
    error: BaseException | None = None

    @property
    def said(self) -> bool:
        """Whether it remarked on something."""
        return "note: " in self.output or "warning" in self.output.lower()

    @property
    def failure(self) -> Outcome | None:
        """The outcome of a command that failed; None of one that did not."""
        if self.error is not None:
            return crashed(self.error)
        if not self.exit_code:
            return None
        errors = [line for line in self.output.splitlines() if line.startswith("error: ")]
        if len(errors) == 1 and "Traceback" not in self.output:
            return Outcome("sentence", errors[0])
        return Outcome("traceback", f"exit {self.exit_code} with {len(errors)} sentences: {self.output[-200:]}")


def grace(*words: str | Path) -> Ran:
    """Run a command of ``grace`` in this process."""
    from typer.testing import CliRunner

    from stages import app

    result = CliRunner().invoke(app, [str(word) for word in words])
    error = None if isinstance(result.exception, SystemExit) else result.exception
    return Ran(result.exit_code, result.output, error)


def crashed(error: BaseException) -> Outcome:
    """The outcome of an exception that reached the trial: a sentence if it is one for people."""
    from grace.pipeline.errors import GraceError

    if isinstance(error, GraceError) and str(error).count("\n") == 0:
        return Outcome("sentence", str(error))
    frame = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
    where = f" at {Path(frame.filename).name}:{frame.lineno}" if frame else ""
    return Outcome("traceback", f"{type(error).__name__}: {error}{where}")


def held_if(same: bool, differs: str = "another result") -> Outcome:
    """Held where the result is that of the sound input, silent where it is not."""
    return Outcome("held") if same else Outcome("silent", differs)


def result_of(ran: Ran, same: Callable[[], bool], differs: str = "another result") -> Outcome:
    """The outcome of a command whose result is compared where it ended well."""
    return ran.failure or held_if(same(), differs)


def digests(*places: Path) -> dict[str, str]:
    """SHA-256 of every file in some folders, by its path in them, and of single files by their name."""
    found = {}
    for place in places:
        for file in [place] if place.is_file() else sorted(place.rglob("*")):
            if file.is_file():
                name = file.name if file == place else file.relative_to(place).as_posix()
                found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def kept(folder: Path, name: str) -> Any:
    """A result of the sound input, as the base's ``baseline.json`` holds it."""
    return json.loads((folder / "baseline.json").read_text())[name]


def without_places(text: str, folder: Path) -> str:
    """A sentence without what differs from run to run: the trial's folder, the project's, ports of loopback."""
    for place, name in ((folder, "."), (PROJECT, "<project>")):
        text = text.replace(f"{place}/", "" if name == "." else f"{name}/").replace(str(place), name)
    return re.sub(r"(?<=127\.0\.0\.1:)\d{4,5}", "<port>", text)


def attempt_in_child(trial: Trial, folder: Path, report: int) -> None:
    """Attempt a trial in this process, write its outcome to a descriptor and end the process."""
    try:
        os.setsid()
        os.chdir(folder)
        log = os.open(folder.parent / f"{folder.name}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        try:
            outcome = trial.attempt(folder)
        except BaseException as error:
            outcome = crashed(error)
        outcome = trial.judge(outcome)
        detail = without_places(outcome.detail, folder).encode("utf-8", "backslashreplace")[:DETAIL]
        os.write(report, json.dumps([outcome.verdict, detail.decode("utf-8", "ignore")]).encode())
    finally:
        os._exit(0)


@dataclass
class Running:
    """A trial under way."""

    trial: Trial
    process: int
    report: int
    folder: Path
    deadline: float
    started: float

    def finish(self) -> Outcome:
        """Read the outcome, and end the process and all that it started."""
        content = b""
        if select.select([self.report], [], [], 0)[0]:
            while block := os.read(self.report, 65536):
                content += block
        late = not content and time.monotonic() >= self.deadline
        os.close(self.report)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process, signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.kill(self.process, signal.SIGKILL)
        _, status = os.waitpid(self.process, 0)
        subprocess.run(["rm", "-rf", str(self.folder), f"{self.folder}.log"], check=False)  # whatever its names are
        if content:
            return Outcome(*json.loads(content))
        seconds = time.monotonic() - self.started
        return Outcome("hang", f"no end after {seconds:.0f} s") if late else Outcome("traceback", f"died: {status}")


def load_factor() -> float:
    """How much slower than an idle machine this one may be now."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)) * 1.5


def start(trial: Trial, number: int, scratch: Path, bases: Path) -> Running:
    """Begin a trial in a process of its own."""
    folder = scratch / f"trial-{number}"
    if trial.base:
        shutil.copytree(bases / trial.base, folder, symlinks=True)
    else:
        folder.mkdir()
    read, write = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if not process:
        os.close(read)
        attempt_in_child(trial, folder, write)
    os.close(write)
    now = time.monotonic()
    return Running(trial, process, read, folder, now + LIMIT * load_factor(), now)


def run_all(trials: Iterable[Trial], scratch: Path, bases: Path, jobs: int) -> Iterator[tuple[Trial, Outcome, float]]:
    """Run trials, ``jobs`` at a time; yields each with its outcome and its seconds as they end."""
    waiting = list(enumerate(trials))[::-1]
    running: list[Running] = []
    while waiting or running:
        while waiting and len(running) < jobs:
            number, trial = waiting.pop()
            running.append(start(trial, number, scratch, bases))
        ready = select.select([each.report for each in running], [], [], 0.2)[0]
        now = time.monotonic()
        for each in [each for each in running if each.report in ready or now >= each.deadline]:
            running.remove(each)
            yield each.trial, each.finish(), time.monotonic() - each.started


def in_child(work: Callable[[], None]) -> None:
    """Do some work in a forked process, so that this one never computes. Raises :class:`RuntimeError` if it fails."""
    sys.stdout.flush()
    process = os.fork()
    if not process:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    if os.waitpid(process, 0)[1]:
        raise RuntimeError(f"{getattr(work, '__name__', 'the work')} failed")
