"""Supervised processes: which clip is to blame when one dies, how its errors arrive, and how long it lives."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from grace.pipeline.errors import GraceError, UserError
from grace.pipeline.execution.processes import WatchedWorkers, run_in_processes, watched_clips


@dataclass
class Count:
    """Says how long each name is; some names make it misbehave."""

    folder: Path

    def open(self) -> None: ...

    def run(self, job: list[str], skipped: Mapping[int, str], on_clip_start: Callable[[int], None]) -> list[int | str]:
        made: list[int | str] = []
        for name, cause in watched_clips(job, skipped, on_clip_start):
            made.append(self._length(name) if cause is None else cause)
        if "die after" in job:
            os.kill(os.getpid(), signal.SIGKILL)
        return made

    def _length(self, name: str) -> int:
        mark = self.folder / name
        if name == "refuse":
            raise UserError("There is no such model.")
        if name == "bug":
            raise KeyError("our own")
        if name == "die" or (name == "die once" and not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return len(name)


@dataclass
class Slow:
    """Takes its time at one clip."""

    def open(self) -> None: ...

    def run(self, job: list[str], skipped: Mapping[int, str], on_clip_start: Callable[[int], None]) -> int:
        for name, _ in watched_clips(job, skipped, on_clip_start):
            time.sleep(2.5 if name == "wait" else 0)
        return len(job)


@dataclass
class Identify:
    """Returns the process's id, and how often it has been opened; hangs when a job says so."""

    opened: int = 0

    def open(self) -> None:
        self.opened += 1

    def run(self, job: str, skipped: Mapping[int, str], on_clip_start: Callable[[int], None]) -> tuple[int, int, str]:
        causes = []
        for name, cause in watched_clips([job], skipped, on_clip_start):
            if cause is None and name == "hang":
                time.sleep(3600)
            causes.append(cause or "")
        return os.getpid(), self.opened, causes[0]


def test_a_process_killed_once_is_nobodys_fault_and_twice_is_the_clips(tmp_path: Path) -> None:
    jobs = [["a", "die once"], ["bb", "die", "ccc"], ["dddd"]]
    made = dict(run_in_processes(Count(tmp_path), jobs, workers=2, clip_timeout=600))
    assert made[0] == [1, 8]
    assert made[1] == [2, "the process died on this clip (killed, or its decoder crashed)", 3]
    assert made[2] == [4]


def test_a_process_that_dies_with_no_clip_under_way_stops_the_work(tmp_path: Path) -> None:
    with pytest.raises(GraceError, match="no clip was under way"):
        list(run_in_processes(Count(tmp_path), [["die after"]], workers=1, clip_timeout=600))


def test_errors_for_people_arrive_as_they_are_and_bugs_with_their_traceback(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no such model"):
        list(run_in_processes(Count(tmp_path), [["refuse"]], workers=1, clip_timeout=600))
    with pytest.raises(RuntimeError, match=r"(?s)in _length.*KeyError: 'our own'"):
        list(run_in_processes(Count(tmp_path), [["bug"]], workers=1, clip_timeout=600))


def test_a_process_stays_opened_between_runs_until_it_hangs_or_dies() -> None:
    with WatchedWorkers(Identify(), workers=1, clip_timeout=2) as pool:
        ((_, first),) = pool.run(["fine"])
        ((_, second),) = pool.run(["fine"])
        assert first == second == (first[0], 1, "")
        ((_, (after_hang, opened, cause)),) = pool.run(["hang"])
        assert (opened, cause[:22]) == (1, "given up after 2 secon")
        assert after_hang != first[0]
        ((_, (same, *_)),) = pool.run(["fine"])
        assert same == after_hang
        os.kill(after_hang, signal.SIGKILL)  # between two jobs
        ((_, (replaced, *_)),) = pool.run(["fine"])
        assert replaced != after_hang
    with pytest.raises(ProcessLookupError):
        os.kill(replaced, 0)


def test_no_more_processes_start_than_there_are_jobs() -> None:
    with WatchedWorkers(Identify(), workers=4, clip_timeout=60) as pool:
        assert list(pool.run([])) == []
        assert len({pid for _, (pid, *_) in pool.run(["fine"])}) == 1
        assert len(pool._pool) == 1


def test_clips_of_jobs_under_way_are_told() -> None:
    """Before any job has ended, and never those of a job that has."""
    told: list[int] = []
    jobs = [["a", "b", "wait", "c"]]
    made = list(run_in_processes(Slow(), jobs, workers=1, clip_timeout=4, on_progress=told.append))
    assert made == [(0, 4)]
    assert set(told) >= {0, 2}
    assert max(told) <= 3
