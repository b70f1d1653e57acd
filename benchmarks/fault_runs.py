"""Trials of what is made of runs: seeds of a fold, scores, scores on another data set, tuning, predictions.

``scored`` is a toy cache with runs of three seeds, their scores, those on another data set, and a study of tuning.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.fault_bases import CROSS, ON, TUNE, succeed
from benchmarks.fault_corruptions import DAMAGES, Consumer, damaged, evaluated, flip, truncate, verified
from benchmarks.fault_stale import RUNS, SWAPS, Change, after, copied
from benchmarks.fault_stale_chain import RUN, config
from benchmarks.fault_trial import Outcome, Trial, digests, grace, held_if, kept, result_of

FOLD_1, FOLD_2 = f"{RUNS}/vision/fold-1", f"{RUNS}/vision/fold-2"
STUDY = "data/toy/tuning/vision/fold-1/study.log"


# -- seeds


def _again(folder: Path) -> None:
    """The first seed of each fold trained again with other settings."""
    for run in (FOLD_1, FOLD_2):
        for file in (folder / run.replace(RUNS, "short")).iterdir():
            if file.is_file():
                shutil.copy(file, folder / run)


def _twice(folder: Path) -> None:
    """The second seed once more as the third."""
    for run in (FOLD_1, FOLD_2):
        copied(f"{run}/seed-1", f"{run}/seed-2", folder)


def _first(folder: Path) -> None:
    """The first seed in the second one's place."""
    shutil.rmtree(folder / FOLD_1 / "seed-1")
    (folder / FOLD_1 / "seed-1").mkdir()
    for file in (folder / FOLD_1).iterdir():
        if file.is_file():
            shutil.copy(file, folder / FOLD_1 / "seed-1")


SEEDS: dict[str, tuple[Change, str]] = {
    "the first seed trained again otherwise": (_again, "seed-1"),
    "a seed of another fold": (partial(copied, f"{FOLD_2}/seed-1", f"{FOLD_1}/seed-1"), "seed-1"),
    "a seed twice": (_twice, "seed-2"),
    "the first seed in another's place": (_first, "seed-1"),
    "a seed of another data set": (
        partial(copied, "data/other/runs/vision/fold-1/seed-1", f"{FOLD_1}/seed-1"),
        "seed-1",
    ),
    "a seed without its runs": (lambda folder: shutil.rmtree(folder / FOLD_2 / "seed-2"), "seed-2"),
    "a seed with predictions of another": (
        partial(copied, f"{FOLD_1}/predictions.parquet", f"{FOLD_1}/seed-1/predictions.parquet"),
        "seed-1",
    ),
    "seeds, a label changed": (SWAPS["a label changed"][0], "clips.parquet"),
    "seeds, tokens made again": (SWAPS["tokens made again"][0], "tokens"),
}
"""Changes of the runs of seeds, and what the sentence says that refuses their scores."""


# -- scores on another data set


def transferred(folder: Path) -> Outcome:
    """Scores on the other set, made again: those of the sound files."""
    ran = grace(*ON)
    return result_of(ran, lambda: [ran.output, digests(folder / CROSS)] == kept(folder, "cross"), "other scores")


def refused_on(folder: Path) -> Outcome:
    """Scores on the other set that must not be shown."""
    return result_of(grace(*ON), lambda: False, "it was scored")


def _of_other(edit: Change, folder: Path) -> None:
    """A change of the toy set, done to the other one."""
    data = folder / "data"
    for here, there in (("toy", "mine"), ("other", "toy")):
        (data / here).rename(data / there)
    edit(folder)
    for here, there in (("toy", "other"), ("mine", "toy")):
        (data / here).rename(data / there)


def _other_model(folder: Path) -> None:
    from benchmarks.fault_stale import _other_model, stored

    for shard_of in ("tokens",):
        stored(shard_of, _other_model, folder)


ACROSS: dict[str, tuple[Change, str]] = {
    "another data set, its texts with labels": (partial(_of_other, SWAPS["texts with labels"][0]), "label"),
    "another data set, a shard of another model": (partial(_of_other, _other_model), "other/tokens"),
    "another data set, its classes renamed": (partial(_of_other, lambda folder: _two_renamed(folder)), "two classes"),
    "another data set, a run copied to another fold": (partial(copied, FOLD_1, FOLD_2), "fold-2"),
    "another data set, a label changed": (SWAPS["a label changed"][0], "clips.parquet"),
}


def _two_renamed(folder: Path) -> None:
    from benchmarks.fault_stale import table

    def rename(rows: list[dict[str, Any]], labels: list[str]) -> list[str]:
        for row in rows:
            row["label"] = {"neutral": "boredom", "sadness": "calm"}.get(row["label"], row["label"])
        return [{"neutral": "boredom", "sadness": "calm"}.get(label, label) for label in labels]

    table(rename, folder)


# -- tuning


def tuned(folder: Path) -> Outcome:
    """The study goes on, and what it tells of the settings as they are and of the best ones is what they reach."""
    from grace.settings import load_settings
    from grace.trainer.data import Cache
    from grace.trainer.tune import _score, tune

    settings = load_settings(folder / "params.yaml").train
    found = tune(folder / "data/toy", settings, 1, trials=3)
    cache = Cache(folder / "data/toy")
    best = settings.model_copy(update=found.settings)
    reached = [_score(cache, each, 1, folder / "again") for each in (settings, best)]
    return held_if(reached == [found.default, found.score], f"it tells {found}, and {reached} were reached")


# -- predictions


def predicted(folder: Path, run: str = RUN) -> Outcome:
    """A prediction from pictures alone: it needs no server, and what is wrong is all that can stop it."""
    ran = grace("predict", "raw/chain/clips/00.mp4", "-d", "chain", "--no-text", "--run", run)
    return ran.failure or Outcome("held")


def not_predicted(folder: Path, run: str = RUN) -> Outcome:
    """A prediction by models or settings that are not the run's: it has to be refused."""
    found = predicted(folder, run)
    return Outcome("silent", "it was predicted") if found.verdict == "held" else found


def _cache(section: str, key: str, value: object, folder: Path) -> None:
    from grace.trainer.runs import read_config

    cache: Any = read_config(folder / RUN).cache
    cache[section][key] = value
    config(folder / RUN, cache=cache)


MODELS: dict[str, tuple[Change, str]] = {
    "predict with tokens of another model": (
        partial(_cache, "tokens", "model", {"name": "pocket/clip", "sha256": "0" * 64}),
        "tokens",
    ),
    "predict with tokens of another length": (partial(_cache, "tokens", "text_length", 7), "tokens"),
    "predict with motion of another grid": (partial(_cache, "motion", "grid", 99), "motion"),
}


def replaced_weights(folder: Path) -> Outcome:
    """A run on tokens of a model in a folder, whose weights are then replaced."""
    from benchmarks.harness import PROJECT

    shutil.copytree(PROJECT / "pocket/clip", folder / "clip")
    own = ("-d", "chain", "-S", "tokens.model=clip")
    succeed("tokens", *own)
    succeed("train", *own, "--runs", "own")
    weights = folder / "clip/model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-4000:] = bytes(4000)
    weights.write_bytes(bytes(content))
    return not_predicted(folder, "own/vision/fold-1")


def trials(seed: int) -> list[Trial]:
    """Seeds, scores, other data sets, tuning and predictions."""
    found = []
    uses: tuple[Consumer, ...]
    for changes, uses in ((SEEDS, (evaluated, partial(verified, "toy"))), (ACROSS, (refused_on,))):
        for name, (change, says) in changes.items():
            for consume in uses:
                what = getattr(consume, "func", consume).__name__
                if (name, what) != ("a seed without its runs", "verified"):
                    attempt = partial(after, change, consume)
                    found.append(Trial("stale", f"{name}, {what}", attempt, ("sentence",), "scored", (says,)))
    for name, (change, says) in MODELS.items():
        attempt = partial(after, change, not_predicted)
        found.append(Trial("stale", name, attempt, ("sentence",), "chain", (says,)))
    found += [
        Trial("stale", "predict with nothing changed", predicted, ("held",), "chain"),
        Trial("stale", "predict with weights replaced", replaced_weights, ("sentence",), "chain", ("tokens",)),
        Trial(
            "stale",
            "tokens made again, tuned",
            partial(after, SWAPS["tokens made again"][0], tuned),
            ("held",),
            "scored",
        ),
        Trial("stale", "a study of another method, tuned", partial(after, _other_study, tuned), ("held",), "scored"),
    ]
    return found + damages(seed)


def _other_study(folder: Path) -> None:
    shutil.rmtree(folder / "data/toy/tuning")
    succeed(*TUNE, "-S", "train.method=text")
    copied("data/toy/tuning/text", "data/toy/tuning/vision", folder)


def damages(seed: int) -> list[Trial]:
    """The same files damaged."""
    seed_1 = f"{FOLD_1}/seed-1"
    files: list[tuple[str, Consumer, str]] = [
        (f"{seed_1}/config.yaml", evaluated, seed_1),
        (f"{seed_1}/predictions.parquet", evaluated, seed_1),
        (f"{seed_1}/metrics.json", evaluated, seed_1),
        ("data/toy/scores.json", evaluated, "scores.json"),
        (f"{CROSS}/predictions.parquet", transferred, CROSS),
        (f"{CROSS}/metrics.json", transferred, CROSS),
        (STUDY, tuned, "study.log"),
    ]
    found = [
        Trial(
            "corruptions",
            f"{file}: {name}, {consume.__name__}",  # type: ignore[attr-defined]
            partial(damaged, file, damage, seed, consume),
            ("held", "sentence"),
            "scored",
            (says,),
        )
        for file, consume, says in files
        for name, damage in DAMAGES.items()
    ]
    for file in (
        f"{seed_1}/config.yaml",
        f"{seed_1}/model.safetensors",
        f"{seed_1}/predictions.parquet",
        f"{CROSS}/predictions.parquet",
        "data/toy/scores.json",
    ):
        for name, damage in (("a bit", flip), ("the end", truncate)):
            find = partial(damaged, file, damage, seed, partial(verified, "toy"))
            says = (file.removeprefix("data/toy/"),) if "seed-1" not in file else (seed_1,)
            found.append(Trial("corruptions", f"verify finds {name} of {file}", find, ("sentence",), "scored", says))
    return found
