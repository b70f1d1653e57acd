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
from grace.pipeline.execution.step import ClipStep, Sources, Step, fill
from grace.pipeline.store import Row, Store, failure, locked
from grace.pipeline.execution.processes import NONE, die_with_parent, watched

if TYPE_CHECKING:
    from grace.pipeline.settings import Ray

__all__ = ["ClipStep", "Step", "Summary", "die_with_parent", "run"]


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
    cluster: Ray | None = None,
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
    sources = Sources(step, folder, size)
    store = Store(Path(folder) / step.folder, step.schema)
    summary = Summary(step.name)
    start = time.perf_counter()
    with locked(store.folder):
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
                making = _on_cluster(step, Path(folder), size, wanted, cluster, clip_seconds)
            elif step.parallel and workers:
                making = _in_processes(step, Path(folder), size, wanted, workers, clip_seconds)
            else:
                making = _here(step, Path(folder), size, wanted)
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


def _here(step: Step, folder: Path, size: int, wanted: dict[int, str]) -> Iterator[int]:
    """In this process: shard after shard, or some at once where the step begins clips ahead; yields clips done."""
    if not wanted:
        return
    sources = Sources(step, folder, size)
    step.open()
    try:
        if step.clips_ahead:
            yield from _begun_ahead(sources, wanted, 1 + -(-step.clips_ahead // size))
        else:
            for job in wanted.items():
                yield from _make(sources, *job)
    finally:
        step.close()


def _begun_ahead(sources: Sources, wanted: dict[int, str], threads: int) -> Iterator[int]:
    """Shards side by side in threads, each committed when it is whole, so that an engine never waits for work."""

    def make(job: tuple[int, str]) -> int:
        return sum(_make(sources, *job))

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


def _make(sources: Sources, shard: int, made_from: str) -> Iterator[int]:
    """Make one shard and commit it; yields 1 for each clip as it is done."""
    made: list[Row] = []
    for row in fill(sources.step, sources.rows(shard)):
        made.append(row)
        yield 1
    _commit(sources, shard, made_from, made)


def _in_processes(
    step: Step, folder: Path, size: int, wanted: dict[int, str], workers: int, clip_seconds: float
) -> Iterator[int]:
    """Shards side by side in local processes; yields the number of clips of each."""
    work = _Shards(step, folder, size)
    for _, count in watched(work, list(wanted.items()), workers=workers, clip_seconds=clip_seconds):
        yield count


def _on_cluster(
    step: Step, folder: Path, size: int, wanted: dict[int, str], cluster: Ray, clip_seconds: float
) -> Iterator[int]:
    """Shards side by side on a Ray cluster; yields the number of clips of each."""
    if not wanted:
        return
    from grace.pipeline.execution.ray import scattered

    work, at_once = _Shards(step, folder, size), 1 + -(-step.clips_ahead // size)
    jobs = list(wanted.items())
    for _, count in scattered(work, jobs, cluster, clip_seconds=clip_seconds, at_once=at_once, by_clip=step.parallel):
        yield count


@dataclass
class _Shards:
    """Whole shards as work of processes elsewhere: clip by clip where the step is ``parallel``."""

    step: Step
    folder: Path
    size: int
    sources: Sources = field(init=False)

    def open(self) -> None:
        self.sources = Sources(self.step, self.folder, self.size)
        self.step.open()

    def do(self, job: tuple[int, str], lost: Mapping[int, str], begin: Callable[[int], None]) -> int:
        shard, made_from = job
        if not self.step.parallel:
            return sum(_make(self.sources, shard, made_from))
        made: list[Row] = []
        for place, row in enumerate(self.sources.rows(shard)):
            if place in lost:
                made.append(failure(row["clip_id"], f"{self.step.name}: {lost[place]}"))
            else:
                begin(place)
                made += fill(self.step, [row])
        begin(NONE)
        _commit(self.sources, shard, made_from, made)
        return len(made)


def _commit(sources: Sources, shard: int, made_from: str, made: list[Row]) -> None:
    """Write one shard whole, its rows in the order of the clips."""
    step = sources.step
    store = Store(sources.folder / step.folder, step.schema)
    inputs = {name: earlier.fingerprint(shard) for name, earlier in sources.stores.items()}
    meta = {"fingerprint": made_from, "version": step.version, "identity": sources.identity, "inputs": inputs}
    store.write(shard, sorted(made, key=lambda row: str(row["clip_id"])), meta)
