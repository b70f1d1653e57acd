"""Watched processes: who is to blame when one dies, and how its errors arrive."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from grace.pipeline.errors import GraceError, UserError
from grace.pipeline.execution.processes import IDLE, run_in_processes


@dataclass
class Count:
    """Says how long each name is; some names make it misbehave."""

    folder: Path

    def open(self) -> None: ...

    def run(self, job: list[str], skipped: Mapping[int, str], on_clip_start: Callable[[int], None]) -> list[int | str]:
        made: list[int | str] = []
        for place, name in enumerate(job):
            on_clip_start(place)
            made.append(skipped[place] if place in skipped else self._length(name))
        on_clip_start(IDLE)
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


def test_a_process_killed_once_is_nobodys_fault_and_twice_is_the_clips(tmp_path: Path) -> None:
    jobs = [["a", "die once"], ["bb", "die", "ccc"], ["dddd"]]
    made = dict(run_in_processes(Count(tmp_path), jobs, workers=2, clip_seconds=600))
    assert made[0] == [1, 8]
    assert made[1] == [2, "the process died on this clip (killed, or its decoder crashed)", 3]
    assert made[2] == [4]


def test_a_process_that_dies_with_no_clip_under_way_stops_the_work(tmp_path: Path) -> None:
    with pytest.raises(GraceError, match="no clip was under way"):
        list(run_in_processes(Count(tmp_path), [["die after"]], workers=1, clip_seconds=600))


def test_errors_for_people_arrive_as_they_are_and_bugs_with_their_traceback(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no such model"):
        list(run_in_processes(Count(tmp_path), [["refuse"]], workers=1, clip_seconds=600))
    with pytest.raises(RuntimeError, match=r"(?s)in _length.*KeyError: 'our own'"):
        list(run_in_processes(Count(tmp_path), [["bug"]], workers=1, clip_seconds=600))
