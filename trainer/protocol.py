"""Which clips train, select and test. The subsets are made here; the training loop is given subsets, never the table.

``held-out``: the epoch is chosen on the fold's validation clips, or where it has none on clips held out of its training
part; the test part is read once, at the end. Clips without a label take no part.
``best-test``: the field's habit of reporting the best test epoch; its numbers are labelled so wherever they appear.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grace.pipeline.messages import number_ranges
from grace.pipeline.store import UserError
from grace.pipeline.store.schemas import fold_column
from grace.trainer.data import Cache, Subset
from grace.trainer.provenance import person_of
from grace.trainer.settings import TrainSettings


@dataclass(frozen=True)
class TrainSelection:
    """All clips that the training loop may see: ``train`` to learn from, ``validation`` to choose the epoch.

    Under ``best-test`` the test clips choose the epoch.
    """

    train: Subset
    validation: Subset


@dataclass(frozen=True)
class Fold:
    """One fold's clips. ``missing`` are test clips that failed upstream: never scored, counted as wrong."""

    selection: TrainSelection
    test: Subset
    missing: tuple[str, ...]


def split(cache: Cache, fold: int, settings: TrainSettings) -> Fold:
    """The clips of a fold, by what the protocol lets them decide.

    Args:
        cache: all clips.
        fold: its number, from 1.
        settings: ``protocol``; for held-out the share for ``validation`` and the ``seed``.

    Returns:
        Clips to train on, to choose the epoch, and to test; and the test clips that failed upstream. Under held-out the
        validation clips are the fold's own, if it has some. Otherwise they are stratified by class and share no subject
        with the training clips (a clip that names none is a person of its own), unless these are all of one person,
        of which a warning tells.

    Raises:
        UserError: the fold is not in the table, a label is unknown, or a class has no training clip.

    Example:
        >>> fold = split(Cache("data/demo"), fold=1, settings=TrainSettings())
        >>> len(fold.selection.train), len(fold.selection.validation), len(fold.test)
        (34, 8, 18)
    """
    train, validation, test = (_members(cache, fold, part) for part in ("train", "val", "test"))
    _check_parts(cache, fold, train, test)
    _check_labels(cache, [*train, *validation, *test])
    usable = [clip_id for clip_id in train if not cache.failure(clip_id)]
    scored = [clip_id for clip_id in test if not cache.failure(clip_id)]
    missing = tuple(clip_id for clip_id in test if cache.failure(clip_id))
    if not scored:
        raise UserError(
            f"Fold {fold} of {cache.folder} has no test clip with tokens (first cause: {cache.failure(test[0])})."
        )
    _check_classes(cache, usable, f"the training clips of fold {fold}")
    _warn_of_absent(cache, test, fold)
    test_subset = Subset(cache, tuple(scored))
    chosen_on = tuple(clip_id for clip_id in validation if not cache.failure(clip_id))
    if settings.protocol == "best-test":
        selection = TrainSelection(Subset(cache, _drawn(cache, usable, settings)), test_subset)
        return _texts(Fold(selection, test_subset, missing), settings)
    learned, held_out = (tuple(usable), chosen_on) if chosen_on else _validation(cache, usable, settings)
    selection = TrainSelection(Subset(cache, _drawn(cache, learned, settings)), Subset(cache, held_out))
    return _texts(Fold(selection, test_subset, missing), settings)


def _texts(fold: Fold, settings: TrainSettings) -> Fold:
    """The fold with the texts that ``train.text`` gives its clips: texts are shuffled within each of its parts."""

    def changed(part: Subset) -> Subset:
        if settings.text == "shuffled":
            return part.shuffled(settings.seed)
        return part.without_texts() if settings.text == "none" else part

    selection = TrainSelection(changed(fold.selection.train), changed(fold.selection.validation))
    return Fold(selection, changed(fold.test), fold.missing)


def _drawn(cache: Cache, clip_ids: Sequence[str], settings: TrainSettings) -> tuple[str, ...]:
    """``train.train_size`` of each class's clips, one at least; a smaller share is a part of a larger one."""
    if settings.train_size == 1:
        return tuple(clip_ids)
    by_label: dict[str, list[str]] = {}
    for index in np.random.default_rng(settings.seed).permutation(len(clip_ids)):
        by_label.setdefault(cache.rows[clip_ids[index]]["label"], []).append(clip_ids[index])
    kept = {one for each in by_label.values() for one in each[: max(1, math.ceil(settings.train_size * len(each)))]}
    return tuple(one for one in clip_ids if one in kept)


def _members(cache: Cache, fold: int, part: str) -> list[str]:
    """The labelled clips of a part of a fold, in order."""
    column = fold_column(fold)
    return [clip_id for clip_id, row in sorted(cache.rows.items()) if row.get(column) == part and row["label"]]


def _check_parts(cache: Cache, fold: int, train: Sequence[str], test: Sequence[str]) -> None:
    table, name = cache.folder / "clips.parquet", cache.folder.name
    if not cache.labels:
        raise UserError(
            f"No clip of {table} has a label, and training needs them: put a column 'label' into clips.csv and run "
            f"`grace index --dataset {name}` again."
        )
    if not cache.folds:
        raise UserError(
            f"{table} has no folds, and training needs one: put a column 'split' or 'fold' into clips.csv or set "
            f"index.split.{name} in params.yaml (such as {{by: subject, folds: 5}}), and run "
            f"`grace index --dataset {name}` again."
        )
    if fold not in cache.folds:
        raise UserError(f"There is no fold {fold} in {table}: it has {number_ranges(cache.folds)}.")
    for part, members in (("train", train), ("test", test)):
        if not members:
            raise UserError(f"Fold {fold} of {table} has no labelled clip in its {part} part.")


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
    """Training and validation clips, stratified by class; they share no subject.

    Of all cuts that leave every class to learn from, the one whose class shares are nearest to those of all clips.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    ids = np.array(clip_ids)
    labels = np.array([cache.labels.index(cache.rows[clip_id]["label"]) for clip_id in clip_ids])
    groups = np.array([person_of(clip_id, cache.rows[clip_id]["subject"]) for clip_id in clip_ids])
    if len(set(groups)) == 1:
        warnings.warn(
            f"All clips of {cache.folder} to train on show one person ({groups[0]}): validation clips are of the same "
            "person, so that the epoch is chosen on somebody whom the run knows.",
            stacklevel=3,
        )
        groups = ids
    count = min(max(2, round(1 / settings.validation)), len(set(groups)), int(np.bincount(labels).max()))
    if count < 2:
        raise UserError(
            f"{len(ids)} training clips are too few to hold some out for validation: use protocol best-test."
        )
    with warnings.catch_warnings():  # of classes rarer than the number of cuts, which are handled below
        warnings.simplefilter("ignore", UserWarning)
        cuts = list(StratifiedGroupKFold(count, shuffle=True, random_state=settings.seed).split(ids, labels, groups))
    whole = _shares(labels, len(cache.labels))
    best: tuple[float, np.ndarray, np.ndarray] | None = None
    for learned, held_out in cuts:
        if len(held_out) == 0 or len(set(labels[learned])) < len(set(labels)):
            continue
        distance = float(np.abs(_shares(labels[held_out], len(whole)) - whole).sum())
        if best is None or distance < best[0]:
            best = (distance, learned, held_out)
    if best is None:
        raise UserError(
            "The training fold cannot be cut into training and validation clips that both serve: some class has one "
            "clip or one subject only. Add clips or use protocol best-test."
        )
    return tuple(ids[best[1]].tolist()), tuple(ids[best[2]].tolist())


def _shares(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.bincount(labels, minlength=classes) / max(1, len(labels))
