"""The text stages add nothing to their engine, and batches pay off: caption and refine on clips of the rendered world.

With vLLM installed (``scripts/vllm_env.sh``; run it with that environment's Python):

- the caption and the refine stage through engine ``vllm`` against a bare ``LLM.chat`` of the same prompts, images and
  settings on an engine beside it, in turns; pictures and prompts are ready before the bare side's clock starts;
- the share of answers that are valid JSON under a schema (structured outputs);
- the share of texts that vLLM and transformers write alike (greedy, float32).

Anywhere: engine ``transformers`` in batches against one request at a time, and what asking without structured outputs
costs: the share of valid answers, and retries and fallbacks by cause.

    python -m benchmarks.text [--quick] [--clips 256] [--rounds 3]

Ends with one line of JSON: vllm_ratio (the lesser of caption_ratio and refine_ratio; goal >= 0.95), batched_ratio,
json_structured, json_free, retries, fallbacks by cause, equal_captions, equal_descriptions; vLLM's keys are absent
without vLLM.

The full run has 12 times the requests of --quick.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from benchmarks.harness import PROJECT, Benchmark, progress, scratch_folder, seconds
from grace.pipeline.engines import Engine, Request, Response
from grace.pipeline.engines.settings import VllmSettings
from grace.pipeline.engines.transformers import TransformersEngine
from grace.pipeline.engines.vllm import VllmEngine, environment
from grace.pipeline.engines.vllm_plugin import OWNER
from grace.pipeline.execution.runner import run
from grace.pipeline.execution.step import Step, StepInputs
from grace.pipeline.store import Store
from grace.pipeline.store.schemas import DESCRIPTIONS
from grace.pipeline.text.caption import CaptionStep
from grace.pipeline.text.cues import FineText
from grace.pipeline.text.refine import RefineStep
from grace.pipeline.text.settings import CaptionSettings, RefineSettings

if TYPE_CHECKING:
    from vllm import LLM

SIZE = 32
"""Clips per shard, as in params.yaml."""
DTYPE: Final = "float32"  # both libraries then compute the same sums, but for their order
CAPTION = CaptionSettings(engine="vllm", model=str(PROJECT / "pocket/vlm"), dtype=DTYPE)
REFINE = RefineSettings(engine="vllm", model=str(PROJECT / "pocket/llm"), dtype=DTYPE)


class Kept:
    """An engine that stays open between runs; without ``schemas`` it drops those that it is given."""

    def __init__(self, engine: Any, schemas: bool = True) -> None:
        self.engine, self.schemas = engine, schemas

    def cache_key(self) -> dict[str, Any]:
        return {**self.engine.cache_key(), "schemas": self.schemas}

    def open(self) -> None:
        self.engine.open()

    def close(self) -> None: ...

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        asked = requests if self.schemas else [replace(request, schema=None) for request in requests]
        yield from self.engine.generate(asked)


BENCHMARK = Benchmark(
    "text",
    __doc__,
    keys=("vllm_ratio", "caption_ratio", "refine_ratio", "batched_ratio", "json_structured", "json_free", "retries"),
    quick="64 clips, one round",
)


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument("--clips", type=int, default=256)
    options.add_argument("--rounds", type=int, default=3)
    return options


def main() -> None:
    """Measure what this environment can, and print the line of JSON."""
    args = parser().parse_args()
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    clips, rounds = (64, 1) if args.quick else (args.clips, args.rounds)
    figures: dict[str, Any] = {"clips": clips}
    with scratch_folder() as scratch:
        folder = prepare(scratch, clips)
        write_captions(folder)
        if find_spec("vllm"):
            figures |= against_bare_vllm(folder, rounds)
            figures["vllm_ratio"] = min(figures["caption_ratio"], figures["refine_ratio"])
        figures |= against_one_at_a_time(folder, 16 if args.quick else 64)
        figures |= without_schemas(folder)
    figures = {key: round(value, 4) if isinstance(value, float) else value for key, value in figures.items()}
    BENCHMARK.report(figures, keep=not args.quick)


def prepare(scratch: Path, clips: int) -> Path:
    """Rendered clips with their face crops, by the stages themselves."""
    options = [f"roots.demo={scratch / 'raw'}", f"data={scratch / 'data'}", f"world.clips={clips}"]
    overrides = [part for option in options for part in ("-S", option)]
    for stage in (["world", "--out", str(scratch / "raw")], ["index"], ["faces"]):
        command = [sys.executable, "-m", "stages", *stage, *overrides]
        subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)
    return scratch / "data" / "demo"


def write_captions(folder: Path) -> None:
    """Coarse captions for the refine side, by transformers."""
    progress("captions by transformers")
    run(CaptionStep(CAPTION.model_copy(update={"engine": "transformers"})), folder, size=SIZE, max_failed=1)


def against_bare_vllm(folder: Path, rounds: int) -> dict[str, Any]:
    """Requests per second of each stage over those of ``LLM.chat``; JSON under a schema; texts like transformers'."""
    from vllm import LLM

    figures: dict[str, Any] = {}
    for name, step in (("caption", CaptionStep(CAPTION)), ("refine", RefineStep(REFINE))):
        progress(f"{name}: vLLM starts")
        engine = VllmEngine(
            step.settings.model, dtype=DTYPE, images=getattr(step.settings, "images", 0), vllm=VllmSettings()
        )
        step.engine = Kept(engine)
        requests = requests_of(step, folder)
        engine.open()
        with environment({OWNER: str(os.getpid())}):  # its processes end with this one, as the engine's do
            llm = LLM(**engine.arguments())
        bare(llm, engine, requests[:8])  # warm
        rates: dict[str, list[float]] = {"bare": [], "stage": []}
        for _ in range(rounds):
            forget(engine, llm)
            spent, answers = bare(llm, engine, requests)
            rates["bare"].append(len(requests) / spent)
            forget(engine, llm)
            rates["stage"].append(through_stage(step, folder))
        rate = {side: median(values) for side, values in rates.items()}
        progress(f"{name}: bare {rate['bare']:.2f} requests/s, stage {rate['stage']:.2f} requests/s")
        figures[f"{name}_ratio"] = rate["stage"] / rate["bare"]
        if name == "refine":
            figures["json_structured"] = share(valid(answer) for answer in answers)
        forget(engine, llm)
        del llm
        alike = "equal_captions" if name == "caption" else "equal_descriptions"
        figures[alike] = equal_texts(engine, requests[:64])
        engine.close()
    return figures


def requests_of(step: Any, folder: Path) -> list[Request]:
    """What the stage would ask, clip by clip."""
    sources = StepInputs(step, folder, SIZE)
    return [step.request(row) for k in range(len(sources)) for row in sources.rows(k) if row["status"] != "failed"]


def bare(llm: LLM, engine: VllmEngine, requests: Sequence[Request]) -> tuple[float, list[str]]:
    """Seconds and texts of ``LLM.chat`` with everything ready."""
    replica = engine.replicas[0]
    chats = [replica.chat(request) for request in requests]
    params = [replica.sampling_params(request) for request in requests]
    start = time.perf_counter()
    outputs = llm.chat(chats, params, use_tqdm=False)
    return time.perf_counter() - start, [output.outputs[0].text for output in outputs]


def through_stage(step: Step, folder: Path) -> float:
    """Requests per second of the whole stage: crops are read, prompts made and shards committed in this time."""
    written = Store(folder / step.folder, step.schema)
    for shard in written.shards():
        written.path(shard).unlink()
    spent = seconds(lambda: run(step, folder, size=SIZE, max_failed=1))
    return sum(row["attempts"] for row in written.rows(["attempts", "status"]) if row["status"] != "failed") / spent


def forget(engine: VllmEngine, llm: LLM) -> None:
    """Empty vLLM's caches, so that no side gains from the other's requests."""
    replica = engine.replicas[0]
    for emptied in (replica.engine.reset_prefix_cache(), replica.engine.reset_encoder_cache()):
        asyncio.run_coroutine_threadsafe(emptied, replica.loop).result()
    llm.reset_prefix_cache()
    llm.llm_engine.reset_encoder_cache()


def equal_texts(engine: VllmEngine, requests: Sequence[Request]) -> float:
    """The share of greedy texts that transformers writes too; without a schema, which it does not know."""
    asked = [replace(request, schema=None) for request in requests]
    other = TransformersEngine(engine.model, dtype=DTYPE, device="cpu")
    other.open()
    pairs = zip(engine.generate(asked), other.generate(asked), strict=True)
    return share(ours.text == theirs.text for ours, theirs in pairs)


def against_one_at_a_time(folder: Path, count: int) -> dict[str, Any]:
    """Captions per second by transformers in batches of 16 over those with one request at a time."""
    requests = requests_of(CaptionStep(CAPTION), folder)[:count]
    spent = {}
    for batch in (16, 1):
        engine = TransformersEngine(CAPTION.model, batch=batch, device="cpu")
        engine.open()
        list(engine.generate(requests[:2]))  # warm
        spent[batch] = seconds(partial(_drain, engine, requests))
        progress(f"transformers, batches of {batch}: {len(requests) / spent[batch]:.2f} requests/s")
    return {"batched_ratio": spent[1] / spent[16]}


def _drain(engine: Engine, requests: Sequence[Request]) -> None:
    for _ in engine.generate(requests):
        pass


def without_schemas(folder: Path) -> dict[str, Any]:
    """What it costs to ask for JSON by the prompt alone: valid first answers, retries, fallbacks by cause."""
    step = RefineStep(REFINE.model_copy(update={"engine": "transformers"}))
    engine: Engine = TransformersEngine(REFINE.model, device="cpu")
    step.engine = Kept(engine, schemas=False)
    free = [replace(request, schema=None) for request in requests_of(step, folder)]
    engine.open()
    figures: dict[str, Any] = {"json_free": share(valid(answer.text) for answer in engine.generate(free))}
    through_stage(step, folder)
    rows = list(Store(folder / "descriptions", DESCRIPTIONS).rows(["status", "error", "attempts"]))
    asked = [row for row in rows if row["status"] != "failed"]
    figures["retries"] = sum(row["attempts"] - 1 for row in asked)
    figures["fallbacks"] = dict(Counter(row["error"] for row in asked if row["status"] == "fallback"))
    return figures


def valid(text: str) -> bool:
    """Whether a text is the requested JSON, unrepaired."""
    try:
        FineText.model_validate_json(text)
    except ValidationError:
        return False
    return True


def share(flags: Any) -> float:
    """The share of true ones."""
    listed = list(flags)
    return sum(listed) / len(listed)


if __name__ == "__main__":
    main()
