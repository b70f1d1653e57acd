"""A few clips through every stage, in a folder that is thrown away: timed, weighed, and their tokens counted."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from grace.pipeline.checkpoints import require_model
from grace.pipeline.engines import ENGINES, Engine, Request, Response, opens_model
from grace.pipeline.errors import GraceError, UserError
from grace.pipeline.estimate.costs import Estimate, StageCost, TokenShape
from grace.pipeline.estimate.machine import Machine, look_at_machine
from grace.pipeline.estimate.sample import Sample, take_sample
from grace.pipeline.execution.step import Step, StepInputs, process_rows
from grace.pipeline.settings import PipelineSettings
from grace.pipeline.steps import STEPS, make_step
from grace.pipeline.store import Row, Store, find_paths, write_clips
from grace.pipeline.store.schemas import CAPTIONS, DESCRIPTIONS, TOKENS
from grace.pipeline.text.engine_step import EngineStep

TYPICAL = (
    "The inner brows rise slightly at the onset and the eyes widen clearly at the apex. The lips part, the jaw drops "
    "and the cheeks stay relaxed. The upper eyelids lift strongly while the gaze is held. Towards the end the mouth "
    "closes again and the brows return to rest. "
)
"""Stands in for the texts of a stage that cannot be tried, so that the later ones can."""

TEXT_STORES = {"caption": ("captions", CAPTIONS), "refine": ("descriptions", DESCRIPTIONS)}
SMALL_MODEL = 10**9
"""Bytes of weights up to which a model is opened once more, in a process of its own, to see what a start costs."""
FIRST_TOKENS = 4
"""Tokens of an answer that only shows what the first call of an engine costs."""
CONTINUOUS_BATCH = 32
"""Clips that fill an engine which takes requests as they come (vllm, a server), as far as a trial should."""


def estimate(settings: PipelineSettings, dataset: str, samples: int = 8, any_folder: bool = False) -> Estimate:
    """Take some clips, spread over the data set, through every stage in a folder that is thrown away.

    The data set need not be indexed: then its lists or its folder are read, and the index is one more stage. Enough
    clips are tried that an engine's batch is full. Times are those of this machine under its present load, from which
    the range goes down to those of an idle one. A stage that cannot be tried (its model is not here, its server does
    not answer) says so in its note, and a typical text stands in for what it would have written.

    Args:
        settings: What the stages shall do.
        dataset: A data set of ``roots``, or one that ``grace index`` has listed.
        samples: Clips to try, at least.
        any_folder: Whether the root is any folder of clips, which may happen to bear the name of a known data set.

    Returns:
        Seconds, bytes and tokens per clip and stage.

    Raises:
        UserError: The data set is not found, or holds no clip that can be read.

    Example:
        >>> found = estimate(load_settings(), "demo", samples=2)  # doctest: +SKIP
        >>> {cost.stage: cost.seconds(found.clips) for cost in found.costs}  # doctest: +SKIP
    """
    machine = look_at_machine(settings)
    sample = take_sample(settings, dataset, max(samples, _full_batch(settings)), any_folder)
    with TemporaryDirectory(prefix="grace-estimate-") as scratch:
        folder = Path(scratch) / dataset
        write_clips(folder, sample.rows, sample.labels, sample.footage)
        changed = _for_trial(settings, scratch)
        trial = _Trial(changed, dataset, folder, sample.rows, machine)
        costs = (*_index_cost(sample, settings, machine), *(trial.stage(stage) for stage in STEPS))
        shape = _shape(folder) if costs[-1].seconds_per_clip is not None else None
        return Estimate(sample.clips, len(sample.rows), costs, shape, machine, sample.trainable, sample.notes)


def _full_batch(settings: PipelineSettings) -> int:
    """Clips whose requests fill a batch of the text engines."""
    sizes = [1]
    for section in (settings.caption, settings.refine):
        if section.engine in ENGINES:
            continuous = ENGINES[section.engine].continuous
            sizes.append(CONTINUOUS_BATCH if continuous else section.batch)
    return min(max(sizes), settings.shards.clips)


def _for_trial(settings: PipelineSettings, data: str) -> PipelineSettings:
    """The same settings with another data folder, and with whole tokens, whose other sizes can be computed."""
    whole = {"patches": None, "storage": "float16", "views": (), "texts": 1}
    tokens = settings.tokens.model_copy(update=whole)
    return settings.model_copy(update={"data": data, "tokens": tokens})


@dataclass(frozen=True)
class _Trial:
    """The stages over the same few clips."""

    settings: PipelineSettings
    dataset: str
    folder: Path
    clips: Sequence[Row]
    machine: Machine

    def stage(self, stage: str) -> StageCost:
        cost = StageCost(stage, weight_bytes=_weight_bytes(self.settings, stage))
        counter: _Counter | None = None
        try:
            made = make_step(stage, self.settings, self.dataset)
            cost = replace(cost, **_parallel(made, self.settings, self.machine))
            if isinstance(made, EngineStep):
                counter = _Counter(made.engine)
                made.engine = counter
                cost = replace(cost, paid_tokens=not opens_model(made.settings.engine))
            started = _start_seconds(stage, self.settings, cost.weight_bytes)
            start = time.perf_counter()
            made.open()
            opened = time.perf_counter() - start
            _reset_gpu_peak()
            try:
                first_call = self._first_call(made, counter)
                rows, seconds = self._run(made)
            finally:
                made.close()
        except GraceError as error:
            if stage == "faces":  # nothing can be tried without crops
                raise
            _stand_in(stage, self.folder, self.clips)
            return replace(cost, note=str(error))
        store = Store(self.folder / made.folder, made.schema)
        remarks = [f"{row['status']}: {row['error']}" for row in rows if row["status"] != "ok"]
        return replace(
            cost,
            seconds_per_clip=mean(seconds),
            deviation=_standard_error(seconds),
            start_seconds=(opened if started is None else started) * (2 if made.parallel else 1) + first_call,
            bytes_per_clip=store.path(0).stat().st_size / len(self.clips),
            gpu_bytes=_gpu_peak(),
            tokens_in=counter.tokens_in / len(self.clips) if counter else 0.0,
            tokens_out=counter.tokens_out / len(self.clips) if counter else 0.0,
            note=f"{len(remarks)} of {len(rows)} clips tried, such as {remarks[0]}" if remarks else "",
        )

    def _first_call(self, step: Step, counter: _Counter | None) -> float:
        """Seconds by which an engine's first answer takes longer than its next; a server is not asked for it."""
        if counter is None or not isinstance(step, EngineStep) or not opens_model(step.settings.engine):
            return 0.0
        rows = StepInputs(step, self.folder, len(self.clips)).rows(0)
        first = next((row for row in rows if row["status"] != "failed"), None)
        if first is None:
            return 0.0
        short = [replace(request, max_tokens=FIRST_TOKENS) for request in step.requests(first)[:1]]
        taken = []
        for _ in range(2):
            start = time.perf_counter()
            list(counter.engine.generate(short))
            taken.append(time.perf_counter() - start)
        return max(0.0, taken[0] - taken[1])

    def _run(self, step: Step) -> tuple[list[Row], list[float]]:
        """The rows of all clips, and the seconds of each: measured clip by clip, or their mean where they are batched.

        The first clip alone pays for what happens once, such as the first call of a library: it counts like the others'
        median at most.
        """
        inputs = StepInputs(step, self.folder, len(self.clips))
        asked, made, seconds = inputs.rows(0), [], []
        start = time.perf_counter()
        for row in process_rows(step, asked):
            made.append(row)
            now = time.perf_counter()
            seconds.append(now - start)
            start = now
        before = time.perf_counter()
        inputs.output.write(0, sorted(made, key=lambda row: str(row["clip_id"])), {"fingerprint": "trial"})
        writing = (time.perf_counter() - before) / len(made)
        if not step.parallel:
            return made, [sum(seconds) / len(made) + writing] * len(made)
        usual = float(np.median(seconds[1:] or seconds))
        return made, [min(seconds[0], 2 * usual) + writing, *(each + writing for each in seconds[1:])]


def _standard_error(seconds: Sequence[float]) -> float:
    """Of the mean, as a share of it; a tenth where clips were done in one batch, so that nothing is known of each."""
    if len(set(seconds)) < 3:
        return 0.1
    return float(stdev(seconds) / len(seconds) ** 0.5 / mean(seconds))


def _index_cost(sample: Sample, settings: PipelineSettings, machine: Machine) -> Iterator[StageCost]:
    if not sample.index_seconds:
        return
    workers = max(1, settings.workers)
    speed = machine.speed(1)
    yield StageCost(
        "index",
        seconds_per_clip=mean(sample.index_seconds),
        deviation=_standard_error(sample.index_seconds),
        start_seconds=2 * _seconds_of("import stages, grace.pipeline.index.index"),
        processes=workers,
        parallel=workers * machine.speed(workers) / speed,
        parallel_idle=workers * machine.speed(workers, busy=0.0) / speed,
        bytes_per_clip=200.0,
    )


def _parallel(made: Step, settings: PipelineSettings, machine: Machine) -> dict[str, Any]:
    """Clips done concurrently, and what that gives under the present load and without it.

    What was tried ran under the present load already: in one process, or in all threads of a step that fills the
    machine by itself.
    """
    if machine.ray_workers is not None:
        workers = machine.ray_workers
        return {"processes": workers, "parallel": float(workers), "parallel_idle": float(workers)}
    if made.parallel:
        workers, before = max(1, settings.workers), machine.speed(1)
        return {
            "processes": workers,
            "parallel": workers * machine.speed(workers) / before,
            "parallel_idle": workers * machine.speed(workers, busy=0.0) / before,
        }
    if machine.gpus:
        return {}
    import torch

    threads = torch.get_num_threads()
    return {"parallel_idle": machine.speed(threads, busy=0.0) / machine.speed(threads)}


class _Counter:
    """An engine whose tokens are counted."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.tokens_in = self.tokens_out = 0

    def cache_key(self) -> dict[str, Any]:
        return self.engine.cache_key()

    def open(self) -> None:
        self.engine.open()

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        for response in self.engine.generate(requests):
            self.tokens_in += response.tokens_in
            self.tokens_out += response.tokens_out
            yield response

    def close(self) -> None:
        self.engine.close()


def _start_seconds(stage: str, settings: PipelineSettings, weights: int | None) -> float | None:
    """Seconds until a new process has the step open, as every command begins; None for a model too large to try twice.

    What is open already, or failed to open, costs this process nothing, so that only another one can tell.
    """
    if (weights or 0) > SMALL_MODEL or "vllm" in (settings.caption.engine, settings.refine.engine):
        return None
    line = (
        "import sys, stages, grace.pipeline.execution.runner; from grace.pipeline.settings import PipelineSettings; "
        "from grace.pipeline.steps import make_step; settings = PipelineSettings.model_validate_json(sys.argv[2]); "
        "make_step(sys.argv[1], settings, root='.').open()"
    )
    return _seconds_of(line, stage, settings.model_dump_json(include=set(PipelineSettings.model_fields)))


def _seconds_of(line: str, *arguments: str) -> float:
    """Seconds that another process takes for a line of Python."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", line, *arguments], check=False, capture_output=True, timeout=600)
    return time.perf_counter() - start


def _weight_bytes(settings: PipelineSettings, stage: str) -> int | None:
    """At 16 bits per weight, counted in the headers of the checkpoint's files; nothing is loaded."""
    from safetensors import safe_open

    section = getattr(settings, stage)
    name = getattr(section, "model", "")
    if not name or not opens_model(getattr(section, "engine", "transformers")):
        return None
    try:
        folder = Path(require_model(name, section.revision))
    except UserError:
        return None
    count = 0
    for path in find_paths(folder, "*.safetensors"):
        with safe_open(path, "numpy") as file:
            count += sum(int(np.prod(file.get_slice(key).get_shape())) for key in file.keys())  # noqa: SIM118
    return 2 * count or None


def _stand_in(stage: str, folder: Path, clips: Sequence[Row]) -> None:
    """Write rows with a typical text instead of what a text stage would have written."""
    if stage in TEXT_STORES:
        name, schema = TEXT_STORES[stage]
        texts = {"caption": TYPICAL, "description": TYPICAL}
        rows = [{"clip_id": clip["clip_id"], "status": "ok", "error": "", **texts} for clip in clips]
        Store(folder / name, schema).write(0, rows, {"fingerprint": "stand-in"})


def _shape(folder: Path) -> TokenShape | None:
    for row in Store(folder / "tokens", TOKENS).read(0, ["status", "visual", "text"]):
        if row["status"] != "failed":
            instants, patches, width = row["visual"].shape
            return TokenShape(instants, patches, len(row["text"]), width, row["text"].shape[1])
    return None


def _reset_gpu_peak() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _gpu_peak() -> int | None:
    """Bytes in this process; an engine that computes elsewhere (vllm, a server) does not count."""
    import torch

    return int(torch.cuda.max_memory_allocated()) if torch.cuda.is_available() else None
