"""Runs of one data set on the clips of another one: how far what was learned carries over.

All runs of the folds are asked about every labelled clip of the other set whose class they know. Clips of other
classes are left out and counted, and so are clips that the runs may have been trained on. Where the run knows classes
that the other set lacks, the probabilities of the shared classes are renormalised to sum to 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from grace.pipeline.devices import choose_device
from grace.pipeline.store import Clips, GraceError, Row, Store, UserError, failure, find_paths, write_table
from grace.pipeline.store.schema import limits_text
from grace.pipeline.store.schemas import CROSS_DATASET, STORES
from grace.trainer.classifier import TokenClassifier
from grace.trainer.data import Cache, Subset
from grace.trainer.evaluate import fold_scores, write_sealed_json
from grace.trainer.provenance import check_runs, people_of, refuse_label_informed
from grace.trainer.runs import Run, class_indices, fold_folder, open_run
from grace.trainer.settings import TrainSettings
from grace.trainer.training_loop import predict

FOLDER = "cross-dataset"
"""Folder under ``data/<dataset>`` with the results of its runs on other data sets."""
UPSTREAM = ("faces", "captions", "descriptions")
"""Stores whose settings may differ between data sets (one ships crops, another whole frames), and are then named."""


@dataclass(frozen=True)
class Transfer:
    """The runs of one data set on the clips of another."""

    trained_on: str
    tested_on: str
    method: str
    protocol: str
    labels: list[str]
    """The classes that both sets have, in the order of the run's."""
    scores: dict[str, Any]
    """As of :func:`~grace.trainer.evaluate.evaluate`: means over the runs, intervals over people; ``clips`` are those
    of the other set."""
    own: dict[str, Any]
    """The same runs on their own test clips of the shared classes."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Clips of the other set that were not scored, by cause."""
    unused: list[str] = field(default_factory=list)
    """Classes of the runs that the other set lacks."""
    remarks: tuple[str, ...] = ()
    """What else may make a difference: stages whose settings differ, models that do not know the footage."""


@dataclass(frozen=True)
class _Task:
    """What is to be scored: runs, the other set's cache, and which of its clips."""

    runs: dict[int, Run]
    places: dict[int, Path]
    cache: Cache
    labels: list[str]
    clip_ids: list[str]
    left_out: dict[str, int]


def evaluate_on(
    dataset_folder: str | Path,
    other_folder: str | Path,
    method: str,
    folds: Sequence[int],
    samples: int = 1000,
    confidence: float = 0.95,
    runs: Path | None = None,
    device: str = "auto",
) -> Transfer:
    """Score the runs of all folds on every clip of another data set that has a class they know.

    Writes ``predictions.parquet``, of each run and clip, and ``metrics.json`` into
    ``<dataset_folder>/cross-dataset/<other>/<method>``. The sets' own predictions and scores stay as they are.

    Args:
        dataset_folder: ``data/<dataset>``, whose runs are scored.
        other_folder: ``data/<other>``, with its tokens and motion.
        method: as in ``train.method``.
        folds: the folds whose runs are scored, all trained.
        samples: bootstrap draws of the intervals.
        confidence: of the intervals.
        runs: the folder of runs; ``<dataset_folder>/runs`` if not given.
        device: where the runs compute.

    Returns:
        Scores on the other set and, on the same classes, on the runs' own test clips. A clip that could not be made
        into tokens counts as wrong.

    Raises:
        UserError: a run is not what its folder says or no longer fits its data set, tokens or motion of the other set
            were made with other models or settings than the run's, or the sets share fewer than two classes.
        GraceError: the label was visible to the text of a clip that would be scored.

    Example:
        >>> found = evaluate_on("data/demo", "data/other", "grace", folds=[1], samples=50)
        >>> found.labels, found.scores["clips"], found.left_out
        (['happiness', 'sadness', 'neutral'], 60, {})
    """
    folder, other = Path(dataset_folder), Path(other_folder)
    if folder.resolve() == other.resolve():
        raise UserError(f"{folder} is the data set of the runs itself: `grace evaluate` without --on scores it.")
    if not folds:
        raise UserError("No fold was named: set folds in params.yaml, such as [1, 2].")
    places = {fold: fold_folder(runs or folder / "runs", method, fold) for fold in folds}
    found = {fold: open_run(place) for fold, place in places.items()}
    check_runs({places[fold]: run for fold, run in found.items()}, folder)
    task = _task(found, places, folder, other)
    predictions = {fold: _predict(task, fold, choose_device(device)) for fold in folds}
    task.cache.check_unchanged()
    own = {fold: _own(run, task.labels) for fold, run in found.items()}
    first = found[folds[0]].config
    result = Transfer(
        trained_on=folder.name,
        tested_on=other.name,
        method=method,
        protocol=first.protocol,
        labels=task.labels,
        scores=_scores(predictions, task.labels, samples, confidence, other) | _counted(predictions),
        own=_scores(own, task.labels, samples, confidence, folder),
        left_out=task.left_out,
        unused=[label for label in first.labels if label not in task.labels],
        remarks=(*_remarks(folder, other), *_limits(task)),
    )
    _write(folder / FOLDER / other.name / method, result, predictions, task)
    return result


def trained_folds(dataset_folder: str | Path, method: str) -> list[int]:
    """The folds of a method that a data set has finished runs of."""
    names = [path.parent.name for path in find_paths(Path(dataset_folder) / "runs" / method, "fold-*/config.yaml")]
    return sorted(int(name[5:]) for name in names if name[5:].isdecimal())


def _task(runs: dict[int, Run], places: dict[int, Path], folder: Path, other: Path) -> _Task:
    """The clips to be scored; checks that they may be, and that the runs can read them."""
    cache = Cache(other)
    config = next(iter(runs.values())).config
    _check_made_alike(config.cache, cache)
    labels = [label for label in config.labels if label in cache.labels]
    if len(labels) < 2:
        raise UserError(
            f"{folder.name} ({', '.join(config.labels)}) and {other.name} ({', '.join(cache.labels) or 'no labels'}) "
            "share fewer than two classes: nothing can be scored."
        )
    trained_on, left_out, chosen = _contents(folder), Counter[str](), []
    contents = {row["clip_id"]: row["content"] for row in Clips(other, ["content"]).rows}
    for clip_id, row in sorted(cache.rows.items()):
        if not row["label"]:
            left_out["without a label"] += 1
        elif row["label"] not in labels:
            left_out[f"{row['label']}, unknown to the runs"] += 1
        elif contents.get(clip_id) in trained_on:
            left_out[f"the same file as a clip of {folder.name}"] += 1
        else:
            chosen.append(clip_id)
    if all(cache.failure(clip_id) for clip_id in chosen):
        raise UserError(f"No clip of {other.name} that has a class of {folder.name} can be scored ({dict(left_out)}).")
    refuse_label_informed([{"clip_id": each, "label_visible": cache.label_visible(each)} for each in chosen])
    usable = Subset(cache, tuple(clip_id for clip_id in chosen if not cache.failure(clip_id)))
    usable.check_finite()
    return _Task(runs, places, cache, labels, chosen, dict(left_out))


def _contents(folder: Path) -> set[str]:
    """Digests of all clips of the runs' data set; a clip of the other set that is one of them is no new one."""
    return {row["content"] for row in Clips(folder, ["content"]).rows} - {"", None}


def _check_made_alike(made: Mapping[str, Any], cache: Cache) -> None:
    """Raise :class:`UserError` when tokens or motion were made with other models or settings than the runs'."""
    found = cache.cache_key()
    for stage in ("tokens", "motion"):
        if differing := list(differences(made.get(stage), found.get(stage))):
            key, here, there = differing[0]
            raise UserError(
                f"{cache.folder / stage} was made otherwise than what the runs were trained on ({stage}.{key}: "
                f"{there!r} and {here!r}): run `grace {stage} --dataset {cache.folder.name}` with the runs' settings."
            )


def differences(here: Any, there: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The dotted keys in which two nested settings differ, with both values.

    Args:
        here: settings, or one value of them.
        there: the others.
        key: where in the settings they stand, a dotted key; empty for the whole.

    Yields:
        Key, value here and value there; None where a key is missing.

    Example:
        >>> list(differences({"model": {"name": "a"}, "size": 1}, {"model": {"name": "b"}, "size": 1}))
        [('model.name', 'a', 'b')]
    """
    if isinstance(here, Mapping) and isinstance(there, Mapping):
        for name in sorted({*here, *there}):
            yield from differences(here.get(name), there.get(name), f"{key}.{name}".lstrip("."))
    elif here != there:
        yield key, here, there


def _remarks(folder: Path, other: Path) -> Iterator[str]:
    """Stages before the tokens that were made otherwise: allowed, since sets differ in footage, and said."""
    for name in UPSTREAM:
        here, there = _made(folder / name, name), _made(other / name, name)
        if here is None or there is None:
            if here != there:
                gone = folder if here is None else other
                yield f"{gone / name} is gone: whether {name} of both sets were made alike is not known."
        elif keys := [key for key, _, _ in differences(here, there)]:
            yield (
                f"{name} of {other.name} were made with other settings than those of {folder.name} "
                f"({', '.join(keys[:4])}{', …' if keys[4:] else ''}): a difference in scores may come from there."
            )


def _limits(task: _Task) -> list[str]:
    """Models that do not know the footage of either set, a sentence each."""
    of_runs = {limit for run in task.runs.values() for limit in run.limits}
    return sorted(of_runs | set(task.cache.tokens.limits()))


def _made(folder: Path, name: str) -> dict[str, Any] | None:
    store = Store(folder, STORES[name])
    shards = store.shards()
    return (store.meta(shards[0]).get("cache_key") or {}) if shards else None


def _predict(task: _Task, fold: int, device: Any) -> list[Row]:
    """A row per clip: what the run of a fold says of it."""
    place, settings = task.places[fold], task.runs[fold].config.settings
    classifier = TokenClassifier.from_pretrained(place, str(device))
    cache = task.cache
    usable = [clip_id for clip_id in task.clip_ids if not cache.failure(clip_id)]
    _check_sizes(classifier, cache, place)
    found = predict(classifier.model, _subset(cache, usable, settings), settings.batch, device)
    shared = renormalised(found, classifier.labels, task.labels)
    probabilities = dict(zip(usable, shared, strict=True))
    rows = []
    for clip_id in task.clip_ids:
        row: Row = {"label": cache.rows[clip_id]["label"], "fold": fold, "label_visible": False}
        if clip_id in probabilities:
            scored = probabilities[clip_id]
            made = {"clip_id": clip_id, "status": "ok", "error": "", "probabilities": scored}
            rows.append({**row, **made, "predicted": task.labels[int(scored.argmax())]})
        else:
            rows.append({**row, **failure(clip_id, cache.failure(clip_id)), "predicted": ""})
    return rows


def _subset(cache: Cache, clip_ids: Sequence[str], settings: TrainSettings) -> Subset:
    """The clips with the texts that ``train.text`` gave the run's own."""
    subset = Subset(cache, tuple(clip_ids))
    if settings.text == "shuffled":
        return subset.shuffled(settings.seed)
    return subset.without_texts() if settings.text == "none" else subset


def _check_sizes(classifier: TokenClassifier, cache: Cache, place: Path) -> None:
    config, sizes = classifier.model.config, cache.sizes
    for name in ("instants", "patches", "width", "text_width"):
        if (needed := getattr(config, name)) != (there := getattr(sizes, name)):
            raise UserError(
                f"The tokens of {cache.folder} have {there} {name}, and {place} needs {needed}: make them with the "
                "settings in the run's config.yaml."
            )


def renormalised(
    probabilities: Float[np.ndarray, "clips classes"], known: Sequence[str], labels: Sequence[str]
) -> Float[np.ndarray, "clips shared"]:
    """The probabilities of some of the classes that a run knows, which sum to 1 again.

    Args:
        probabilities: of all classes, by clip.
        known: the classes of the run, in their order.
        labels: those that are kept, in the order of the result.

    Example:
        >>> renormalised(np.array([[0.5, 0.25, 0.25]]), ["anger", "calm", "fear"], ["anger", "fear"]).round(2)
        array([[0.67, 0.33]], dtype=float32)
    """
    kept = np.asarray(probabilities, dtype=np.float64)[:, [list(known).index(label) for label in labels]]
    whole = kept.sum(1, keepdims=True)
    return np.divide(kept, whole, out=np.full_like(kept, 1 / len(labels)), where=whole > 0).astype(np.float32)


def _own(run: Run, labels: list[str]) -> list[Row]:
    """The run's own test clips of the shared classes, with the probabilities of these."""
    rows = []
    for row in run.predictions:
        if row["label"] not in labels:
            continue
        if row["predicted"]:
            scored = renormalised(np.array([row["probabilities"]]), run.config.labels, labels)[0]
            row = {**row, "probabilities": scored, "predicted": labels[int(scored.argmax())]}
        rows.append(row)
    return rows


def _scores(
    predictions: dict[int, list[Row]], labels: list[str], samples: int, confidence: float, folder: Path
) -> dict[str, Any]:
    """Scores with intervals over people. A clip that several runs scored is drawn with all of its scores."""
    if not all(predictions.values()):
        raise UserError(f"A fold of {folder.name} has no test clip of the classes that both sets have.")
    clip_ids = [row["clip_id"] for rows in predictions.values() for row in rows]
    people = people_of(folder, clip_ids)
    classes = {fold: class_indices(rows, labels) for fold, rows in predictions.items()}
    joined = fold_scores(classes, labels, samples, confidence, people or clip_ids)
    joined["interval"]["over"] = "people" if people else "clips"
    return joined


def _counted(predictions: dict[int, list[Row]]) -> dict[str, int]:
    """Every run scores the same clips: each is counted once."""
    rows = next(iter(predictions.values()))
    return {"clips": len(rows), "missing": sum(not row["predicted"] for row in rows)}


def _write(folder: Path, result: Transfer, predictions: dict[int, list[Row]], task: _Task) -> None:
    """``predictions.parquet`` and ``metrics.json``, with what they were made from."""
    provenance = {
        "trained_on": result.trained_on,
        "tested_on": result.tested_on,
        "method": result.method,
        "protocol": result.protocol,
        "labels": result.labels,
        "runs": {task.places[fold].name: run.config.fingerprint for fold, run in task.runs.items()},
        "inputs": task.cache.inputs(),
    }
    limits = _limits(task)
    rows = [row | {"limits": limits_text(limits)} for each in predictions.values() for row in each]
    write_table(folder / "predictions.parquet", CROSS_DATASET, rows, {**provenance, "limits": limits})
    content = {
        **provenance,
        "left_out": result.left_out,
        "unused": result.unused,
        "remarks": list(result.remarks),
        **result.scores,
        "own": result.own,
    }
    write_sealed_json(folder / "metrics.json", content)


def both_directions(forward: Transfer, dataset_folder: Path, other_folder: Path, **options: Any) -> Transfer | str:
    """The other set's runs on the first one's clips; or in a sentence why they are not shown.

    Args:
        forward: What the first set's runs scored on the other one.
        dataset_folder: ``data/<dataset>`` of the first set.
        other_folder: ``data/<dataset>`` of the other one.
        options: As of :func:`evaluate_on`: ``samples``, ``confidence``, ``device``.
    """
    folds = trained_folds(other_folder, forward.method)
    if not folds:
        return f"{other_folder} has no finished run of {forward.method}, so that the other direction is not shown."
    try:
        return evaluate_on(other_folder, dataset_folder, forward.method, folds, **options)
    except GraceError as error:
        return f"The other direction is not shown. {error}"
