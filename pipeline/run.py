"""The one loop over clips: a step over the shards of a data set, resumed where it stopped.

It knows nothing of captions or tokens. It decides which shards are to be made, where they are made (in this process
or in local ones), shows progress, counts failures, and leaves only whole shards behind.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread

from tqdm import tqdm

from pipeline.errors import GraceError
from pipeline.step import ClipStep, Sources, Step, fill
from pipeline.store import Row, Store, failure, locked

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
    max_failed: float = 0.01,
    retry_failed: bool = False,
    report: Callable[[Summary], None] = lambda summary: None,
) -> Summary:
    """Run ``step`` over every shard of the data set in ``folder`` (``data/<dataset>``) that is not already so made.

    ``size`` clips a shard; ``workers`` local processes for steps that are ``parallel`` (0: this process);
    ``retry_failed`` redoes shards in which this stage failed clips. ``report`` gets the summary before the verdict.
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
            make = _in_processes if step.parallel and workers and len(wanted) > 1 else _here
            for count in make(step, Path(folder), size, wanted, workers):
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


def _make(step: Step, sources: Sources, shard: int, made_from: str, isolate: bool = False) -> Iterator[int]:
    """Make one shard and commit it; yields 1 for each clip as it is done."""
    rows = sources.rows(shard)
    made: dict[str, Row] = {}
    for row in _isolated(step, rows) if isolate else fill(step, rows):
        made[row["clip_id"]] = row
        yield 1
    meta = {"fingerprint": made_from, "version": step.version, "identity": sources.identity}
    store = Store(sources.folder / step.folder, step.schema)
    store.write(shard, [made[row["clip_id"]] for row in rows], meta)


def _here(step: Step, folder: Path, size: int, wanted: dict[int, str], workers: int) -> Iterator[int]:
    """Shard after shard in this process."""
    if wanted:
        sources = Sources(step, folder, size)
        step.open()
        for shard, made_from in wanted.items():
            yield from _make(step, sources, shard, made_from)


def _in_processes(step: Step, folder: Path, size: int, wanted: dict[int, str], workers: int) -> Iterator[int]:
    """Shards side by side in local processes.

    A process that dies takes its pool with it; the shards that were under way are then made clip by clip, each clip
    in a process that may die, so that a file which kills its decoder costs that file only.
    """
    left = dict(wanted)
    while left:
        running: dict[Future[int], int] = {}
        try:
            with ProcessPoolExecutor(workers, get_context("spawn"), _open_in_worker, (step, folder, size)) as pool:
                waiting = iter(list(left.items()))
                while True:
                    # A shard ahead for each process keeps all of them busy, and a broken pool then suspects few.
                    while len(running) < 2 * workers and (following := next(waiting, None)) is not None:
                        running[pool.submit(_make_in_worker, *following)] = following[0]
                    if not running:
                        break
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        count = future.result()
                        del left[running.pop(future)]
                        yield count
        except BrokenProcessPool:
            sources = Sources(step, folder, size)
            for shard in sorted(running.values()):
                yield sum(_make(step, sources, shard, left.pop(shard), isolate=True))


def _isolated(step: Step, rows: list[Row]) -> Iterator[Row]:
    """The step's rows, each clip made in a process of its own that is replaced when it dies."""
    pool: ProcessPoolExecutor | None = None
    for row in rows:
        pool = pool or ProcessPoolExecutor(1, get_context("spawn"), _open_alone, (step,))
        try:
            yield from pool.submit(_fill_alone, row).result()
        except BrokenProcessPool:
            pool.shutdown()
            pool = None
            yield failure(
                row["clip_id"], f"{step.name}: the process died on this clip (killed, or its decoder crashed)"
            )
    if pool:
        pool.shutdown()


_worker: Sources  # the sources of this worker process, set once by its initializer


def _open_in_worker(step: Step, folder: Path, size: int) -> None:
    global _worker
    die_with_parent()
    _worker = Sources(step, folder, size)
    step.open()


def _make_in_worker(shard: int, made_from: str) -> int:
    return sum(_make(_worker.step, _worker, shard, made_from))


_alone: Step


def _open_alone(step: Step) -> None:
    global _alone
    die_with_parent()
    _alone = step
    step.open()


def _fill_alone(row: Row) -> list[Row]:
    return list(fill(_alone, [row]))


def die_with_parent() -> None:
    """End this worker when the process that started it is gone, however it went: nobody else would."""
    parent = parent_process()
    if parent is not None:
        Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(process: BaseProcess) -> None:
    process.join()
    os._exit(1)
