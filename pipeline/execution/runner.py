"""The one loop over clips: a step over the shards of a data set, resumed where it stopped.

It knows nothing of captions or tokens. It decides which shards are to be made, where they are made (in this process,
in local ones, or on a Ray cluster), shows progress, counts failures, and leaves only whole shards behind.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from grace.pipeline.errors import GraceError
from grace.pipeline.execution.processes import IDLE, run_in_processes
from grace.pipeline.execution.step import Step, StepInputs, process_rows
from grace.pipeline.store import Row, Store, failure, folder_lock

if TYPE_CHECKING:
    from grace.pipeline.execution.settings import RaySettings

__all__ = ["Summary", "run"]


@dataclass
class Summary:
    """What became of the clips of a stage."""

    stage: str
    clips: int = 0
    done: int = 0  # made now
    skipped: int = 0  # made earlier, from the same inputs
    fallbacks: int = 0
    failed: Counter[str] = field(default_factory=Counter)  # cause to clips, this stage's own failures
    carried: int = 0  # clips that an earlier stage failed
    seconds: float = 0.0

    @property
    def failed_share(self) -> float:
        """The share of clips that this stage itself failed."""
        return sum(self.failed.values()) / max(self.clips - self.carried, 1)

    def count(self, rows: list[Row]) -> None:
        """Add the rows of one shard."""
        self.clips += len(rows)
        for row in rows:
            if row["status"] == "failed" and row["error"].startswith(f"{self.stage}: "):
                self.failed[row["error"].removeprefix(f"{self.stage}: ")] += 1
            elif row["status"] == "failed":
                self.carried += 1
            self.fallbacks += row["status"] == "fallback"


def run(
    step: Step,
    folder: Path,
    *,
    size: int,
    workers: int = 0,
    clip_seconds: float = 120.0,
    cluster: RaySettings | None = None,
    max_failed: float = 0.01,
    retry_failed: bool = False,
    report: Callable[[Summary], None] = lambda summary: None,
) -> Summary:
    """Run ``step`` over every shard of the data set in ``folder`` (``data/<dataset>``) that is not already so made.

    ``size`` clips a shard; ``workers`` local processes for steps that are ``parallel`` (0: this process), where a
    clip that takes longer than ``clip_seconds`` or kills its process is failed; ``cluster`` has the shards of any
    step made by the workers of a Ray cluster instead; ``retry_failed`` redoes shards in which this stage failed
    clips. ``report`` gets the summary before the verdict.
    Raises :class:`GraceError` when more than ``max_failed`` (a share) of the clips failed in this stage.
    """
    sources = StepInputs(step, folder, size)
    store = Store(Path(folder) / step.folder, step.schema)
    summary = Summary(step.name)
    start = time.perf_counter()
    with folder_lock(store.folder):
        store.prune(len(sources))
        wanted: dict[int, str] = {}
        for shard in range(len(sources)):
            made_from = sources.fingerprint(shard)
            if store.fingerprint(shard) == made_from and not (retry_failed and _has_failures(store, shard, step)):
                summary.skipped += len(sources.clips.shard(shard, size))
            else:
                wanted[shard] = made_from
        with tqdm(total=len(sources.clips), initial=summary.skipped, desc=step.name, unit="clip") as bar:
            if cluster is not None:
                making = _run_ray(step, Path(folder), size, wanted, cluster, clip_seconds)
            elif step.parallel and workers:
                making = _run_processes(step, Path(folder), size, wanted, workers, clip_seconds)
            else:
                making = _run_inline(step, Path(folder), size, wanted)
            for count in making:
                bar.update(count)
                summary.done += count
    for shard in range(len(sources)):
        summary.count(store.read(shard, ["clip_id", "status", "error"]))
    summary.seconds = time.perf_counter() - start
    report(summary)
    if summary.failed_share > max_failed:
        raise GraceError(
            f"{step.name} failed {sum(summary.failed.values())} of {summary.clips - summary.carried} clips, more than "
            f"max_failed ({max_failed:.1%}) allows: mend the causes above and run it again with --retry-failed, "
            "or raise max_failed."
        )
    return summary


def _has_failures(store: Store, shard: int, step: Step) -> bool:
    rows = store.read(shard, ["status", "error"])
    return any(row["status"] == "failed" and row["error"].startswith(f"{step.name}: ") for row in rows)


def _run_inline(step: Step, folder: Path, size: int, wanted: dict[int, str]) -> Iterator[int]:
    """In this process: shard after shard, or some at once where the step begins clips ahead; yields clips done."""
    if not wanted:
        return
    sources = StepInputs(step, folder, size)
    step.open()
    try:
        if step.prefetch_clips:
            yield from _run_threaded(sources, wanted, 1 + -(-step.prefetch_clips // size))
        else:
            for job in wanted.items():
                yield from _process_shard(sources, *job)
    finally:
        step.close()


def _run_threaded(sources: StepInputs, wanted: dict[int, str], threads: int) -> Iterator[int]:
    """Shards side by side in threads, each committed when it is whole, so that an engine never waits for work."""

    def make(job: tuple[int, str]) -> int:
        return sum(_process_shard(sources, *job))

    waiting = iter(wanted.items())
    with ThreadPoolExecutor(threads, f"{sources.step.name} shard") as pool:
        running = {pool.submit(make, job) for job in islice(waiting, threads)}
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
                    running |= {pool.submit(make, job) for job in islice(waiting, 1)}
        except BaseException:
            for future in running:
                future.cancel()
            sources.step.close()  # ends what the other threads wait for
            raise


def _process_shard(sources: StepInputs, shard: int, made_from: str) -> Iterator[int]:
    """Make one shard and commit it; yields 1 for each clip as it is done."""
    made: list[Row] = []
    for row in process_rows(sources.step, sources.rows(shard)):
        made.append(row)
        yield 1
    _commit(sources, shard, made_from, made)


def _run_processes(
    step: Step, folder: Path, size: int, wanted: dict[int, str], workers: int, clip_seconds: float
) -> Iterator[int]:
    """Shards side by side in local processes; yields the number of clips of each."""
    work = _Shards(step, folder, size)
    for _, count in run_in_processes(work, list(wanted.items()), workers=workers, clip_seconds=clip_seconds):
        yield count


def _run_ray(
    step: Step, folder: Path, size: int, wanted: dict[int, str], cluster: RaySettings, clip_seconds: float
) -> Iterator[int]:
    """Shards side by side on a Ray cluster; yields the number of clips of each."""
    if not wanted:
        return
    from grace.pipeline.execution.ray import run_on_ray

    work, at_once = _Shards(step, folder, size), 1 + -(-step.prefetch_clips // size)
    jobs = list(wanted.items())
    for _, count in run_on_ray(work, jobs, cluster, clip_seconds=clip_seconds, at_once=at_once, by_clip=step.parallel):
        yield count


@dataclass
class _Shards:
    """Whole shards as work of processes elsewhere: clip by clip where the step is ``parallel``."""

    step: Step
    folder: Path
    size: int
    sources: StepInputs = field(init=False)

    def open(self) -> None:
        self.sources = StepInputs(self.step, self.folder, self.size)
        self.step.open()

    def run(self, job: tuple[int, str], skipped: Mapping[int, str], on_clip_start: Callable[[int], None]) -> int:
        shard, made_from = job
        if not self.step.parallel:
            return sum(_process_shard(self.sources, shard, made_from))
        made: list[Row] = []
        for place, row in enumerate(self.sources.rows(shard)):
            if place in skipped:
                made.append(failure(row["clip_id"], f"{self.step.name}: {skipped[place]}"))
            else:
                on_clip_start(place)
                made += process_rows(self.step, [row])
        on_clip_start(IDLE)
        _commit(self.sources, shard, made_from, made)
        return len(made)


def _commit(sources: StepInputs, shard: int, made_from: str, made: list[Row]) -> None:
    """Write one shard whole, its rows in the order of the clips."""
    step = sources.step
    store = Store(sources.folder / step.folder, step.schema)
    inputs = {name: earlier.fingerprint(shard) for name, earlier in sources.stores.items()}
    meta = {"fingerprint": made_from, "version": step.version, "identity": sources.cache_key, "inputs": inputs}
    store.write(shard, sorted(made, key=lambda row: str(row["clip_id"])), meta)
