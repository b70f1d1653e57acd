"""What the trials damage: small data sets with everything that the stages make of them, each made once.

``toy`` is a cache of tokens with runs of two methods, and a second data set with the same ids; ``chain`` holds videos
and all stages' files made of them by real commands, with captions from a server on loopback; ``world`` is a rendered
world; ``clips`` are some videos and a ``clips.csv``; ``good`` is one video; ``scored`` is a toy
cache with runs of three seeds, their scores, those on another data set, and a study. Each has a ``baseline.json`` with
the results of the sound files.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.fault_files import make_good
from benchmarks.fault_trial import digests, grace

TOY = {
    "workers": 0,
    "train": {"method": "vision", "epochs": 2, "hidden": 16, "layers": 1, "heads": 2, "batch": 16},
    "evaluate": {"bootstrap": 20},
}
CHAIN: dict[str, Any] = {
    **TOY,
    "roots": {"chain": "raw/chain", "other": "raw/other"},
    "shards": {"clips": 4},
    "faces": {"detector": "none", "instants": 4, "size": 64},
    "caption": {"engine": "openai", "model": "m", "images": 2, "max_attempts": 1},
    "train": {**TOY["train"], "validation": 0.3},  # type: ignore[dict-item]
}
CLIPS, LABELS = 8, ("happiness", "sadness")
NEW = ("train", "-d", "toy", "-S", "train.seed=5", "--runs", "new")
"""A run that the base has not: what it gives, ``baseline.json`` says."""


CROSS = "data/toy/cross-dataset/other/vision"
SCORES = ("scores.json", "metrics.json")
ON = ("evaluate", "-d", "toy", "--on", "other")
TUNE = ("tune", "-d", "toy", "--trials", "3")


def write_params(folder: Path, settings: dict[str, Any]) -> None:
    """``params.yaml`` of a base."""
    (folder / "params.yaml").write_text(json.dumps(settings, indent=1))  # JSON is YAML


def succeed(*words: str) -> str:
    """Run a command that has to end well; returns what it printed."""
    ran = grace(*words)
    if ran.exit_code or ran.error:
        raise RuntimeError(f"grace {' '.join(words)}: {ran.output}") from ran.error
    return ran.output


def keep(folder: Path, results: dict[str, Any]) -> None:
    """Write the results of the sound files."""
    (folder / "baseline.json").write_text(json.dumps(results))


def run_files(folder: Path) -> dict[str, str]:
    """Digests of what a run is: its weights, predictions, figures and history."""
    names = ("model.safetensors", "predictions.parquet", "metrics.json", "history.csv")
    return digests(*(folder / name for name in names if (folder / name).exists()))


def make_toy(folder: Path) -> None:
    """Two toy caches with the same ids, runs of both folds, and a run that was stopped after its first epoch."""
    from tests.support.toy_cache import toy_cache

    write_params(folder, TOY)
    toy_cache(folder / "data/toy", 48)
    toy_cache(folder / "data/other", 48, seed=1)
    for method in ("vision", "template"):
        for fold in ("1", "2"):
            succeed("train", "-d", "toy", "--fold", fold, "-S", f"train.method={method}")
    succeed("train", "-d", "other")
    succeed(*NEW)
    succeed(*NEW, "-S", "train.method=template")
    evaluated = succeed("evaluate", "-d", "toy")
    results = {
        "new": run_files(folder / "new/vision/fold-1"),
        "new template": run_files(folder / "new/template/fold-1"),
        "again": [succeed("train", "-d", "toy"), run_files(folder / "data/toy/runs/vision/fold-1")],
        "evaluate": [evaluated, digests(folder / "data/toy/scores.json", folder / "data/toy/metrics.json")],
        "compare": succeed("compare", "vision", "template", "-d", "toy"),
        "inspect": succeed("inspect", "-d", "toy", "--clip", "clip-014"),
    }
    shutil.rmtree(folder / "new")
    _stop_after_an_epoch(folder)
    keep(folder, results)


def _stop_after_an_epoch(folder: Path) -> None:
    from grace.trainer import training_loop

    written = training_loop.write_atomic

    def stop(path: Path, content: bytes) -> None:
        written(path, content)
        raise KeyboardInterrupt

    training_loop.write_atomic = stop  # type: ignore[assignment]
    try:
        grace(*NEW)
    finally:
        training_loop.write_atomic = written
    if not (folder / "new/vision/fold-1/checkpoint.pt").exists():
        raise RuntimeError("no checkpoint was left")


@contextmanager
def caption_server() -> Iterator[str]:
    """A server on loopback that captions every clip alike; gives its address."""
    from benchmarks.server_faults import FINE, Behaviour, misbehaving

    os.environ.pop("OPENAI_API_KEY", None)
    with misbehaving(Behaviour("fine", "answer", "", lambda: [FINE])) as server:
        yield server.url


def caption(url: str, dataset: str = "chain") -> tuple[str, ...]:
    """The command that captions by a server."""
    return ("caption", "-d", dataset, "-S", f"caption.server.url={url}")


def write_raw(root: Path, seed: int, clips: int = CLIPS) -> None:
    """Videos of moving noise, and their ``clips.csv``."""
    import numpy as np

    from tests.support.videos import encode_pictures

    random = np.random.default_rng(seed)
    lines = ["path,label,subject,fold"]
    for number in range(clips):
        small = random.integers(0, 256, (8, 6, 6, 3), dtype=np.uint8)
        pictures = [np.kron(frame, np.ones((12, 12, 1), np.uint8)) for frame in small]
        path = encode_pictures(root / f"clips/{number:02d}.mp4", pictures, _times(8), "mpeg4")
        path.chmod(0o644)
        lines.append(f"clips/{number:02d}.mp4,{LABELS[number % 2]},p{number // 2},{number // 2 % 2 + 1}")
    (root / "clips.csv").write_text("\n".join(lines) + "\n")


def _times(count: int) -> list[Any]:
    from fractions import Fraction

    return [Fraction(number, 25) for number in range(count)]


def corrections(folder: Path, dataset: str, clips: int = CLIPS) -> None:
    """A description by a person for each clip, so that no language model is needed."""
    rows = [f'clips/{number:02d},"The brows rise, the lips part {number} times."' for number in range(clips)]
    (folder / "overrides").mkdir(exist_ok=True)
    (folder / f"overrides/{dataset}.csv").write_text("clip_id,description\n" + "\n".join(rows) + "\n")


STAGES = ("faces", "motion", "refine", "tokens")


def make_chain(folder: Path) -> None:
    """Two data sets of the same names through all stages, and runs of the first."""
    write_params(folder, CHAIN)
    with caption_server() as url:
        for seed, dataset in enumerate(("chain", "other")):
            write_raw(folder / "raw" / dataset, seed)
            corrections(folder, dataset)
            succeed("index", "-d", dataset)
            succeed("faces", "-d", dataset)
            succeed("motion", "-d", dataset)
            succeed(*caption(url, dataset))
            succeed("refine", "-d", dataset)
            succeed("tokens", "-d", dataset)
            succeed("train", "-d", dataset)
    succeed("train", "-d", "chain", "--fold", "2")
    succeed("audit", "-d", "chain")
    data = folder / "data/chain"
    results = {
        **{name: digests(data / name) for name in ("faces", "motion", "captions", "descriptions", "tokens", "audit")},
        "clips": digests(data / "clips.parquet"),
        "run": run_files(data / "runs/vision/fold-1"),
        "inspect": succeed("inspect", "-d", "chain", "--clip", "clips/02"),
        "rows": succeed("inspect", "-d", "chain", "-n", "0"),
    }
    succeed("show", "clips/02", "-d", "chain", "--out", "show.png")
    results["show"] = digests(folder / "show.png")
    (folder / "show.png").unlink()
    keep(folder, results)


def make_world(folder: Path) -> None:
    """A rendered world of a few clips."""
    small = {"clips": 6, "identities": 6, "size": 96, "fps": 5, "folds": 2}
    write_params(folder, {**TOY, "roots": {"world": "raw/world"}, "world": small})
    succeed("world", "--out", "raw/world")
    succeed("index", "-d", "world")
    from grace.pipeline.audit import read_truth

    keep(folder, {"world": digests(folder / "raw"), "truth": repr(read_truth(folder / "raw/world"))})


def make_clips(folder: Path) -> None:
    """Some videos with a ``clips.csv``, indexed."""
    write_params(folder, {**CHAIN, "roots": {"mine": "raw"}})
    write_raw(folder / "raw", 0, clips=4)
    succeed("index", "-d", "mine")
    rows = {"rows": index_rows(folder), "content": index_rows(folder, ())}
    keep(folder, {**rows, "files": digests(folder / "data/mine")})


def index_rows(folder: Path, without: tuple[str, ...] = ("label_id",), dataset: str = "mine") -> dict[str, Any]:
    """The rows of an index, by clip, as JSON gives them back."""
    from grace.pipeline.store import Clips

    rows = Clips(folder / "data" / dataset).rows
    plain = {row["clip_id"]: {name: value for name, value in row.items() if name not in without} for row in rows}
    return dict(json.loads(json.dumps(plain, default=str)))


def make_scored(folder: Path) -> None:
    """Runs of three seeds and what is made of them."""
    from tests.support.toy_cache import toy_cache

    write_params(folder, {**TOY, "train": {**TOY["train"], "seeds": 3}})  # type: ignore[dict-item]
    toy_cache(folder / "data/toy", 48)
    toy_cache(folder / "data/other", 48, seed=1)
    for fold in ("1", "2"):
        succeed("train", "-d", "toy", "--fold", fold)
        succeed("train", "-d", "toy", "--fold", fold, "--runs", "short", "-S", "train.seeds=1", "-S", "train.epochs=1")
    succeed("train", "-d", "other")
    results = {
        "evaluate": [
            succeed("evaluate", "-d", "toy"),
            digests(folder / "data/toy/scores.json", folder / "data/toy/metrics.json"),
        ],
        "cross": [succeed(*ON), digests(folder / CROSS)],
        "tune": succeed(*TUNE),
    }
    keep(folder, results)


BASES: dict[str, Callable[[Path], None]] = {
    "toy": make_toy,
    "chain": make_chain,
    "world": make_world,
    "clips": make_clips,
    "good": make_good,
    "scored": make_scored,
}


def make_base(name: str, bases: Path) -> None:
    """Make a base in its folder, which is the working directory meanwhile."""
    folder = bases / name
    folder.mkdir()
    with chdir(folder):
        BASES[name](folder)
