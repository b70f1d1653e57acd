"""What runs predicted: the folds of a method together, as columns beside the catalogue; scores, curves, comparisons."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from grace.pipeline.errors import UserError
from grace.pipeline.store import find_paths
from grace.pipeline.store.formats import check_version
from grace.pipeline.store.schemas import PREDICTIONS
from grace.review.catalogue import Catalogue, numbers
from grace.review.charts import risk_coverage
from grace.trainer.provenance import person_of
from grace.trainer.runs import RunConfig, check_file, read_config, read_history
from grace.trainer.settings import EvaluateSettings


@dataclass(frozen=True)
class RunFolds:
    """The finished folds of one method: a name to choose it by, and its folders by fold."""

    name: str
    folders: dict[int, Path]

    def config(self) -> RunConfig:
        """The configuration of the first fold."""
        return read_config(next(iter(self.folders.values())))


@dataclass(frozen=True)
class Predictions:
    """What a run predicted, aligned with the catalogue's clips."""

    run: RunFolds
    labels: tuple[str, ...]
    label: np.ndarray
    """The clip's label as an index into ``labels``; -1 where it is none of them."""
    predicted: np.ndarray
    """Class by clip as an index into ``labels``; -1 where none was predicted."""
    probabilities: np.ndarray
    """[clips, classes], 0 where none was predicted."""
    fold: np.ndarray
    """The fold that tests the clip, the last one where several do; 0 where none does."""
    catalogue: Catalogue
    """The clips: their ids, and who is seen in them."""
    repeated: int
    """Clips that several folds test."""
    scoring: EvaluateSettings
    """How intervals are made."""

    @cached_property
    def tested(self) -> np.ndarray:
        """Whether the clip is in the test part of one of the folds."""
        return self.fold > 0

    @cached_property
    def scored(self) -> np.ndarray:
        """Whether a class was predicted for it."""
        return self.predicted >= 0

    @cached_property
    def right(self) -> np.ndarray:
        """Whether the predicted class is the label."""
        return self.scored & (self.predicted == self.label)

    @cached_property
    def confidence(self) -> np.ndarray:
        """Probability of the predicted class."""
        return self.probabilities.max(1) if len(self.labels) else np.zeros(len(self.fold), np.float32)

    @cached_property
    def scores(self) -> dict[str, Any]:
        """The scores of ``grace evaluate`` with its intervals, and the confusion matrix; empty without test clips."""
        from grace.trainer.evaluate import fold_scores
        from grace.trainer.metrics import confusion

        clips = {fold: np.flatnonzero((self.fold == fold) & (self.label >= 0)) for fold in self.run.folders}
        classes = {fold: (self._label[at], self._predicted[at]) for fold, at in clips.items() if len(at)}
        if not classes:
            return {}
        tested = np.concatenate(list(clips.values()))
        clips_of, subject = self.catalogue, self.catalogue.subject
        named = bool((subject.codes[tested] >= 0).any())
        people = [person_of(clips_of.clip_id(int(clip)), subject[clip]) for clip in tested] if named else None
        scoring = self.scoring
        made = fold_scores(classes, list(self.labels), scoring.bootstrap, scoring.confidence, people)
        counts = confusion(self._label[tested], self._predicted[tested], len(self.labels))
        return {**made, "confusion": counts.tolist()}

    @cached_property
    def risk_coverage(self) -> list[tuple[float, float]]:
        """Of the test clips, the share kept, the most confident first, and the share of these that are wrong."""
        scored = np.flatnonzero(self.scored & self.tested)
        return risk_coverage(self.confidence[scored], self.right[scored], int(self.tested.sum()))

    @property
    def _label(self) -> np.ndarray:
        return self.label.astype(np.int64)

    @property
    def _predicted(self) -> np.ndarray:
        return self.predicted.astype(np.int64)


def find_runs(folder: Path, named: Path | None = None) -> dict[str, RunFolds]:
    """The methods with finished folds under ``data/<dataset>/runs``, and the run that ``--run`` names, first.

    Args:
        folder: ``data/<dataset>``.
        named: A run's folder (``…/fold-1``), or the folder of a method.

    Raises:
        UserError: ``named`` holds no finished run.
    """
    runs: dict[str, RunFolds] = {}
    if named is not None:
        folds = _folds(named)
        if not folds:
            raise UserError(f"{named} holds no finished run: name the folder of one, such as runs/grace/fold-1.")
        runs["/".join(named.resolve().parts[-2:]) if _is_run(named) else named.resolve().name] = RunFolds("", folds)
    for method in find_paths(folder / "runs", "*"):
        if folds := _folds(method):
            runs.setdefault(method.name, RunFolds("", folds))
    return {name: RunFolds(name, run.folders) for name, run in runs.items()}


def _is_run(folder: Path) -> bool:
    return (folder / "config.yaml").is_file() and (folder / "predictions.parquet").is_file()


def _folds(folder: Path) -> dict[int, Path]:
    """Finished runs by fold, in the order of its number: the folder itself, or those in it."""
    folders = [folder] if _is_run(folder) else [each for each in find_paths(folder, "fold-*") if _is_run(each)]
    return dict(sorted((_config(each, (each / "config.yaml").stat().st_mtime_ns).fold, each) for each in folders))


@lru_cache(maxsize=256)
def _config(folder: Path, _changed: int) -> RunConfig:
    """A run's configuration, read once: its checked YAML takes a fifth of a second."""
    return read_config(folder)


def read_predictions(catalogue: Catalogue, run: RunFolds, scoring: EvaluateSettings) -> Predictions:
    """The predictions of all folds of a run, beside the clips of the catalogue.

    A clip that several folds test counts once, as the last of them predicts it.

    Raises:
        UserError: A fold is damaged.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    labels = tuple(run.config().labels)
    clips, known = len(catalogue), pa.array(labels, pa.string())
    predicted, fold_of = np.full(clips, -1, np.int16), np.zeros(clips, np.int16)
    probabilities = np.zeros((clips, len(labels)), np.float32)
    times = np.zeros(clips, np.int16)
    for fold, folder in run.folders.items():
        table = _table(folder)
        at = pc.index_in(table["clip_id"], value_set=catalogue.table["clip_id"])
        there = numbers(pc.drop_null(at))
        fold_of[there], predicted[there], probabilities[there] = fold, -1, 0
        times[there] += 1
        whole = pc.equal(pc.list_value_length(table["probabilities"]), pa.scalar(len(labels), pa.int32()))
        usable = pc.and_(pc.and_(pc.is_valid(at), whole), pc.is_in(table["predicted"], value_set=known))
        table, at = table.filter(usable), numbers(at.filter(usable))
        predicted[at] = numbers(pc.index_in(table["predicted"], value_set=known))
        probabilities[at] = numbers(pc.list_flatten(table["probabilities"])).reshape(-1, len(labels))
    translate = np.array([(labels.index(name) if name in labels else -1) for name in catalogue.labels] + [-1], np.int16)
    return Predictions(
        run=run,
        labels=labels,
        label=translate[catalogue.label.codes],
        predicted=predicted,
        probabilities=probabilities,
        fold=fold_of,
        catalogue=catalogue,
        repeated=int((times > 1).sum()),
        scoring=scoring,
    )


def _table(folder: Path) -> Any:
    """Columns of a run's predictions, checked; rows as Python objects would take a hundred times their memory."""
    import pyarrow.parquet as pq

    path = check_file(folder, read_config(folder), "predictions.parquet")
    check_version(PREDICTIONS, path)
    with pq.ParquetFile(path) as file:  # read_table imports pandas
        return file.read(columns=["clip_id", "predicted", "probabilities"])


def stamp(run: RunFolds) -> tuple[int, ...]:
    """When the predictions of a run were written."""
    return tuple((folder / "config.yaml").stat().st_mtime_ns for folder in run.folders.values())


def curves(run: RunFolds) -> dict[int, list[dict[str, float]]]:
    """``history.csv`` of each fold: a row of numbers per epoch."""
    return {
        fold: read_history(check_file(folder, read_config(folder), "history.csv"))
        for fold, folder in run.folders.items()
    }


def compare(first: Predictions, second: Predictions) -> dict[str, Any]:
    """Two runs on the clips that both were tested on: how many each gets right, by label, and McNemar's exact test."""
    from grace.trainer.significance import mcnemar

    both = first.tested & second.tested
    cells = {
        "both-right": both & first.right & second.right,
        "only-first": both & first.right & ~second.right,
        "only-second": both & ~first.right & second.right,
        "both-wrong": both & ~first.right & ~second.right,
    }
    by_label = [
        {"label": label, **{name: int((cell & (first.label == code)).sum()) for name, cell in cells.items()}}
        for code, label in enumerate(first.labels)
    ]
    right = (first.right[both].astype(float), second.right[both].astype(float))
    return {
        "clips": int(both.sum()),
        **{name: int(cell.sum()) for name, cell in cells.items()},
        "labels": by_label,
        "p": mcnemar(*right)["p"] if both.any() else None,
    }
