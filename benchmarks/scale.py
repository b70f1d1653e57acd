"""A million clips are ordinary: what each operation costs per clip does not grow with the number of clips.

A folder set of tiny pictures is made once with N clips and once with 10 N, and what is done with a data set is done to
both: index, index again after a kill at half the time, every stage (with steps that compute next to nothing, so that
what is measured is planning, reading, committing and counting; texts by the real refine step with an engine that
answers at once), the same stage when nothing is to be done, one clip added in front of all others, joining all shards
to ``all.h5``, opening the cache for training, reading a run for `grace evaluate`, `grace verify`, `grace inspect` of
one clip. Costs are processor time, workers included, so that a busy machine changes little.

    python -m benchmarks.scale [--quick] [--clips 20000]

Ends with one line of JSON: scale_ratio (goal <= 1.2), the worst operation's cost per clip at 10 N by that at N, and
<operation>_ratio, each one's own; front_questions (goal: 1), the questions that an engine is asked after one clip was
added in front; resume_share, the cost of indexing after a kill by that of a whole index; and, as they should not grow
at all, inspect_growth (goal <= 1.2) and worker_growth (goal <= 1.2), the cost of `grace inspect --clip` and the memory
of a worker that has opened a shard, at 10 N by those at N.

--quick takes 60 s of processor time; the full run, of 20,000 and 200,000 clips, 20 times as much.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks.harness import PROJECT, Benchmark, progress, scratch_folder, seconds, table
from benchmarks.random_datasets import frame_folders
from grace.pipeline.engines import Request, Response
from grace.pipeline.execution.step import ClipStep, Step
from grace.pipeline.store import Clips, Row, Store, write_clips, write_table
from grace.pipeline.store.schemas import CAPTIONS, FACES, MOTION, PREDICTIONS, TOKENS

DATASET = "many"
MORE = 10
SHARD = 32
FRAMES = 2
ANSWER = {
    "description": "The brows rise slightly, then the mouth opens.",
    "cues": [{"region": "brows", "action": "rise", "intensity": "slightly", "phase": "onset"}],
}

BENCHMARK = Benchmark(
    "scale",
    __doc__,
    keys=("scale_ratio", "front_questions", "resume_share", "inspect_growth", "worker_growth"),
    quick="1,000 and 10,000 clips",
)


class FacesStub(ClipStep):
    """Crops of a few bytes."""

    name, version, schema, folder = "faces", 1, FACES, "faces"
    reads: ClassVar = {"clips": ("path", "source", "n_frames", "content")}

    def cache_key(self) -> dict[str, Any]:
        return {}

    def clip(self, row: Row) -> Row:
        return {**_ok(row), "frames": [b"crop"], "neighbours": [b"crop"], "found": np.ones(1, dtype=bool)}


class CaptionStub(ClipStep):
    """A caption of its own for each clip."""

    name, version, schema, folder = "caption", 1, CAPTIONS, "captions"
    reads: ClassVar = {"faces": ("found",)}

    def cache_key(self) -> dict[str, Any]:
        return {}

    def clip(self, row: Row) -> Row:
        return {**_ok(row), "caption": f"Face {row['clip_id']}: the brows rise slightly, then the mouth opens."}


class MotionStub(ClipStep):
    """One patch that does not move."""

    name, version, schema, folder = "motion", 1, MOTION, "motion"
    reads: ClassVar = {"faces": ("found",)}

    def cache_key(self) -> dict[str, Any]:
        return {}

    def clip(self, row: Row) -> Row:
        return {**_ok(row), "motion": np.zeros((1, 1, 1)), "rigid": np.zeros((1, 4)), "cut": np.zeros(1, dtype=bool)}


class TokensStub(ClipStep):
    """One token of each kind."""

    name, version, schema, folder = "tokens", 1, TOKENS, "tokens"
    reads: ClassVar = {"faces": ("found",), "descriptions": ("description",)}

    def cache_key(self) -> dict[str, Any]:
        return {}

    def clip(self, row: Row) -> Row:
        visual = {"visual": np.zeros((1, 1, 2), np.float16), "frame": np.zeros((1, 2), np.float16)}
        text = {"text": np.zeros((1, 2), np.float16), "text_mask": np.ones(1, dtype=bool)}
        return {**_ok(row), **visual, **text, "text_id": np.zeros(1), "sentence": np.zeros(1)}


@dataclass
class InstantEngine:
    """Answers at once, the same to all; counts what it is asked."""

    asked: int = 0

    def cache_key(self) -> dict[str, Any]:
        return {"engine": "instant"}

    def open(self) -> None:
        """Nothing is to be loaded."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        self.asked += len(requests)
        yield from (Response(json.dumps(ANSWER)) for _ in requests)

    def close(self) -> None:
        """Nothing was loaded."""


def _ok(row: Row) -> Row:
    return {"clip_id": row["clip_id"], "status": "ok", "error": ""}


@dataclass
class Costs:
    """What was measured on one data set: processor time of each operation, and single figures."""

    clips: int
    cpu: dict[str, float] = field(default_factory=dict)
    wall: dict[str, float] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)

    def measure(self, name: str, work: Callable[[], object]) -> None:
        """Add the cost of ``work``."""
        before = cpu_seconds()
        self.wall[name] = seconds(work)
        self.cpu[name] = cpu_seconds() - before
        progress(f"{self.clips} clips, {name}: {self.wall[name]:.1f} s, {self.cpu[name]:.1f} s of processor time")


def cpu_seconds() -> float:
    """Processor time of this process and of those it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument("--clips", type=int, help="N; 1,000 with --quick, 20,000 without")
    options.add_argument("--inside", choices=INSIDE, help=argparse.SUPPRESS)  # what a measured process does
    options.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    return options


def main() -> None:
    """Measure both sizes, print the table and the line of JSON."""
    args = parser().parse_args()
    if args.inside:
        INSIDE[args.inside](args.scratch)
        return
    clips = args.clips or (1_000 if args.quick else 20_000)
    few, many = measured(clips), measured(MORE * clips)
    ratios = {name: round(many.cpu[name] / few.cpu[name] / MORE, 3) for name in few.cpu if name != "inspect"}
    figures = {
        "scale_ratio": max(ratios.values()),
        **{f"{name}_ratio": ratio for name, ratio in ratios.items()},
        "front_questions": many.figures["front_questions"],
        "resume_share": round(many.cpu["resume"] / many.cpu["index"], 3),
        "inspect_growth": round(many.cpu["inspect"] / few.cpu["inspect"], 3),
        "worker_growth": round(many.figures["worker_mb"] / few.figures["worker_mb"], 3),
        "worker_mb": round(many.figures["worker_mb"]),
    }
    title = f"milliseconds of processor time per clip, {few.clips} and {many.clips} clips"
    rows = [
        (name, *(f"{1000 * costs.cpu[name] / costs.clips:.3f}" for costs in (few, many)), f"{ratio:.2f}")
        for name, ratio in ratios.items()
    ]
    details = {
        "details": {
            str(costs.clips): {"cpu": _rounded(costs.cpu), "wall": _rounded(costs.wall)} for costs in (few, many)
        }
    }
    tables = [table(title, ("operation", "N", "10 N", "ratio"), rows)]
    BENCHMARK.report(figures, keep=not args.quick and not args.clips, tables=tables, details=details)


def _rounded(costs: dict[str, float]) -> dict[str, float]:
    return {name: round(cost, 2) for name, cost in costs.items()}


def measured(clips: int) -> Costs:
    """Every operation on a data set of ``clips`` clips."""
    costs = Costs(clips)
    with scratch_folder() as scratch:
        progress(f"{clips} folders of pictures: {seconds(lambda: frame_folders(scratch / 'raw', clips, FRAMES)):.1f} s")
        indexing(costs, scratch)
        stages(costs, scratch)
        reading(costs, scratch)
        front(costs, scratch)
    return costs


def index(scratch: Path) -> None:
    """The index stage, in two processes."""
    from grace.pipeline.index.index import index

    index(DATASET, scratch / "raw", scratch / "data" / DATASET, workers=2)


def indexing(costs: Costs, scratch: Path) -> None:
    """The index: killed at half its time and run again, beside a whole one."""
    costs.measure("index", lambda: index(scratch))
    whole = (scratch / "data" / DATASET / "clips.parquet").read_bytes()
    subprocess.run(["rm", "-r", str(scratch / "data" / DATASET)], check=True)
    process = _start("index", scratch)
    try:
        process.wait(costs.wall["index"] / 2)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    costs.measure("resume", lambda: index(scratch))
    if (scratch / "data" / DATASET / "clips.parquet").read_bytes() != whole:
        sys.exit("the index differs after a kill")


def _start(what: str, scratch: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.scale", "--inside", what, "--scratch", str(scratch)]
    return subprocess.Popen(
        command, cwd=PROJECT, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def refine_step(scratch: Path) -> tuple[Step, InstantEngine]:
    """The real refine step, its answers kept, with an engine that answers at once."""
    from grace.pipeline.engines.responses import CachedEngine, ResponseStore
    from grace.pipeline.text.refine import refine_step
    from grace.pipeline.text.settings import RefineSettings

    step, engine = refine_step(RefineSettings()), InstantEngine()
    step.engine = CachedEngine(engine, ResponseStore(scratch / "data" / DATASET / "responses" / "refine"))
    return step, engine


def run(step: Step, scratch: Path, workers: int = 0) -> None:
    """A stage as the command line runs it."""
    from grace.pipeline.execution.runner import run

    run(step, scratch / "data" / DATASET, size=SHARD, workers=workers)


def stages(costs: Costs, scratch: Path) -> None:
    """Every stage, and one with nothing to do."""
    costs.measure("faces", lambda: run(FacesStub(), scratch, workers=2))
    costs.measure("caption", lambda: run(CaptionStub(), scratch))
    costs.measure("refine", lambda: run(refine_step(scratch)[0], scratch))
    costs.measure("motion", lambda: run(MotionStub(), scratch))
    costs.measure("tokens", lambda: run(TokensStub(), scratch))
    costs.measure("nothing_to_do", lambda: run(TokensStub(), scratch))
    worker = _start("worker", scratch)
    costs.figures["worker_mb"] = float(worker.communicate()[0])


def worker(scratch: Path) -> None:
    """What a worker of the faces stage does before its first clip; prints its largest memory, MB."""
    from grace.pipeline.execution.step import StepInputs

    inputs = StepInputs(FacesStub(), scratch / "data" / DATASET, SHARD)
    inputs.rows(len(inputs) // 2)
    status = Path("/proc/self/status").read_text()  # ru_maxrss would count the process that started this one
    print(int(status.partition("VmHWM:")[2].split()[0]) / 1024)


def reading(costs: Costs, scratch: Path) -> None:
    """What reads many shards, or one clip."""
    from grace.pipeline.store.verify import files_of, problems
    from grace.pipeline.store.virtual import write_virtual_dataset
    from grace.trainer.data import Cache

    folder = scratch / "data" / DATASET
    tokens = Store(folder / "tokens", TOKENS)
    costs.measure("join", lambda: write_virtual_dataset(tokens))
    costs.measure("join_again", lambda: write_virtual_dataset(tokens))
    costs.measure("cache", lambda: Cache(folder))
    write_run(folder)
    costs.measure("evaluate", lambda: read_run(folder))
    costs.measure("verify", lambda: [list(problems(folder, path)) for path in files_of(folder)])
    clip = Clips(folder, []).rows[costs.clips // 3]["clip_id"]
    command = [
        sys.executable,
        "-m",
        "stages",
        "inspect",
        "-d",
        DATASET,
        "--clip",
        clip,
        "-S",
        f"data={scratch / 'data'}",
    ]
    costs.measure("inspect", lambda: subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.DEVNULL))


def write_run(folder: Path) -> None:
    """A finished run on fold 1, as `grace evaluate` reads it."""
    from grace.trainer.provenance import cache_inputs, read_clips
    from grace.trainer.runs import FILES, RunConfig, encode_config, file_digests, fold_folder
    from grace.trainer.settings import TrainSettings

    clips, place = read_clips(folder), fold_folder(folder / "runs", "grace", 1)
    chances = np.full(len(clips.labels), 1 / len(clips.labels), np.float32)
    rows = [
        {**_ok(row), "fold": 1, "label": row["label"], "predicted": row["label"], "probabilities": chances}
        for row in clips.rows
        if row["fold_1"] == "test"
    ]
    write_table(place / "predictions.parquet", PREDICTIONS, rows, {"fingerprint": "run"})
    for name in FILES:
        if name != "predictions.parquet":
            (place / name).write_bytes(b"{}" if name == "metrics.json" else b"")
    config = RunConfig(
        version=1,
        fingerprint="run",
        fold=1,
        protocol="held-out",
        labels=clips.labels,
        model={},
        settings=TrainSettings(),
        cache={},
        inputs=cache_inputs(folder, clips),
        files=file_digests(place),
    )
    (place / "config.yaml").write_bytes(encode_config(config))


def read_run(folder: Path) -> None:
    """What `grace evaluate` reads and checks before it counts."""
    from grace.trainer.provenance import check_runs
    from grace.trainer.runs import fold_folder, open_run

    place = fold_folder(folder / "runs", "grace", 1)
    check_runs({place: open_run(place)}, folder)


def front(costs: Costs, scratch: Path) -> None:
    """One clip more, sorted before all others: every shard is made again from kept answers, one question asked."""
    folder = scratch / "data" / DATASET
    clips = Clips(folder)
    write_clips(folder, [{**clips.rows[0], "clip_id": "!"}, *clips.rows], clips.labels)
    step, engine = refine_step(scratch)

    run(FacesStub(), scratch, workers=2)
    run(CaptionStub(), scratch)
    costs.measure("front", lambda: run(step, scratch))
    costs.figures["front_questions"] = engine.asked


INSIDE = {"index": index, "worker": worker}

if __name__ == "__main__":
    main()
