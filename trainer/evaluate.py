"""Joins the folds of a method into scores and plots."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from grace.pipeline.store import Clips, Row, UserError, write_atomic
from grace.pipeline.store.checksum import PLACEHOLDER, seal
from grace.trainer.calibration import Bin, expected_calibration_error, reliability
from grace.trainer.metrics import ambiguous_pairs, confusion, scores
from grace.trainer.plots import write_plots
from grace.trainer.provenance import check_runs, people_of
from grace.trainer.runs import Run, class_indices, fold_folder, open_run, seed_folders
from grace.trainer.settings import PREFIX
from grace.trainer.significance import intervals

SCORES = "scores.json"
"""Every score of ``grace evaluate``, for people and programs that want more than the headline."""


def evaluate(
    dataset_folder: str | Path,
    method: str,
    folds: Sequence[int],
    samples: int = 1000,
    confidence: float = 0.95,
    runs: Path | None = None,
    seeds: int = 1,
) -> dict[str, Any]:
    """Scores of all folds of a method together; writes ``metrics.json``, ``scores.json`` and ``plots/``.

    ``scores.json`` holds everything; ``metrics.json`` the few numbers of :func:`headline`, which ``dvc metrics`` shows.

    UAR and WAR are means over the folds, as the field reports them; intervals, recall, pairs and confusion are of all
    test clips together; intervals are over people where the table of clips names some (a clip that names nobody is a
    person of its own), else over clips. Clips that could not be scored count as wrong.

    Args:
        dataset_folder: ``data/<dataset>``.
        method: as in ``train.method``.
        folds: the folds to join, all trained.
        samples: bootstrap draws of the intervals.
        confidence: of the intervals.
        runs: the folder of runs; ``<dataset_folder>/runs`` if not given.
        seeds: runs of each fold (``train.seeds``).

    Returns:
        The content of ``scores.json``: ``method``, ``protocol``, ``runs`` (the fingerprint of each), ``limits`` (models
        that do not know the footage, a sentence each), and by the protocol's prefix all of
        :func:`~grace.trainer.metrics.scores` with ``interval``, ``folds``, ``ECE``, ``confusion`` (counts,
        true class by row) and ``calibration`` (bins); of a data set that names scenes also ``scenes``, with UAR, WAR
        and clips of each; of several seeds also ``seeds``: UAR and WAR of each, their mean and their standard
        deviation. All else is of the first seed.

    Raises:
        UserError: a fold or seed is not trained, is not what its folder says, or no longer fits the data set; or they
            were trained with different settings.
        GraceError: the label was visible to the text of a test clip.

    Example:
        >>> result = evaluate("data/demo", "grace", folds=[1], samples=100)
        >>> result["protocol"], result["clips"], sorted(result["folds"])
        ('held-out', 18, ['1'])
        >>> low, high = result["interval"]["UAR"]
    """
    joined = join_folds(dataset_folder, method, folds, samples, confidence, runs, seeds)
    folder, result = Path(dataset_folder), joined.result
    write_sealed_json(folder / SCORES, result)
    write_atomic(folder / "metrics.json", (json.dumps(headline(result), indent=2) + "\n").encode())
    write_plots(folder / "plots", joined.scores, joined.histories, f"{method}, protocol {result['protocol']}")
    return result


@dataclass(frozen=True)
class Joined:
    """The folds of a method together."""

    result: dict[str, Any]
    """What :func:`evaluate` returns."""
    scores: dict[str, Any]
    """The scores in it by their names, whatever protocol they follow."""
    runs: dict[int, Run]
    """Of each fold, its run; the first seed's."""

    @property
    def histories(self) -> dict[int, list[dict[str, float]]]:
        """Of each fold, the numbers of its epochs."""
        return {fold: run.history for fold, run in self.runs.items()}

    @property
    def rows(self) -> list[Row]:
        """The predictions of all folds."""
        return [row for run in self.runs.values() for row in run.predictions]


def join_folds(
    dataset_folder: str | Path,
    method: str,
    folds: Sequence[int],
    samples: int = 1000,
    confidence: float = 0.95,
    runs: Path | None = None,
    seeds: int = 1,
) -> Joined:
    """The scores of :func:`evaluate`, which takes and raises the same, without writing anything.

    Args:
        dataset_folder: ``data/<dataset>``.
        method: as in ``train.method``.
        folds: the folds to join, all trained; one at least.
        samples: bootstrap draws of the intervals.
        confidence: of the intervals, between 0 and 1.
        runs: the folder of runs; ``<dataset_folder>/runs`` if not given.
        seeds: runs of each fold (``train.seeds``).

    Returns:
        The content of ``scores.json``, the scores by their plain names, and of each fold the first seed's run and the
        history of its epochs.

    Raises:
        UserError: no fold is named, or one of the reasons of :func:`evaluate`.
        GraceError: the label was visible to the text of a test clip.

    Example:
        >>> joined = join_folds("data/demo", "grace", folds=[1], samples=100)
        >>> joined.scores["clips"], len(joined.rows), sorted(joined.histories)
        (18, 18, [1])
    """
    folder = Path(dataset_folder)
    if not folds:
        raise UserError("No fold was named: set folds in params.yaml, such as [1, 2].")
    where = Path(runs or folder / "runs") / method
    places = {fold: fold_folder(where.parent, method, fold) for fold in folds}
    found = {fold: open_run(place) for fold, place in places.items()}
    further = {place: open_run(place) for each in places.values() for place in seed_folders(each, seeds)[1:]}
    everything = {places[fold]: run for fold, run in found.items()} | further
    check_runs(everything, folder)
    labels, protocol = found[folds[0]].config.labels, found[folds[0]].config.protocol
    predictions = {fold: run.predictions for fold, run in found.items()}
    rows = [row for of_fold in predictions.values() for row in of_fold]
    bins = _reliability(rows)
    people = people_of(folder, [row["clip_id"] for row in rows])
    classes = {fold: class_indices(of_fold, labels) for fold, of_fold in predictions.items()}
    counts = confusion(*class_indices(rows, labels), len(labels))
    metrics = {
        **fold_scores(classes, labels, samples, confidence, people),
        "ECE": expected_calibration_error(bins),
        "confusion": counts.tolist(),
        "calibration": [asdict(each) for each in bins],
    }
    if seeds > 1:
        metrics["seeds"] = _over_seeds(everything)
    prefix = PREFIX[protocol]
    without = [run.metrics.get(f"{prefix}without_text") for run in found.values()]
    if known := [scored for scored in without if scored]:  # of methods that can do without
        metrics["without_text"] = {name: round(float(np.mean([one[name] for one in known])), 6) for name in known[0]}
    if scenes := _by_scene(rows, folder, labels):
        metrics["scenes"] = scenes
    result = {
        "method": method,
        "protocol": protocol,
        "runs": {str(place.relative_to(where)): run.config.fingerprint for place, run in everything.items()},
        "limits": sorted({limit for run in everything.values() for limit in run.limits}),
        **{f"{prefix}{name}": value for name, value in metrics.items()},
    }
    return Joined(result, metrics, found)


def headline(result: dict[str, Any]) -> dict[str, float | None]:
    """UAR, WAR, ECE and the recall of each class, under the protocol's prefix: few enough for one line of a table.

    Args:
        result: The scores that :func:`evaluate` returns.

    Returns:
        Shares in [0, 1] by name; recall by the name of its class.

    Example:
        >>> headline({"protocol": "held-out", "UAR": 0.51234, "WAR": 0.6, "ECE": 0.1, "recall": {"anger": 0.5}})
        {'UAR': 0.5123, 'WAR': 0.6, 'ECE': 0.1, 'anger': 0.5}
    """
    prefix = PREFIX[result["protocol"]]
    shown = {name: result[f"{prefix}{name}"] for name in ("UAR", "WAR", "ECE")} | result[f"{prefix}recall"]
    return {f"{prefix}{name}": None if value is None else round(value, 4) for name, value in shown.items()}


def write_sealed_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON with the checksum of its content as its last key, ``checksum``."""
    write_atomic(path, seal((json.dumps({**content, "checksum": PLACEHOLDER}, indent=2) + "\n").encode()))


def _by_scene(rows: Sequence[Row], folder: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    """UAR, WAR and clips of each scene, over all folds; nothing where the data set names no scene."""
    scene_of = {row["clip_id"]: row["scene"] for row in Clips(folder, ["scene"]).rows}
    found: dict[str, list[Row]] = {}
    for row in rows:
        if scene := scene_of.get(row["clip_id"]):
            found.setdefault(scene, []).append(row)
    scored = {scene: scores(*class_indices(of_scene, names), names, ()) for scene, of_scene in sorted(found.items())}
    return {scene: {name: one[name] for name in ("UAR", "WAR", "clips")} for scene, one in scored.items()}


def _over_seeds(runs: dict[Path, Run]) -> dict[str, dict[str, Any]]:
    """UAR and WAR, means over the folds, of each seed; their mean and standard deviation over seeds."""
    by_seed: dict[int, list[Run]] = {}
    for run in runs.values():
        by_seed.setdefault(run.config.settings.seed, []).append(run)
    each: dict[str, list[float]] = {"UAR": [], "WAR": []}
    for _, of_seed in sorted(by_seed.items()):
        scored = [scores(*class_indices(run.predictions, run.config.labels), run.config.labels) for run in of_seed]
        for name, values in each.items():
            values.append(round(float(np.mean([one[name] for one in scored])), 6))
    return {
        name: {"mean": float(np.mean(values)), "deviation": float(np.std(values, ddof=1)), "each": values}
        for name, values in each.items()
    }


def fold_scores(
    folds: Mapping[int, tuple[np.ndarray, np.ndarray]],
    names: list[str],
    samples: int,
    confidence: float,
    people: Sequence[str] | None,
) -> dict[str, Any]:
    """The scores of each fold, means of UAR and WAR over them, all else of their clips together, with intervals.

    Args:
        folds: Of each fold, the true and the predicted class of its test clips, as :func:`class_indices` gives them.
        names: The classes.
        samples: Draws of the bootstrap.
        confidence: Of the intervals.
        people: Who is seen in each clip, in the order of the folds; None where that is not known of each.
    """
    labels, predicted = (np.concatenate(parts) for parts in zip(*folds.values(), strict=True))
    pairs = ambiguous_pairs(labels, predicted, names)  # of all folds: one fold alone may confuse others
    each = {fold: scores(*classes, names, pairs) for fold, classes in folds.items()}
    together = scores(labels, predicted, names, pairs)
    bounds = intervals(labels, predicted, names, samples, confidence, people, pairs)
    interval = {
        "confidence": confidence,
        "over": "clips" if people is None else "people",
        **{name: bounds[name] for name in ("UAR", "WAR", "tail")},
        "pairs": {pair: bounds[pair] for pair in together["pairs"]},
        "recall": {name: bounds[name] for name in names},
    }
    means = {name: round(float(np.mean([scored[name] for scored in each.values()])), 6) for name in ("UAR", "WAR")}
    return {**together, **means, "interval": interval, "folds": {str(fold): scored for fold, scored in each.items()}}


def _reliability(rows: Sequence[Row]) -> list[Bin]:
    """Bins of the clips that could be scored."""
    scored = [row for row in rows if row["predicted"]]
    confidence = np.array([max(row["probabilities"]) for row in scored], dtype=np.float64)
    return reliability(confidence, np.array([row["predicted"] == row["label"] for row in scored], dtype=bool))
