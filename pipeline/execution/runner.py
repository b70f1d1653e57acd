"""The one loop over clips: a step over the shards of a data set, resumed where it stopped.

It knows nothing of captions or tokens. It decides which shards are to be made, where they are made (in this process,
in local ones, or on a Ray cluster), shows progress, counts failures, and leaves only whole shards behind.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grace.pipeline.errors import GraceError
from grace.pipeline.execution.processes import run_in_processes, watched_clips
from grace.pipeline.execution.progress import ClipProgress
from grace.pipeline.execution.step import Step, StepInputs, process_rows
from grace.pipeline.store import Row, failure, folder_lock
from grace.pipeline.store.store import FileState, Store

if TYPE_CHECKING:
    from grace.pipeline.execution.settings import RaySettings

__all__ = ["Summary", "run"]


@dataclass
class Summary:
    """What became of the clips of a stage.

    Example:
        >>> summary = Summary("faces")
        >>> summary.count(
        ...     [
        ...         {"clip_id": "a", "status": "ok", "error": ""},
        ...         {"clip_id": "b", "status": "failed", "error": "faces: the video is empty"},
        ...         {"clip_id": "c", "status": "failed", "error": "index: the file is missing"},
        ...     ]
        ... )
        >>> summary.clips, summary.carried, dict(summary.failed), summary.failed_share
        (3, 1, {'the video is empty': 1}, 0.5)
    """

    stage: str
    """Name of the stage: ``faces``."""
    clips: int = 0
    """Clips in the data set, whatever became of them."""
    done: int = 0
    """Clips whose shards were made in this run."""
    skipped: int = 0
    """Clips whose shards were made earlier from the same inputs, so that nothing was to be done."""
    fallbacks: int = 0
    """Clips whose result is degraded (status ``fallback``)."""
    failed: Counter[str] = field(default_factory=Counter)
    """Cause to the number of clips that this stage itself failed, in this run or earlier."""
    carried: int = 0
    """Clips that an earlier stage failed."""
    seconds: float = 0.0
    """Wall time of the run."""

    @property
    def failed_share(self) -> float:
        """Share of clips that this stage failed, in [0, 1], of those that no earlier stage failed."""
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
    size: int = 32,
    workers: int = 0,
    clip_timeout: float = 120.0,
    cluster: RaySettings | None = None,
    max_failed: float = 0.01,
    retry_failed: bool = False,
    report: Callable[[Summary], None] = lambda summary: None,
) -> Summary:
    """Run a step over every shard of a data set that is not there yet, or was made from something else.

    A run that was interrupted, killed or failed goes on where it stopped when it is called again.

    Args:
        step: What is done to each clip.
        folder: The data set's folder, ``data/<dataset>``.
        size: Clips per shard; the same for all stages of a data set.
        workers: Local processes for a step that is ``parallel``; 0 runs it in this process.
        clip_timeout: Seconds that such a process may spend on one clip; the clip of one that takes longer, or dies, is
            failed.
        cluster: Makes the shards of any step on a Ray cluster instead.
        max_failed: Largest share of clips, in [0, 1], that this stage may fail.
        retry_failed: Redo the shards in which this stage failed clips, as :meth:`.Step.is_failure` has it.
        report: Gets the summary before the run is judged by ``max_failed``.

    Returns:
        What became of the clips.

    Raises:
        UserError: An input is missing or not made alike throughout, or the step cannot be opened.
        GraceError: More than ``max_failed`` of the clips failed in this stage, or the step cannot go on.

    Example:
        A step that writes the store ``captions``, over a data set of two clips:

        >>> from tempfile import TemporaryDirectory
        >>> from grace.pipeline.execution.step import ClipStep
        >>> from grace.pipeline.store import Store, write_clips
        >>> from grace.pipeline.store.schemas import CAPTIONS
        >>> class LengthStep(ClipStep):
        ...     name, version, schema, folder = "caption", 1, CAPTIONS, "captions"
        ...     reads = {"clips": ("n_frames",)}
        ...
        ...     def cache_key(self):
        ...         return {}
        ...
        ...     def clip(self, row):
        ...         return {**row, "caption": f"{row['n_frames']} frames"}
        >>> clips = [{"clip_id": name, "status": "ok", "error": "", "n_frames": 9} for name in ("a", "b")]
        >>> with TemporaryDirectory() as scratch:
        ...     folder = Path(scratch)
        ...     write_clips(folder, clips, labels=["happiness"])
        ...     first, second = run(LengthStep(), folder), run(LengthStep(), folder)
        ...     texts = [row["caption"] for row in Store(folder / "captions", CAPTIONS).rows()]
        >>> texts, first.done, second.done, second.skipped
        (['9 frames', '9 frames'], 2, 0, 2)
    """
    start = time.perf_counter()
    if retry_failed:
        step.retry_failed()
    inputs, summary = StepInputs(step, folder, size), Summary(step.name)
    inputs.check_stores()
    store = inputs.output
    with folder_lock(store.folder):
        store.prune(len(inputs))
        pending = _pending(inputs, retry_failed)
        summary.skipped = len(inputs.clips) - sum(inputs.clips.shard_length(shard, size) for shard in pending)
        with ClipProgress(step.name, len(inputs.clips), summary.skipped) as progress:
            for count in _make(inputs, pending, workers, clip_timeout, cluster, progress) if pending else ():
                progress.commit(count)
                summary.done += count
    for shard in range(len(inputs)):
        summary.count(store.read(shard, ["clip_id", "status", "error"]))
    summary.seconds = time.perf_counter() - start
    report(summary)
    if summary.failed_share > max_failed:
        raise GraceError(
            f"{step.name} failed {sum(summary.failed.values())} of {summary.clips - summary.carried} clips, more than "
            f"max_failed ({max_failed:.1%}) allows: fix the causes above and run it again with --retry-failed, "
            "or raise max_failed."
        )
    return summary


def _pending(inputs: StepInputs, retry_failed: bool) -> dict[int, str]:
    """The shards to be made, and the fingerprints that they will have."""
    pending: dict[int, str] = {}
    for shard in range(len(inputs)):
        fingerprint = inputs.fingerprint(shard)
        if not inputs.output.is_made(shard, fingerprint) or (retry_failed and _has_failures(inputs, shard)):
            pending[shard] = fingerprint
    return pending


def _has_failures(inputs: StepInputs, shard: int) -> bool:
    rows = inputs.output.read(shard, ["status", "error"])
    return any(map(inputs.step.is_failure, rows))


def _make(
    inputs: StepInputs,
    pending: dict[int, str],
    workers: int,
    clip_timeout: float,
    cluster: RaySettings | None,
    progress: ClipProgress,
) -> Iterator[int]:
    """Make the pending shards where they are to be made; yields numbers of clips as they are done."""
    if cluster is not None:
        return _run_ray(inputs, pending, cluster, clip_timeout)
    if inputs.step.parallel and workers:
        return _run_processes(inputs, pending, workers, clip_timeout, progress)
    return _run_inline(inputs, pending, progress)


def _run_inline(inputs: StepInputs, pending: dict[int, str], progress: ClipProgress) -> Iterator[int]:
    """In this process: shard after shard, or several concurrently where the step begins clips ahead."""
    step = inputs.step
    step.open()
    try:
        if step.prefetch_clips:
            yield from _run_threaded(inputs, pending, progress)
        else:
            for job in pending.items():
                yield from _process_shard(inputs, *job)
    finally:
        step.close()


def _run_threaded(inputs: StepInputs, pending: dict[int, str], progress: ClipProgress) -> Iterator[int]:
    """Several shards concurrently in threads, each committed when it is whole, so that an engine never waits."""

    def make(job: tuple[int, str]) -> int:
        made = 0
        for count in _process_shard(inputs, *job):
            made += count
            progress.begin()
        return made

    jobs, threads = iter(pending.items()), _concurrent_shards(inputs)
    with ThreadPoolExecutor(threads, f"{inputs.step.name} shard") as pool:
        running = {pool.submit(make, job) for job in islice(jobs, threads)}
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
                    running |= {pool.submit(make, job) for job in islice(jobs, 1)}
        except BaseException:
            for future in running:
                future.cancel()
            inputs.step.close()  # ends what the other threads wait for
            raise


def _concurrent_shards(inputs: StepInputs) -> int:
    """Shards that one opened step has under way, so that ``prefetch_clips`` are asked beyond the one that drains."""
    return 1 + math.ceil(inputs.step.prefetch_clips / inputs.size)


def _run_processes(
    inputs: StepInputs, pending: dict[int, str], workers: int, clip_timeout: float, progress: ClipProgress
) -> Iterator[int]:
    """In local processes, which do one shard each at a time."""
    task, jobs = _ShardTask(inputs.step, inputs.folder, inputs.size), list(pending.items())
    made = run_in_processes(task, jobs, workers=workers, clip_timeout=clip_timeout, on_progress=progress.under_way)
    for _, count in made:
        yield count


def _run_ray(inputs: StepInputs, pending: dict[int, str], cluster: RaySettings, clip_timeout: float) -> Iterator[int]:
    """On a Ray cluster, whose actors do one shard each at a time, or several where the step begins clips ahead."""
    from grace.pipeline.execution.ray import run_on_ray

    task, jobs = _ShardTask(inputs.step, inputs.folder, inputs.size), list(pending.items())
    if inputs.step.parallel:
        done = run_on_ray(task, jobs, cluster, clip_timeout=clip_timeout)
    else:
        done = run_on_ray(task, jobs, cluster, clip_timeout=None, jobs_per_actor=_concurrent_shards(inputs))
    for _, count in done:
        yield count


def _process_shard(inputs: StepInputs, shard: int, fingerprint: str) -> Iterator[int]:
    """Make one shard and commit it; yields 1 for each clip as it is done."""
    made: list[Row] = []
    sources = inputs.sources(shard)
    for row in process_rows(inputs.step, inputs.rows(shard)):
        made.append(row)
        yield 1
    _commit(inputs, shard, fingerprint, sources, made)


@dataclass
class _ShardTask:
    """Making whole shards in other processes: clip by clip where the step is ``parallel``."""

    step: Step
    folder: Path
    size: int
    inputs: StepInputs = field(init=False)

    def open(self) -> None:
        self.inputs = StepInputs(self.step, self.folder, self.size)
        self.step.open()

    def run(self, job: tuple[int, str], skipped: Mapping[int, str], on_clip_start: Callable[[int], None]) -> int:
        shard, fingerprint = job
        if not self.step.parallel:
            return sum(_process_shard(self.inputs, shard, fingerprint))
        made: list[Row] = []
        sources = self.inputs.sources(shard)
        for row, cause in watched_clips(self.inputs.rows(shard), skipped, on_clip_start):
            if cause is not None:
                made.append(failure(row["clip_id"], f"{self.step.name}: {cause}"))
            else:
                made += process_rows(self.step, [row])
        _commit(self.inputs, shard, fingerprint, sources, made)
        return len(made)


def _commit(
    inputs: StepInputs, shard: int, fingerprint: str, sources: Mapping[str, FileState], made: list[Row]
) -> None:
    """Write one shard whole, its rows in the order of the clips.

    Args:
        inputs: What the step reads.
        shard: The number of the shard.
        fingerprint: Its fingerprint, as it was planned.
        sources: What :meth:`.StepInputs.sources` said before the rows were read.
        made: Its rows.

    Raises:
        GraceError: Its inputs changed while they were read: what it was made from is what it says.
    """
    meta: dict[str, Any] = {
        "fingerprint": fingerprint,
        "version": inputs.step.version,
        "cache_key": inputs.cache_key,
        "inputs": {name: store.fingerprint(shard) for name, store in inputs.stores.items()},
    }
    if inputs.reads_clips:
        meta["clips"] = inputs.made_from_clips(shard)
    if limits := inputs.limits(shard):
        meta["limits"] = limits
    rows = sorted(made, key=lambda row: str(row["clip_id"]))
    if again := _made_again(inputs.output, shard, fingerprint, rows):
        meta["made_again"] = again
    same = inputs.clips.is_current() and inputs.fingerprint(shard) == fingerprint
    if not same or inputs.sources(shard) != sources:  # last, so that it holds for all that was read above
        raise GraceError(
            f"What shard {shard:05d} of {inputs.output.folder} is made from changed while {inputs.step.name} read it: "
            "it is not kept. Let the other stage finish, then run this one again."
        )
    inputs.output.write(shard, rows, meta)


def _made_again(output: Store, shard: int, fingerprint: str, rows: Sequence[Row]) -> int:
    """How often a shard of this fingerprint was made again with another outcome; 0 for a new one."""
    if not output.is_made(shard, fingerprint):
        return 0
    before = [(row["status"], row["error"]) for row in output.read(shard, ["status", "error"])]
    changed = before != [(row["status"], row["error"]) for row in rows]
    return int(output.meta(shard).get("made_again", 0)) + changed
