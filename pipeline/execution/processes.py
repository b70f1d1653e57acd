"""Work in local processes under supervision: what hangs or dies on one clip costs that clip only.

A decoder cannot be interrupted from within its process, and may take the process down with it. So each process records
which clip it has started and when; the supervisor kills a process that spends too long on one clip, starts another, and
gives it the same job without that clip. The local runner uses many such processes, a Ray actor one.
"""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Thread
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from threadpoolctl import threadpool_limits

from grace.pipeline.errors import GraceError

Job_ = TypeVar("Job_", contravariant=True)
Result_ = TypeVar("Result_", covariant=True)
Job = TypeVar("Job")
Result = TypeVar("Result")
Clip = TypeVar("Clip")

IDLE = -1
"""The position of no clip: the process opens, reads its inputs or commits, which may take any time."""
MAX_CRASHES = 2
"""Crashes at the same clip before the clip is to blame: a first one may be somebody's ``kill``."""


class RepeatedCrashError(GraceError):
    """Processes keep dying while no clip is under way."""


class Task(Protocol[Job_, Result_]):
    """What the processes do; picklable, and opened once in each of them."""

    def open(self) -> None:
        """Load what :meth:`run` needs."""

    def run(self, job: Job_, skipped: Mapping[int, str], on_clip_start: Callable[[int], None]) -> Result_:
        """Do a job of several clips, going through them with :func:`watched_clips`.

        Args:
            job: What to do.
            skipped: Position in the job to the cause, for clips that must not be touched again.
            on_clip_start: To be called with a clip's position before the clip is touched, and with :data:`IDLE` after
                the last one.
        """


def watched_clips(
    clips: Iterable[Clip], skipped: Mapping[int, str], on_clip_start: Callable[[int], None]
) -> Iterator[tuple[Clip, str | None]]:
    """The clips of a job, each under the supervisor's clock while the caller is busy with it.

    Args:
        clips: The clips, in the order of their positions.
        skipped: Position in the job to the cause, for clips that must not be touched again.
        on_clip_start: Called with a clip's position before the clip is given, unless it is skipped, and with
            :data:`IDLE` after the last one.

    Yields:
        Each clip with None, or with the cause why it must not be touched.

    Example:
        >>> list(watched_clips(["a", "b"], {1: "it hangs"}, lambda position: print("at", position)))
        at 0
        at -1
        [('a', None), ('b', 'it hangs')]
    """
    for position, clip in enumerate(clips):
        if position not in skipped:
            on_clip_start(position)
        yield clip, skipped.get(position)
    on_clip_start(IDLE)


def run_in_processes(
    task: Task[Job, Result],
    jobs: Sequence[Job],
    *,
    workers: int,
    clip_timeout: float,
    on_progress: Callable[[int], None] = lambda clips: None,
) -> Iterator[tuple[int, Result]]:
    """Do all jobs in up to ``workers`` processes; see :meth:`WatchedWorkers.run`.

    Args:
        task: What the processes do; each of them opens it once.
        jobs: What the task's ``run`` takes, one at a time.
        workers: How many processes at most.
        clip_timeout: Seconds that a process may spend on one clip.
        on_progress: Called repeatedly with the number of clips of the jobs under way that are done.

    Yields:
        Index and result of each job as it is done, in no fixed order.

    Raises:
        RepeatedCrashError: Processes keep dying while no clip is under way.
        Exception: Whatever the task raises.
    """
    with WatchedWorkers(task, workers=workers, clip_timeout=clip_timeout) as pool:
        yield from pool.run(jobs, on_progress)


@dataclass
class _Job:
    """One job, and what became of the processes that had it."""

    index: int
    content: Any
    skipped: dict[int, str] = field(default_factory=dict)
    crashes: Counter[int] = field(default_factory=Counter)

    def record_crash(self, position: int, hung: bool, clip_timeout: float) -> None:
        """Decide what a process that ended at ``position`` means for the next attempt."""
        self.crashes[position] += 1
        if hung:
            self.skipped[position] = (
                f"given up after {clip_timeout:g} seconds (clip_timeout): its decoder hangs, or it is very long"
            )
        elif position != IDLE and self.crashes[position] >= MAX_CRASHES:
            self.skipped[position] = "the process died on this clip (killed, or its decoder crashed)"
        elif self.crashes[position] > MAX_CRASHES:
            raise RepeatedCrashError(
                "A worker process died again and again while no clip was under way (killed for want of "
                "memory?): set workers to a smaller number and run it again."
            )


class WatchedWorkers(Generic[Job, Result]):
    """Processes that hold a task opened, do jobs, and are replaced when they die or hang on a clip.

    A process starts when there is a job for it and stays alive between jobs, until :meth:`close`.

    Args:
        task: What the processes do.
        workers: How many processes at most.
        clip_timeout: Seconds that a process may spend on one clip.
    """

    def __init__(self, task: Task[Job, Result], *, workers: int, clip_timeout: float) -> None:
        self.task = task
        self.workers = workers
        self.clip_timeout = clip_timeout
        self._pool: list[_Worker] = []
        self._looked = time.monotonic()

    def run(
        self, jobs: Sequence[Job], on_progress: Callable[[int], None] = lambda clips: None
    ) -> Iterator[tuple[int, Result]]:
        """Do the jobs, and yield index and result of each as it is done.

        A clip that is under way for longer than ``clip_timeout``, or on which a process dies :data:`MAX_CRASHES`
        times, is skipped when its job is done again. ``on_progress`` is called
        repeatedly with the number of clips of the jobs under way that are done.

        Raises:
            RepeatedCrashError: Processes keep dying while no clip is under way.
            Exception: Whatever the task raises.
        """
        pending = deque(_Job(index, job) for index, job in enumerate(jobs))
        try:
            while pending or any(worker.job for worker in self._pool):
                self._assign(pending)
                on_progress(sum(worker.clips_done() for worker in self._pool if worker.job is not None))
                for worker in self._answered_or_overdue():
                    if (answer := worker.receive()) is not None:
                        yield answer
                    else:
                        pending.appendleft(self._give_up(worker))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Kill the processes."""
        while self._pool:
            self._pool.pop().kill(self.clip_timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _assign(self, pending: deque[_Job]) -> None:
        """Give jobs to free processes, starting as many as there may be."""
        for worker in self._pool:
            if pending and worker.job is None:
                worker.give(pending.popleft())
        while pending and len(self._pool) < self.workers:
            self._pool.append(_Worker(self.task))
            self._pool[-1].give(pending.popleft())

    def _answered_or_overdue(self) -> Iterator[_Worker]:
        """Wait a moment; then the busy processes that have answered, are gone, or are too long at a clip."""
        busy = {worker.connection: worker for worker in self._pool if worker.job is not None}
        pause = min(1.0, self.clip_timeout / 4)
        answered = set(wait(list(busy), timeout=pause))
        looked, self._looked = self._looked, time.monotonic()
        for worker in busy.values():
            # What is more than this the supervisor slept (Ctrl-Z, a suspended machine), and its workers with it.
            worker.watch(min(self._looked - looked, 2 * pause))
        for connection, worker in busy.items():
            if connection in answered or worker.is_overdue(self.clip_timeout):
                yield worker

    def _give_up(self, worker: _Worker) -> _Job:
        """Kill a process that hangs or is gone; its job, which knows now what it died of."""
        assert worker.job is not None
        self._pool.remove(worker)
        worker.job.record_crash(*worker.kill(self.clip_timeout), self.clip_timeout)
        return worker.job


class _Worker:
    """One process, and the job that it has."""

    def __init__(self, task: Task[Any, Any]) -> None:
        context = get_context("spawn")
        self.job: _Job | None = None
        self._started, self._watched = 0.0, 0.0  # the clip under way, by when it was started, and seconds watched at it
        self._clock = context.RawArray("d", 2)  # when the clip under way was started (0: none is), and its position
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(task, theirs, self._clock), daemon=True)
        self._process.start()
        theirs.close()

    def give(self, job: _Job) -> None:
        self.job = job
        with suppress(OSError):  # it is gone already: receive() will notice
            self.connection.send((job.content, job.skipped))

    def receive(self) -> tuple[int, Any] | None:
        """Index and result of its job, or None when it gave no answer; raises what the task raised."""
        assert self.job is not None
        try:
            if not self.connection.poll():
                return None
            result, error = self.connection.recv()
        except (EOFError, OSError):
            return None
        if error is not None:
            raise error
        job, self.job = self.job, None
        return job.index, result

    def clips_done(self) -> int:
        """Clips of its job that are done, as far as it says; 0 while it opens, reads or commits."""
        return max(0, int(self._clock[1]))

    def watch(self, seconds: float) -> None:
        """Count time for the clip under way, if it is the one that was under way at the last call."""
        started = self._clock[0]
        self._watched = self._watched + seconds if started == self._started else 0.0
        self._started = started

    def is_overdue(self, seconds: float) -> bool:
        """Whether the clip under way has been watched for more than ``seconds``."""
        return 0 < self._clock[0] == self._started and self._watched > seconds

    def kill(self, seconds: float) -> tuple[int, bool]:
        """Kill the process; the position of the clip that was under way, and whether it was overdue."""
        overdue = self._clock[0] if self._process.is_alive() and self.is_overdue(seconds) else None
        self._process.kill()
        self._process.join(5)  # a process that waits for a dead network disk cannot even be killed
        self.connection.close()
        position = int(self._clock[1]) if self._clock[0] else IDLE
        return position, position != IDLE and overdue == self._clock[0]  # else it went on to another clip just now


def _serve(task: Task[Any, Any], connection: Connection, clock: Any) -> None:
    """What a process does: jobs as they come, until it is killed or something goes wrong."""

    def on_clip_start(position: int) -> None:
        clock[0] = 0.0
        clock[1] = position
        clock[0] = 0.0 if position == IDLE else time.monotonic()

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor, which ends this process
    exit_with_parent()
    try:
        task.open()
        threadpool_limits(1)  # a process per core: threads of NumPy's BLAS in each would wait for each other
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
