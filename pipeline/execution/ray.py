"""Work on a Ray cluster: actors hold a task opened, and one that dies costs the jobs it had, which others do again.

The counterpart of :mod:`grace.pipeline.execution.processes` beyond one machine, and built on it: an actor does jobs
that go clip by clip in a supervised process beneath it, so that a clip that hangs or kills does not cost the actor.
Every node sees the project's folder under the same path (a shared disk): a shard is read and committed where it is
made.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from grace.pipeline.errors import GraceError, UserError
from grace.pipeline.execution.processes import RepeatedCrashError, Task, WatchedWorkers
from grace.pipeline.messages import install_hint

if TYPE_CHECKING:
    from grace.pipeline.execution.settings import RaySettings

Job = TypeVar("Job")
Result = TypeVar("Result")

MAX_ACTOR_CRASHES = 5
"""Actors that a job may cost before the whole run is given up; while opening, the same in a row for each actor."""

_TOO_MANY_CRASHES = (
    f"More than {MAX_ACTOR_CRASHES} workers on the Ray cluster died one after another at the same work (for want of "
    "memory?): give each more with ray.cpus and ray.gpus, and see `ray logs`. What is done is kept."
)

WAIT_NOTICE = 60.0
"""Seconds without a worker that is ready after which a warning says that the run waits."""

FORWARDED_VARIABLES = ("HF_", "TRANSFORMERS_", "TOKENIZERS_", "VLLM_", "OPENAI_")
"""Environment variables, by how they begin, that an actor takes over from the process that started it."""

OPENING = -1
"""The index of no job: the actor opens the task."""

logger = logging.getLogger(__name__)


def run_on_ray(
    task: Task[Job, Result],
    jobs: Sequence[Job],
    settings: RaySettings,
    *,
    clip_timeout: float | None,
    jobs_per_actor: int = 1,
) -> Iterator[tuple[int, Result]]:
    """Do all jobs by actors of a cluster, and yield index and result of each as it is done.

    A job whose actor died is given to another one.

    Args:
        task: What the actors do.
        jobs: What to do it to.
        settings: The cluster, and what each actor needs.
        clip_timeout: With a number, each actor has one supervised process for its jobs, as :class:`WatchedWorkers`
            describes; None for a task that does not say which clip it is at: it runs in the actor itself.
        jobs_per_actor: Jobs that an actor does concurrently, in threads.

    Raises:
        UserError: There is no cluster, or no node has what an actor needs.
        GraceError: Actors keep dying.
        Exception: Whatever the task raises.
    """
    with _ray_session(settings) as slots:
        pool = _ActorPool(task, settings, clip_timeout, jobs_per_actor)
        try:
            yield from pool.run(jobs, min(settings.workers or slots, slots, math.ceil(len(jobs) / jobs_per_actor)))
        finally:
            pool.shutdown()


def count_workers(settings: RaySettings) -> int:
    """Workers that would run concurrently. Raises :class:`UserError` when there is no cluster, or none fits on it."""
    with _ray_session(settings) as slots:
        return min(settings.workers or slots, slots)


@contextmanager
def _ray_session(settings: RaySettings) -> Iterator[int]:
    """Be connected to the cluster; how many actors fit there."""
    try:
        import ray
    except ImportError:
        raise UserError(f"runner: ray needs Ray: {install_hint('ray')}, or set runner to processes.") from None

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster of our own sends nothing to anybody
    ours = not ray.is_initialized()
    if ours:
        _connect(settings.address)
    try:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        slots = sum(_slots(node, settings) for node in nodes)
        if slots == 0:
            has = "; ".join(f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs" for node in nodes)
            raise UserError(
                f"No node of the Ray cluster has {settings.cpus:g} CPUs and {settings.gpus:g} GPUs for one worker "
                f"(nodes: {has}): set ray.cpus and ray.gpus to what a node has."
            )
        yield slots
    finally:
        if ours:
            ray.shutdown()


def _connect(address: str) -> None:
    import ray

    quiet: dict[str, Any] = {"logging_level": "warning", "log_to_driver": False}
    try:
        ray.init(address=address, **quiet)
    except ConnectionError:
        if address != "auto":
            raise UserError(
                f"There is no Ray cluster at {address}: start one (`ray start --head`) and name its address in "
                "ray.address, or set it to auto or local."
            ) from None
        ray.init(address="local", include_dashboard=False, **quiet)


def _slots(node: dict[str, float], settings: RaySettings) -> int:
    """How many actors fit on a node."""
    needed = {"CPU": settings.cpus, "GPU": settings.gpus}
    return min(int(node.get(name, 0) / amount) for name, amount in needed.items() if amount)


@dataclass
class _ActorPool:
    """The actors, and which jobs they have."""

    task: Task[Any, Any]
    settings: RaySettings
    clip_timeout: float | None
    jobs_per_actor: int
    free: list[Any] = field(default_factory=list, init=False)  # each actor once for every further job it can take
    opening: dict[Any, Any] = field(default_factory=dict, init=False)  # promise to actor
    busy: dict[Any, tuple[Any, int]] = field(default_factory=dict, init=False)  # promise to actor and index of the job

    def run(self, jobs: Sequence[Job], actors: int) -> Iterator[tuple[int, Any]]:
        pending, crashes = deque(range(len(jobs))), Counter[int]()
        for _ in range(actors):
            self._start_actor()
        while pending or self.busy:
            while pending and self.free:
                actor, index = self.free.pop(0), pending.popleft()
                self.busy[actor.run.remote(jobs[index])] = (actor, index)
            for promise in self._wait():
                if promise in self.opening:
                    actor, index = self.opening.pop(promise), OPENING
                elif promise in self.busy:
                    actor, index = self.busy.pop(promise)
                else:
                    continue  # its actor died with another job, and this one was taken back then
                alive, result = _answer(promise)
                if not alive:
                    interrupted = {index, *self._drop_actor(actor)}
                    crashes.update(interrupted)
                    if any(
                        crashes[each] > MAX_ACTOR_CRASHES * (actors if each == OPENING else 1) for each in interrupted
                    ):
                        raise GraceError(_TOO_MANY_CRASHES)
                    pending.extendleft(sorted(interrupted - {OPENING}, reverse=True))
                    self._start_actor()
                elif index == OPENING:
                    crashes[OPENING] = 0
                    self.free += [actor] * self.jobs_per_actor
                else:
                    self.free.append(actor)
                    yield index, result

    def shutdown(self) -> None:
        """End every actor."""
        import ray

        actors = [*self.free, *self.opening.values(), *(actor for actor, _ in self.busy.values())]
        for actor in dict.fromkeys(actors):
            ray.kill(actor)

    def _wait(self) -> list[Any]:
        """Promises that are kept, or broken by the actor's death; at least one, unless the wait was long."""
        import ray

        done, _ = ray.wait([*self.opening, *self.busy], timeout=WAIT_NOTICE)
        if not done and not self.busy:
            logger.warning("No worker on the Ray cluster is ready yet; waiting.")
        return done

    def _start_actor(self) -> None:
        import ray

        environment = {name: value for name, value in os.environ.items() if name.startswith(FORWARDED_VARIABLES)}
        actor: Any = (
            ray.remote(_Actor)
            .options(
                num_cpus=self.settings.cpus,
                num_gpus=self.settings.gpus,
                max_concurrency=self.jobs_per_actor,
                scheduling_strategy="SPREAD",
            )
            .remote(pickle.dumps(self.task), self.clip_timeout)
        )
        self.opening[actor.open.remote(str(Path.cwd()), sys.path, environment)] = actor

    def _drop_actor(self, actor: Any) -> list[int]:
        """Forget a dead actor; the other jobs that it had."""
        import ray

        ray.kill(actor)  # it may be cut off, not dead: it shall not go on beside its successor
        self.free = [other for other in self.free if other is not actor]
        interrupted = {promise: index for promise, (other, index) in self.busy.items() if other is actor}
        for promise in interrupted:
            del self.busy[promise]
        return list(interrupted.values())


def _answer(promise: Any) -> tuple[bool, Any]:
    """Whether the actor can go on, and what it answered; raises what its task raised."""
    import ray
    from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError

    try:
        return True, ray.get(promise)
    except (RayActorError, OutOfMemoryError):
        return False, None
    except RayTaskError as error:
        if isinstance(error.cause, RepeatedCrashError):
            return False, None  # no process lives long where it is: the job may fare better elsewhere
        if isinstance(error.cause, GraceError | MemoryError):
            raise error.cause from None
        raise


class _Actor:
    """What runs on a node: the task, opened once, here or in a supervised process."""

    def __init__(self, task: bytes, clip_timeout: float | None) -> None:
        self._packed = task
        self._clip_timeout = clip_timeout
        self._supervisor: WatchedWorkers[Any, Any] | None = None

    def open(self, folder: str, paths: list[str], environment: dict[str, str]) -> None:
        """Take over folder, modules and variables of the process that started the run; then open the task."""
        os.environ.update(environment)
        try:
            os.chdir(folder)
        except OSError:
            raise GraceError(
                f"The node {os.uname().nodename} does not see {folder}: every node of the Ray cluster needs the "
                "project's folder, and the raw data, under the same path."
            ) from None
        sys.path += [path for path in paths if path not in sys.path]
        self._task: Task[Any, Any] = pickle.loads(self._packed)
        if self._clip_timeout is None:
            self._task.open()
        else:
            self._supervisor = WatchedWorkers(self._task, workers=1, clip_timeout=self._clip_timeout)

    def run(self, job: Any) -> Any:
        """Do one job; in a supervised process, without the clips that hang or kill it."""
        if self._supervisor is None:
            return self._task.run(job, {}, lambda position: None)
        ((_, result),) = self._supervisor.run([job])
        return result
