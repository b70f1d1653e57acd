"""What runs predicted: the folds of a method together, as columns beside the catalogue; scores, curves, comparisons."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from grace.pipeline.errors import UserError
from grace.pipeline.store.formats import check_version
from grace.pipeline.store.schemas import PREDICTIONS
from grace.review.catalogue import Catalogue, numbers
from grace.review.charts import risk_coverage
from grace.trainer.runs import RunConfig, check_file, read_config, read_history

SAMPLES = 200
"""Bootstrap draws of an interval that is shown."""
CONFIDENCE = 0.95


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
    """The fold that tests the clip; 0 where none does."""

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
        """UAR and WAR with bootstrap intervals, recall with Wilson's (1927), and the confusion matrix, over all test
        clips. Wilson's, since a bootstrap of two clips that are both right has no width."""
        from grace.trainer.metrics import confusion, scores
        from grace.trainer.significance import intervals

        label, predicted = self._tested_classes()
        if not len(label):
            return {}
        bounds = intervals(label, predicted, list(self.labels), SAMPLES, CONFIDENCE)
        bounds |= {name: _wilson(label == code, predicted == code) for code, name in enumerate(self.labels)}
        counts = confusion(label, predicted, len(self.labels))
        return {**scores(label, predicted, self.labels), "interval": bounds, "confusion": counts.tolist()}

    @cached_property
    def risk_coverage(self) -> list[tuple[float, float]]:
        """Of the test clips, the share kept, the most confident first, and the share of these that are wrong."""
        scored = np.flatnonzero(self.scored & self.tested)
        return risk_coverage(self.confidence[scored], self.right[scored], int(self.tested.sum()))

    def _tested_classes(self) -> tuple[np.ndarray, np.ndarray]:
        tested = self.tested & (self.label >= 0)
        return self.label[tested].astype(np.int64), self.predicted[tested].astype(np.int64)


def _wilson(true: np.ndarray, predicted: np.ndarray) -> list[float | None]:
    """Interval of the recall of a class (Wilson 1927); None twice where it has no clips.

    Example:
        >>> [round(bound, 3) for bound in _wilson(np.ones(4, bool), np.ones(4, bool))]
        [0.51, 1.0]
    """
    count = int(true.sum())
    if not count:
        return [None, None]
    share, z = float((true & predicted).sum()) / count, NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    reach = z / (1 + z**2 / count) * (share * (1 - share) / count + z**2 / (4 * count**2)) ** 0.5
    return [max(0.0, middle - reach), min(1.0, middle + reach)]


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
    for method in sorted((folder / "runs").glob("*")) if (folder / "runs").is_dir() else ():
        if folds := _folds(method):
            runs.setdefault(method.name, RunFolds("", folds))
    return {name: RunFolds(name, run.folders) for name, run in runs.items()}


def _is_run(folder: Path) -> bool:
    return (folder / "config.yaml").is_file() and (folder / "predictions.parquet").is_file()


def _folds(folder: Path) -> dict[int, Path]:
    """Finished runs by fold: the folder itself, or those in it."""
    folders = [folder] if _is_run(folder) else [each for each in sorted(folder.glob("fold-*")) if _is_run(each)]
    return {_config(each, (each / "config.yaml").stat().st_mtime_ns).fold: each for each in folders}


@lru_cache(maxsize=256)
def _config(folder: Path, _changed: int) -> RunConfig:
    """A run's configuration, read once: its checked YAML takes a fifth of a second."""
    return read_config(folder)


def read_predictions(catalogue: Catalogue, run: RunFolds) -> Predictions:
    """The predictions of all folds of a run, beside the clips of the catalogue.

    Raises:
        UserError: A fold is damaged.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    labels = tuple(run.config().labels)
    clips, known = len(catalogue), pa.array(labels, pa.string())
    predicted, fold_of = np.full(clips, -1, np.int16), np.zeros(clips, np.int16)
    probabilities = np.zeros((clips, len(labels)), np.float32)
    for fold, folder in run.folders.items():
        table = _table(folder)
        at = pc.index_in(table["clip_id"], value_set=catalogue.table["clip_id"])
        fold_of[numbers(pc.drop_null(at))] = fold
        whole = pc.equal(pc.list_value_length(table["probabilities"]), pa.scalar(len(labels), pa.int32()))
        usable = pc.and_(pc.and_(pc.is_valid(at), whole), pc.is_in(table["predicted"], value_set=known))
        table, at = table.filter(usable), numbers(at.filter(usable))
        predicted[at] = numbers(pc.index_in(table["predicted"], value_set=known))
        probabilities[at] = numbers(pc.list_flatten(table["probabilities"])).reshape(-1, len(labels))
    translate = np.array([(labels.index(name) if name in labels else -1) for name in catalogue.labels] + [-1], np.int16)
    return Predictions(run, labels, translate[catalogue.label.codes], predicted, probabilities, fold_of)


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
