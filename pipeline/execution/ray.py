"""Work on a Ray cluster: actors hold it opened, and one that dies costs the jobs it had, which others do again.

The counterpart of ``grace.pipeline.execution.processes`` beyond one machine. Every node sees the project's folder under the same path
(a shared disk): a shard is read and committed by the actor that makes it.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any, TypeVar

from grace.pipeline.errors import GraceError, UserError
from grace.pipeline.execution.processes import IDLE, MAX_CRASHES, Task, run_in_processes

if TYPE_CHECKING:
    from grace.pipeline.execution.settings import RaySettings

Job = TypeVar("Job")
Result = TypeVar("Result")

MAX_ACTOR_CRASHES = 5
"""Actors that a job, or each place that opens the work, may cost before the whole run is given up."""

_TOO_MANY_CRASHES = (
    f"More than {MAX_ACTOR_CRASHES} workers on the Ray cluster died one after another at the same work (for want of "
    "memory?): give each more with ray.cpus and ray.gpus, and see `ray logs`. What is done is kept."
)

WAIT_NOTICE = 60.0
"""Seconds without a worker at work after which a person is told that all wait."""

FORWARDED_VARIABLES = ("HF_", "TRANSFORMERS_", "TOKENIZERS_", "VLLM_", "OPENAI_")
"""Environment variables, by how they begin, that an actor takes over from the process that started it."""


def run_on_ray(
    task: Task[Job, Result],
    jobs: Sequence[Job],
    settings: RaySettings,
    *,
    clip_seconds: float,
    at_once: int,
    by_clip: bool,
) -> Iterator[tuple[int, Result]]:
    """The number and the result of every job, in the order in which they are done, by actors of a cluster.

    Each actor opens ``task`` once and has ``at_once`` jobs under way, in threads. A job whose actor died is given to
    another one. With ``by_clip``, for task that tells where it is (``on_clip_start``), an actor that is at one clip for longer
    than ``clip_seconds`` ends itself, and a job that cost :data:`~grace.pipeline.execution.processes.MAX_CRASHES` actors is done by a watched
    process beneath its actor, which finds the clip to blame. Raises what ``task`` raises, :class:`UserError` when
    there is no cluster or no place on it, :class:`GraceError` when actors keep dying.
    """
    with _ray_session(settings) as slots:
        pool = _ActorPool(task, settings, clip_seconds if by_clip else None, at_once)
        try:
            yield from pool.run(jobs, min(settings.workers or slots, slots, -(-len(jobs) // at_once)))
        finally:
            pool.shutdown()


@contextmanager
def _ray_session(settings: RaySettings) -> Iterator[int]:
    """Be on the cluster; how many actors fit there."""
    import ray

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
    asked = {"CPU": settings.cpus, "GPU": settings.gpus}
    return min(int(node.get(name, 0) / amount) for name, amount in asked.items() if amount)


@dataclass
class _ActorPool:
    """The actors, and which jobs they have."""

    task: Task[Any, Any]
    settings: RaySettings
    clip_seconds: float | None
    at_once: int
    free: list[Any] = field(default_factory=list, init=False)  # an actor stands here once for each job it could take
    opening: dict[Any, Any] = field(default_factory=dict, init=False)  # promise to actor
    busy: dict[Any, tuple[Any, int]] = field(default_factory=dict, init=False)  # promise to actor and job

    def run(self, jobs: Sequence[Job], count: int) -> Iterator[tuple[int, Any]]:
        import ray

        waiting, crashes = deque(range(len(jobs))), Counter[int]()
        for _ in range(count):
            self._start_actor()
        while waiting or self.busy:
            while waiting and self.free:
                number = waiting.popleft()
                actor = self.free.pop(0)
                isolated = self.clip_seconds is not None and crashes[number] >= MAX_CRASHES
                self.busy[actor.run.remote(jobs[number], isolated)] = (actor, number)
            done, _ = ray.wait([*self.opening, *self.busy], timeout=WAIT_NOTICE)
            if not done and not self.busy:
                print("No worker on the Ray cluster is ready yet; waiting.", file=sys.stderr)
            for promise in done:
                actor, number = self.busy.pop(promise, (None, IDLE))
                actor = actor or self.opening.pop(promise, None)
                if actor is None:
                    continue  # its actor died with another job, and this one was taken back then
                alive, result = _answer(promise)
                if not alive:
                    lost = sorted(set(self._drop_actor(actor)) | {number})
                    crashes.update(lost)
                    if crashes[IDLE] > MAX_ACTOR_CRASHES * count or any(
                        crashes[each] > MAX_ACTOR_CRASHES for each in lost if each >= 0
                    ):
                        raise GraceError(_TOO_MANY_CRASHES)
                    waiting.extendleft(each for each in reversed(lost) if each != IDLE)
                    self._start_actor()
                elif number == IDLE:
                    crashes[IDLE] = 0
                    self.free += [actor] * self.at_once
                else:
                    self.free.append(actor)
                    yield number, result

    def shutdown(self) -> None:
        """End every actor."""
        import ray

        actors = [*self.free, *self.opening.values(), *(actor for actor, _ in self.busy.values())]
        for actor in dict.fromkeys(actors):
            ray.kill(actor)

    def _start_actor(self) -> None:
        import ray

        environment = {name: value for name, value in os.environ.items() if name.startswith(FORWARDED_VARIABLES)}
        actor: Any = (
            ray.remote(_Actor)
            .options(
                num_cpus=self.settings.cpus,
                num_gpus=self.settings.gpus,
                max_concurrency=self.at_once,
                scheduling_strategy="SPREAD",
            )
            .remote(pickle.dumps(self.task), self.clip_seconds)
        )
        self.opening[actor.open.remote(str(Path.cwd()), sys.path, environment)] = actor

    def _drop_actor(self, actor: Any) -> list[int]:
        """Forget a dead actor; the other jobs that it had."""
        import ray

        ray.kill(actor)  # it may be cut off, not dead: it shall not go on beside its successor
        self.free = [other for other in self.free if other is not actor]
        lost = {promise: number for promise, (other, number) in self.busy.items() if other is actor}
        for promise in lost:
            del self.busy[promise]
        return list(lost.values())


def _answer(promise: Any) -> tuple[bool, Any]:
    """Whether the actor lives, and what it answered; raises what its work raised."""
    import ray
    from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError

    try:
        return True, ray.get(promise)
    except (RayActorError, OutOfMemoryError):
        return False, None
    except RayTaskError as error:
        if isinstance(error.cause, GraceError | MemoryError):
            raise error.cause from None
        raise


class _Actor:
    """What runs on a node: the work, opened once. Its clock ends it when a clip takes too long."""

    def __init__(self, task: bytes, clip_seconds: float | None) -> None:
        self.packed = task
        self.clip_seconds = clip_seconds

    def open(self, folder: str, paths: list[str], environment: dict[str, str]) -> None:
        """Stand where the starting process stands, with its modules and settings; then load what the work needs."""
        os.environ.update(environment)
        try:
            os.chdir(folder)
        except OSError:
            raise GraceError(
                f"The node {os.uname().nodename} does not see {folder}: every node of the Ray cluster needs the "
                "project's folder, and the raw data, under the same path."
            ) from None
        sys.path += [path for path in paths if path not in sys.path]
        self.task: Task[Any, Any] = pickle.loads(self.packed)
        self.task.open()

    def run(self, job: Any, isolated: bool) -> Any:
        """One job. A careful one runs in a process beneath this one, which may die or be ended at a clip."""
        if isolated and self.clip_seconds is not None:
            fresh = pickle.loads(self.packed)
            ((_, result),) = run_in_processes(fresh, [job], workers=1, clip_seconds=self.clip_seconds)
            return result
        clock = _Clock(self.clip_seconds)
        try:
            return self.task.run(job, {}, clock.on_clip_start)
        finally:
            clock.on_clip_start(IDLE)


class _Clock:
    """Ends this process when a clip takes longer than ``seconds``: nothing less interrupts a decoder."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.timer: Timer | None = None

    def on_clip_start(self, place: int) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = None
        if place != IDLE and self.seconds is not None:
            self.timer = Timer(self.seconds, os._exit, (1,))
            self.timer.daemon = True
            self.timer.start()
