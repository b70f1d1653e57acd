"""Which clips decide what. The parts are made here; whoever trains is handed parts, never the table.

``held-out``: the epoch is chosen on a part of the training fold, the test fold is read once, at the end.
``best-test``: the field's habit of reporting the best test epoch; its numbers are labelled so wherever they appear.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grace.pipeline.store import UserError
from grace.pipeline.store.schemas import FOLD_COLUMNS
from grace.trainer.data import Cache, Subset
from grace.trainer.settings import TrainSettings

PREFIX = {"held-out": "", "best-test": "best_test_"}
"""Put before every score of a protocol in tables and files."""


@dataclass(frozen=True)
class TrainSelection:
    """All that the training loop may see: what it learns from, and what chooses the epoch."""

    train: Subset
    selection: Subset


@dataclass(frozen=True)
class Fold:
    """One fold's clips. ``missing`` are test clips that failed upstream: never scored, counted as wrong."""

    choice: TrainSelection
    test: Subset
    missing: tuple[str, ...]


def split(cache: Cache, fold: int, settings: TrainSettings) -> Fold:
    """The parts of fold ``fold`` under the protocol of ``settings``.

    Raises :class:`UserError` when the fold is not in the table, a label is unknown, or a class has no training clip.
    """
    train, test = _members(cache, fold, "train"), _members(cache, fold, "test")
    _check_labels(cache, [*train, *test])
    usable = [clip_id for clip_id in train if not cache.failure(clip_id)]
    scored = [clip_id for clip_id in test if not cache.failure(clip_id)]
    missing = tuple(clip_id for clip_id in test if cache.failure(clip_id))
    if not scored:
        raise UserError(
            f"Fold {fold} of {cache.folder} has no test clip with tokens (first cause: {cache.failure(test[0])})."
        )
    _check_classes(cache, usable, f"the training part of fold {fold}")
    _warn_of_absent(cache, test, fold)
    test_part = Subset(cache, tuple(scored))
    if settings.protocol == "best-test":
        return Fold(TrainSelection(Subset(cache, tuple(usable)), test_part), test_part, missing)
    learned, chosen = _validation(cache, usable, settings)
    return Fold(TrainSelection(Subset(cache, learned), Subset(cache, chosen)), test_part, missing)


def _members(cache: Cache, fold: int, role: str) -> list[str]:
    if f"fold_{fold}" not in FOLD_COLUMNS:
        raise UserError(f"There is no fold {fold}: choose one of 1 to {len(FOLD_COLUMNS)}.")
    members = [clip_id for clip_id, row in sorted(cache.rows.items()) if row[f"fold_{fold}"] == role]
    if not members:
        known = [name[5:] for name in FOLD_COLUMNS if any(row[name] for row in cache.rows.values())]
        raise UserError(
            f"Fold {fold} has no {role} clips in {cache.folder / 'clips.parquet'}; "
            f"it holds folds {', '.join(known) or 'none'}."
        )
    return members


def _check_labels(cache: Cache, clip_ids: Sequence[str]) -> None:
    for clip_id in clip_ids:
        label = cache.rows[clip_id]["label"]
        if label not in cache.labels:
            raise UserError(
                f"Clip {clip_id} has the label '{label}', which is not among {', '.join(cache.labels)}: "
                f"correct the annotation or take the clip out of the folds."
            )


def _check_classes(cache: Cache, clip_ids: Sequence[str], where: str) -> None:
    present = {cache.rows[clip_id]["label"] for clip_id in clip_ids}
    if absent := [label for label in cache.labels if label not in present]:
        raise UserError(f"No clip of {', '.join(absent)} is in {where}: a class cannot be learned from nothing.")


def _warn_of_absent(cache: Cache, clip_ids: Sequence[str], fold: int) -> None:
    present = {cache.rows[clip_id]["label"] for clip_id in clip_ids}
    if absent := [label for label in cache.labels if label not in present]:
        warnings.warn(
            f"The test part of fold {fold} holds no clip of {', '.join(absent)}: its UAR is the mean over the other "
            f"{len(present)} classes and not comparable with other folds.",
            stacklevel=3,
        )


def _validation(
    cache: Cache, clip_ids: Sequence[str], settings: TrainSettings
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Training and validation clips, stratified by class; where every clip names its subject, they share none.

    Of the possible cuts the one whose class shares are nearest to the whole and which leaves every class to learn from.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if not 0 < settings.validation < 1:
        raise UserError(
            f"train.validation is {settings.validation}: held-out wants a share between 0 and 1, such as 0.15."
        )
    ids = np.array(clip_ids)
    labels = np.array([cache.labels.index(cache.rows[clip_id]["label"]) for clip_id in clip_ids])
    subjects = np.array([cache.rows[clip_id]["subject"] or "" for clip_id in clip_ids])
    groups = subjects if (subjects != "").all() and len(set(subjects)) > 1 else ids
    count = min(max(2, round(1 / settings.validation)), len(set(groups)), int(np.bincount(labels).max()))
    if count < 2:
        raise UserError(
            f"{len(ids)} training clips are too few to hold some out for validation: use protocol best-test."
        )
    with warnings.catch_warnings():  # about classes rarer than the number of cuts, which is dealt with below
        warnings.simplefilter("ignore", UserWarning)
        cuts = list(StratifiedGroupKFold(count, shuffle=True, random_state=settings.seed).split(ids, labels, groups))
    whole = _shares(labels, len(cache.labels))
    best: tuple[float, np.ndarray, np.ndarray] | None = None
    for learned, chosen in cuts:
        if len(chosen) == 0 or len(set(labels[learned])) < len(set(labels)):
            continue
        distance = float(np.abs(_shares(labels[chosen], len(whole)) - whole).sum())
        if best is None or distance < best[0]:
            best = (distance, learned, chosen)
    if best is None:
        raise UserError(
            "The training fold cannot be cut into a training and a validation part that both serve: some class has one "
            "clip or one subject only. Add clips or use protocol best-test."
        )
    return tuple(ids[best[1]].tolist()), tuple(ids[best[2]].tolist())


def _shares(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.bincount(labels, minlength=classes) / max(1, len(labels))
