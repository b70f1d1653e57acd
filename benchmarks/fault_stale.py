"""Trials of files that are sound and do not belong: copied, swapped, older or newer than what they stand beside.

Each changes a base as people do by accident, then runs the command that would use the result.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.fault_bases import NEW, run_files
from benchmarks.fault_corruptions import compared, evaluated, inspected, verified
from benchmarks.fault_stale_chain import config
from benchmarks.fault_trial import Outcome, Trial, grace, kept, result_of

KIND = "stale"
Change = Callable[[Path], None]
Consumer = Callable[[Path], Outcome]
TOY_DATA, RUNS = "data/toy", "data/toy/runs"


def after(change: Change, consume: Consumer, folder: Path) -> Outcome:
    """Change something, then use it."""
    change(folder)
    return consume(folder)


# -- changes of the toy cache


def copied(source: str, target: str, folder: Path) -> None:
    """A file or folder takes the place of another."""
    place = folder / target
    if place.is_dir():
        shutil.rmtree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    (shutil.copytree if (folder / source).is_dir() else shutil.copy)(folder / source, place)


def table(edit: Callable[[list[dict[str, Any]], list[str]], list[str] | None], folder: Path) -> None:
    """Another table of clips, as an index would write it."""
    from grace.pipeline.store import Clips, write_clips

    clips = Clips(folder / TOY_DATA)
    labels = list(clips.labels)
    labels = edit(clips.rows, labels) or labels
    for row in clips.rows:
        row["label_id"] = labels.index(row["label"]) if row["label"] in labels else -1
    write_clips(folder / TOY_DATA, clips.rows, labels)


def _relabel(rows: list[dict[str, Any]], labels: list[str]) -> None:
    test = next(row for row in rows if row["fold_1"] == "test")
    test["label"] = next(label for label in labels if label != test["label"])


def _move(rows: list[dict[str, Any]], labels: list[str]) -> None:
    next(row for row in rows if row["fold_1"] == "test")["fold_1"] = "train"


def _remove(rows: list[dict[str, Any]], labels: list[str]) -> None:
    rows.remove(next(row for row in rows if row["fold_1"] == "test"))


def _add(rows: list[dict[str, Any]], labels: list[str]) -> None:
    rows.append({**rows[0], "clip_id": "a new one"})


def _reverse(rows: list[dict[str, Any]], labels: list[str]) -> list[str]:
    return labels[::-1]


def _rename(rows: list[dict[str, Any]], labels: list[str]) -> list[str]:
    for row in rows:
        row["label"] = row["label"].replace("neutral", "boredom")
    return [label.replace("neutral", "boredom") for label in labels]


def _class_more(rows: list[dict[str, Any]], labels: list[str]) -> list[str]:
    return [*labels, "fear"]


def _rename_people(rows: list[dict[str, Any]], labels: list[str]) -> None:
    for row in rows:
        row["subject"] = f"another {row['subject']}"


def _third_fold(rows: list[dict[str, Any]], labels: list[str]) -> None:
    for row in rows:
        row["fold_3"] = row["fold_1"]


def labelled(folder: Path) -> None:
    """Texts that were written with the label in the prompt."""
    from tests.support.toy_cache import show_labels

    show_labels(folder / TOY_DATA)


def trained(*more: str, folder: Path) -> None:
    """A run of other settings takes the place of one."""
    ran = grace("train", "-d", "toy", *more)
    if ran.exit_code:
        raise RuntimeError(ran.output)


def stored(store: str, edit: Callable[[list[dict[str, Any]], dict[str, Any]], None], folder: Path) -> None:
    """A shard made again, with other rows or metadata."""
    from grace.pipeline.store import open_store

    opened = open_store(folder / TOY_DATA, store)
    rows, meta = opened.read(1), opened.meta(1)
    edit(rows, meta)
    more = {name: value for name, value in meta.items() if name not in ("checksum", "stage", "schema")}
    opened.write(1, rows, more)


def _other_numbers(rows: list[dict[str, Any]], meta: dict[str, Any]) -> None:
    for row in rows:
        row.update({name: value * 0.5 for name, value in row.items() if name in ("motion", "visual")})
    meta["fingerprint"] = "made again"


def _other_model(rows: list[dict[str, Any]], meta: dict[str, Any]) -> None:
    meta["cache_key"] = {"model": "another"}


def older_trainer(folder: Path) -> None:
    """A run of fold 2 by another version of the trainer."""
    config(folder / RUNS / "vision/fold-2", version=1)


def put_back(folder: Path) -> None:
    """Runs on texts that had seen the label; then the tokens of other texts again."""
    shutil.copytree(folder / TOY_DATA / "tokens", folder / "before")
    labelled(folder)
    for fold in ("1", "2"):
        trained("--fold", fold, folder=folder)
    copied("before", f"{TOY_DATA}/tokens", folder)


def newly_trained(folder: Path) -> Outcome:
    """A finished run asked for again is the run that would be made now."""
    ran, new = grace("train", "-d", "toy"), grace("train", "-d", "toy", "--runs", "fresh")
    made, fresh = folder / FOLD_1, folder / "fresh/vision/fold-1"
    return new.failure or result_of(ran, lambda: run_files(made) == run_files(fresh), "the old run is kept")


def new_run(folder: Path) -> Outcome:
    """A new run on what is there is the one of the sound files."""
    ran = grace(*NEW)
    return result_of(ran, lambda: run_files(folder / "new/vision/fold-1") == kept(folder, "new"), "other weights")


def new_template_run(folder: Path) -> Outcome:
    """The same of a method with class prompts."""
    ran = grace(*NEW, "-S", "train.method=template")
    return result_of(ran, lambda: run_files(folder / "new/template/fold-1") == kept(folder, "new template"))


def refused(*words: str, folder: Path) -> Outcome:
    """A command that has to refuse."""
    return result_of(grace(*words), lambda: False, "it was taken")


OTHER, FOLD_1, FOLD_2 = "data/other", f"{RUNS}/vision/fold-1", f"{RUNS}/vision/fold-2"
SWAPS: dict[str, tuple[Change, str]] = {
    "a run copied to another fold": (partial(copied, FOLD_1, FOLD_2), "fold-2 holds fold 1"),
    "predictions of the other fold": (
        partial(copied, f"{FOLD_2}/predictions.parquet", f"{FOLD_1}/predictions.parquet"),
        "fold-1/predictions.parquet",
    ),
    "predictions of another method": (
        partial(copied, f"{RUNS}/template/fold-1/predictions.parquet", f"{FOLD_1}/predictions.parquet"),
        "fold-1/predictions.parquet",
    ),
    "a run of another data set": (partial(copied, f"{OTHER}/runs/vision/fold-1", FOLD_1), "fold-1"),
    "a label changed": (partial(table, _relabel), "clip-000"),
    "a clip moved to training": (partial(table, _move), "clip-000"),
    "a clip removed": (partial(table, _remove), "clip-000"),
    "a clip added": (partial(table, _add), "a new one"),
    "classes in another order": (partial(table, _reverse), "other classes"),
    "a class renamed": (partial(table, _rename), "other classes"),
    "a class more": (partial(table, _class_more), "other classes"),
    "people renamed": (partial(table, _rename_people), "clips.parquet changed"),
    "a fold more": (partial(table, _third_fold), "clips.parquet changed"),
    "tokens made again": (partial(stored, "tokens", _other_numbers), "tokens"),
    "motion made again": (partial(stored, "motion", _other_numbers), "motion"),
    "texts with labels": (labelled, "tokens"),
    "folds of other seeds": (
        lambda folder: trained("--fold", "2", "-S", "train.seed=7", folder=folder),
        "seed: 0 and 7",
    ),
    "folds of other lengths": (
        lambda folder: trained("--fold", "2", "-S", "train.epochs=1", folder=folder),
        "epochs: 2 and 1",
    ),
    "folds of other protocols": (
        lambda folder: trained("--fold", "2", "-S", "train.protocol=best-test", folder=folder),
        "best-test",
    ),
    "folds of other trainers": (older_trainer, "trainer:"),
    "runs that saw the label": (put_back, "tokens"),
    "runs of another method": (partial(copied, f"{RUNS}/template", f"{RUNS}/vision"), "run of template"),
}
"""Changes after which no score may be shown, and words of the sentence that says so."""
USES: dict[str, tuple[Any, ...]] = {
    "another table, shown": (partial(table, _reverse), inspected, ("sentence",), "other classes"),
    "a class renamed, shown": (partial(table, _rename), inspected, ("sentence",), "other classes"),
    "a run of another data set, verified": (
        SWAPS["a run of another data set"][0],
        partial(verified, "toy"),
        ("sentence",),
        "fold-1",
    ),
    "a run of another method, shown": (SWAPS["runs of another method"][0], inspected, ("sentence",), "run of template"),
    "a run copied to another fold, shown": (
        SWAPS["a run copied to another fold"][0],
        inspected,
        ("sentence",),
        "fold-2 holds fold 1",
    ),
    "a label changed, trained again": (partial(table, _relabel), newly_trained, ("held",)),
    "tokens made again, trained again": (SWAPS["tokens made again"][0], newly_trained, ("held",)),
    "a shard of another model": (partial(stored, "tokens", _other_model), new_run, ("sentence",), "tokens mixes"),
    "a motion shard of other settings": (
        partial(stored, "motion", _other_model),
        new_run,
        ("sentence",),
        "motion mixes",
    ),
    "a checkpoint of another run": (
        partial(copied, "new/vision/fold-1/checkpoint.pt", "new/template/fold-1/checkpoint.pt"),
        new_template_run,
        ("held",),
    ),
    "a finished run in a new one's place": (partial(copied, FOLD_1, "new/vision/fold-1"), new_run, ("held",)),
    "runs of another data set named": (
        lambda folder: None,
        lambda folder: refused("evaluate", "-d", "toy", "--runs", f"{OTHER}/runs", "-S", "folds=[1]", folder=folder),
        ("sentence",),
        "data/other/runs",
    ),
    "compared with another data set's run": (
        lambda folder: None,
        lambda folder: refused("compare", f"{FOLD_1}", f"{OTHER}/runs/vision/fold-1", "-d", "toy", folder=folder),
        ("sentence",),
        "data/other/runs",
    ),
    "compared with a best-test run": (
        lambda folder: trained("-S", "train.protocol=best-test", "--runs", "best", folder=folder),
        lambda folder: refused("compare", FOLD_1, "best/vision/fold-1", "-d", "toy", folder=folder),
        ("sentence",),
        "best-test",
    ),
    "compared with a fold less": (lambda folder: shutil.rmtree(folder / FOLD_2), compared, ("sentence",), "fold 2"),
    "a clip more, trained again": (partial(table, _add), new_run, ("sentence",), "a new one"),
}


def trials(seed: int) -> list[Trial]:
    """Every change with the command that it must not deceive."""
    from benchmarks import fault_stale_chain

    found = []
    for name, (change, says) in SWAPS.items():
        for consume in (evaluated, compared):
            if consume is evaluated or name not in ("a fold more", "a class more", "people renamed"):
                attempt = partial(after, change, consume)
                found.append(Trial(KIND, f"{name}, {consume.__name__}", attempt, ("sentence",), "toy", (says,)))
    for name, (change, consume, expected, *words) in USES.items():
        found.append(Trial(KIND, name, partial(after, change, consume), expected, "toy", tuple(words)))
    return found + fault_stale_chain.trials(seed)
