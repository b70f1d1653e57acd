"""Work in local processes that are watched: what hangs or dies on one clip costs that clip only.

A decoder cannot be interrupted from within its process, and may take the process with it. So each process writes down
which clip it has begun and when; the watcher ends a process that is too long at one clip, starts another in its place,
and has the job done again without that clip.
"""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any, Protocol, TypeVar

from grace.pipeline.errors import GraceError

Job_ = TypeVar("Job_", contravariant=True)
Result_ = TypeVar("Result_", covariant=True)
Job = TypeVar("Job")
Result = TypeVar("Result")

IDLE = -1
"""The place of no clip: the process opens, reads its inputs or commits, which may take any time."""
MAX_CRASHES = 2
"""Times a process must die at the same place before the clip there is to blame: the first may have been meant."""


class Task(Protocol[Job_, Result_]):
    """What the processes do; picklable, and opened once in each of them."""

    def open(self) -> None:
        """Load what :meth:`run` needs."""

    def run(self, job: Job_, skipped: Mapping[int, str], on_clip_start: Callable[[int], None]) -> Result_:
        """Do a job of several clips; ``on_clip_start`` is told a clip's place in the job before the clip is touched.

        ``skipped`` are the places of clips that must not be touched again, with the cause. Once all clips are through,
        ``on_clip_start(IDLE)`` stops the clock.
        """


def run_in_processes(
    task: Task[Job, Result], jobs: Sequence[Job], *, workers: int, clip_seconds: float
) -> Iterator[tuple[int, Result]]:
    """The number and the result of every job, in the order in which they are done by ``workers`` processes.

    A clip that is under way for longer than ``clip_seconds``, or on which a process dies twice, is lost to its job.
    Raises what ``task`` raises, and :class:`GraceError` when processes die with no clip under way.
    """
    waiting = deque(range(len(jobs)))
    skipped: list[dict[int, str]] = [{} for _ in jobs]
    crashes: Counter[tuple[int, int]] = Counter()
    pool = [_Worker(task) for _ in range(min(workers, len(jobs)))]
    try:
        while waiting or any(worker.number is not None for worker in pool):
            for worker in pool:
                if worker.number is None and waiting:
                    number = waiting.popleft()
                    worker.give(number, jobs[number], skipped[number])
            busy = {worker.connection: worker for worker in pool if worker.number is not None}
            answered = set(wait(list(busy), timeout=min(1.0, clip_seconds / 4)))
            for connection, worker in busy.items():
                assert worker.number is not None
                if connection in answered and (answer := worker.take()) is not None:
                    yield answer
                elif connection in answered or worker.overdue(clip_seconds):
                    number, clip, hung = worker.number, *worker.end(clip_seconds)
                    crashes[number, clip] += 1
                    if hung or (clip != IDLE and crashes[number, clip] >= MAX_CRASHES):
                        skipped[number][clip] = _cause(hung, clip_seconds)
                    elif crashes[number, clip] > MAX_CRASHES:
                        raise GraceError(
                            "A worker process died again and again while no clip was under way (killed for want of "
                            "memory?): set workers to a smaller number and run it again."
                        )
                    waiting.appendleft(number)
                    pool[pool.index(worker)] = _Worker(task)
    finally:
        for worker in pool:
            worker.end(clip_seconds)


def _cause(hung: bool, clip_seconds: float) -> str:
    if hung:
        return f"given up after {clip_seconds:g} seconds (clip_seconds): its decoder hangs, or it is very long"
    return "the process died on this clip (killed, or its decoder crashed)"


class _Worker:
    """One process, and the number of the job that it has."""

    def __init__(self, task: Task[Any, Any]) -> None:
        context = get_context("spawn")
        self.number: int | None = None
        self._clock = context.RawArray("d", 2)  # when the clip under way was begun (0: none is), and its place
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(task, theirs, self._clock), daemon=True)
        self._process.start()
        theirs.close()

    def give(self, number: int, job: Any, skipped: Mapping[int, str]) -> None:
        self.number = number
        with suppress(OSError):  # it is gone already: take() will tell
            self.connection.send((job, dict(skipped)))

    def take(self) -> tuple[int, Any] | None:
        """The job's number and its result, or None when the process is gone; raises what the work raised."""
        try:
            result, error = self.connection.recv()
        except (EOFError, OSError):
            return None
        if error is not None:
            raise error
        number, self.number = self.number, None
        assert number is not None
        return number, result

    def overdue(self, seconds: float) -> bool:
        """Whether the clip under way was begun more than ``seconds`` ago."""
        return 0 < self._clock[0] < time.monotonic() - seconds

    def end(self, seconds: float) -> tuple[int, bool]:
        """Kill the process; the place of the clip that was under way, and whether it was overdue."""
        overdue = self._clock[0] if self._process.is_alive() and self.overdue(seconds) else None
        self._process.kill()
        self._process.join(5)  # a process that waits for a dead network disk cannot even be killed
        self.connection.close()
        place = int(self._clock[1]) if self._clock[0] else IDLE
        return place, place != IDLE and overdue == self._clock[0]  # else it went on to another clip just now


def _serve(task: Task[Any, Any], connection: Connection, clock: Any) -> None:
    """What a process does: jobs as they come, until it is killed or something goes wrong."""

    def on_clip_start(place: int) -> None:
        clock[0] = 0.0
        clock[1] = place
        clock[0] = 0.0 if place == IDLE else time.monotonic()

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the watcher, who ends this process
    exit_with_parent()
    try:
        task.open()
        while True:
            job, skipped = connection.recv()
            result = task.run(job, skipped, on_clip_start)
            on_clip_start(IDLE)
            connection.send((result, None))
    except EOFError:
        return
    except (GraceError, MemoryError) as error:
        connection.send((None, error))
    except Exception:  # our own bug: its traceback is of this process
        connection.send((None, RuntimeError(f"in a worker process:\n{traceback.format_exc()}")))


def exit_with_parent() -> None:
    """End this worker when the process that started it is gone, however it went: nobody else would."""
    parent = parent_process()
    if parent is not None:
        Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(process: BaseProcess) -> None:
    process.join()
    os._exit(1)
