"""Predicting many clips costs what the stages cost: every model is opened once, and nothing is done twice.

Renders two worlds of the demo's kind, takes the first through the stages and a short training, and then the second's
clips through `GraceClassifier.predict_many`, and through index, faces, caption, refine, motion and tokens as stages,
both in processes of their own that have nothing open yet, in turns.

    python -m benchmarks.predict [--quick] [--clips 20]

Ends with one line of JSON: predict_ratio (goal <= 1.1), the seconds of predicting ÷ those of the stages in one process,
medians; workers_ratio, the same beside stages with two workers; and opened, how often each model was opened.

--quick takes 4 clips, once.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness import PROJECT, Benchmark, progress, scratch_folder
from grace.pipeline.execution.processes import exit_with_parent
from grace.pipeline.steps import step_sections
from grace.settings import Settings, load_settings

STEPS_OF_PREDICT = ("faces", "caption", "refine", "motion", "tokens")
TRAINED, ASKED = 60, 20
ROUNDS = 3

BENCHMARK = Benchmark("predict", __doc__, keys=("predict_ratio", "opened"), quick="4 clips, one round")


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument("--clips", type=int, default=ASKED)
    return options


def settings_in(folder: Path, name: str, clips: int, seed: int) -> Settings:
    """The project's settings for a rendered world in ``folder``."""
    world = {"clips": clips, "identities": max(5, clips // 4), "seed": seed, "folds": 2}
    given = [f"world.{key}={value}" for key, value in world.items()]
    return load_settings(PROJECT / "params.yaml", [*given, f"data={folder}", f"roots.{name}={folder / 'raw' / name}"])


def stages(folder: Path, name: str, clips: int, seed: int, workers: int, round_: int) -> float:
    """Seconds of all stages on a world's clips."""
    from grace.pipeline.execution.runner import run
    from grace.pipeline.index.index import index
    from grace.pipeline.steps import make_step

    settings = settings_in(folder, name, clips, seed)
    out = folder / f"{name}-{workers}-{round_}"
    start = time.perf_counter()
    index(name, folder / "raw" / name, out, workers=workers)
    for stage in STEPS_OF_PREDICT:
        run(make_step(stage, settings, name), out, size=settings.shards.clips, workers=workers)
    return time.perf_counter() - start


def predicting(folder: Path, run: Path, name: str) -> tuple[float, dict[str, int]]:
    """Seconds of predicting a world's clips, and how often each model was opened."""
    from transformers import PreTrainedModel

    import grace

    opened: Counter[str] = Counter()
    original = PreTrainedModel.from_pretrained.__func__  # type: ignore[attr-defined]

    def counted(cls: type, path: Any, *arguments: Any, **options: Any) -> Any:
        opened[Path(str(path)).name] += 1
        return original(cls, path, *arguments, **options)

    PreTrainedModel.from_pretrained = classmethod(counted)  # type: ignore[assignment,method-assign]
    files = sorted((folder / "raw" / name / "clips").iterdir())
    start = time.perf_counter()
    made = list(grace.GraceClassifier.from_pretrained(run).predict_many(files))
    taken = time.perf_counter() - start
    assert not any(each.error for each in made)
    return taken, dict(opened)


def trained(folder: Path, clips: int) -> Path:
    """A short run on a world of its own."""
    from grace.pipeline.world.world import make_world
    from grace.trainer.train import train

    settings = settings_in(folder, "learned", TRAINED, seed=31)
    make_world(settings.world, folder / "raw/learned", settings.workers)
    make_world(settings_in(folder, "asked", clips, seed=32).world, folder / "raw/asked", settings.workers)
    stages(folder, "learned", TRAINED, 31, workers=2, round_=0)
    data = folder / "learned-2-0"
    short = settings.train.model_copy(update={"epochs": 2})
    train(data, short, 1, quiet=True, pipeline=step_sections(settings))
    return data / "runs/grace/fold-1"


def alone(function: Any, *arguments: Any) -> Any:
    """The value of a call in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn"), exit_with_parent) as pool:
        return pool.submit(function, *arguments).result()


def main() -> None:
    """Print the figures, and keep those of a full run."""
    args = parser().parse_args()
    clips, rounds = (4, 1) if args.quick else (args.clips, ROUNDS)
    taken: dict[str, list[float]] = {"predict": [], "stages": [], "workers": []}
    with scratch_folder() as folder:
        run = alone(trained, folder, clips)
        for number in range(rounds):
            seconds, opened = alone(predicting, folder, run, "asked")
            taken["predict"].append(seconds)
            taken["stages"].append(alone(stages, folder, "asked", clips, 32, 0, number))
            taken["workers"].append(alone(stages, folder, "asked", clips, 32, 2, number))
            progress(", ".join(f"{name} {values[-1]:.1f} s" for name, values in taken.items()))
    middle = {name: median(values) for name, values in taken.items()}
    figures = {
        "predict_ratio": round(middle["predict"] / middle["stages"], 2),
        "workers_ratio": round(middle["predict"] / middle["workers"], 2),
        "opened": opened,
        "clips": clips,
        **{f"{name}_seconds": round(value, 1) for name, value in middle.items()},
    }
    BENCHMARK.report(figures, keep=not args.quick)


if __name__ == "__main__":
    main()
