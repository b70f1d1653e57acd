"""What the work may use of this machine or cluster, and what of it other work uses already."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from grace.pipeline.errors import GraceError
from grace.pipeline.settings import PipelineSettings

NOTICED = 0.2
"""Busy cores from which on a machine is called busy: less is the system itself."""
LOOK = 1.0
"""Seconds over which the load is measured."""


@dataclass(frozen=True)
class Machine:
    """Where the stages will run.

    Example:
        >>> machine = Machine(cores=2, busy=1.0)
        >>> round(machine.speed(2), 2), machine.speed(1), Machine(cores=2).speed(2)
        (0.67, 1.0, 1.0)
    """

    cores: int
    busy: float = 0.0
    """Cores that other work would use: its threads that run or wait for a core."""
    gpus: tuple[str, ...] = ()
    """Their names."""
    ray_workers: int | None = None
    """Workers of the Ray cluster; None without one."""
    note: str = ""
    """What could not be found out."""

    @property
    def is_busy(self) -> bool:
        """Whether other work slows this one down noticeably."""
        return self.busy >= NOTICED

    def speed(self, threads: float, busy: float | None = None) -> float:
        """The share of a core that each of our ``threads`` gets, beside ``busy`` others that want one."""
        others = self.busy if busy is None else busy
        return min(1.0, self.cores / (threads + others))


def look_at_machine(settings: PipelineSettings) -> Machine:
    """Count cores, GPUs and Ray workers, and measure for a second what other work uses."""
    import psutil
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    busy = _waiting_threads()
    if busy is None:
        busy = psutil.cpu_percent(interval=LOOK) / 100 * (psutil.cpu_count() or cores)
    gpus = tuple(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
    workers, note = _ray_workers(settings)
    return Machine(cores, busy, gpus, workers, note)


def _waiting_threads() -> float | None:
    """Threads of others that run or wait for a core, on average over a second; None where the system does not say."""
    seen = []
    try:
        for _ in range(20):
            running, _, _ = Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")
            seen.append(max(0, int(running) - 1))  # one is this process
            time.sleep(LOOK / 20)
    except (OSError, ValueError, IndexError):
        return None
    return sum(seen) / len(seen)


def _ray_workers(settings: PipelineSettings) -> tuple[int | None, str]:
    if settings.runner != "ray":
        return None, ""
    if find_spec("ray") is None:
        return None, "ray is not installed here, so that its workers are not counted"
    from grace.pipeline.execution.ray import count_workers

    try:
        return count_workers(settings.ray), ""
    except GraceError as error:
        return None, f"the workers of the Ray cluster are not counted. {error}"
