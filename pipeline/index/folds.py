"""Folds for a data set that ships none, or in place of its own: no person (or other group) is on both sides of one."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np

from grace.pipeline.datasets.base import Listing
from grace.pipeline.errors import UserError
from grace.pipeline.index.settings import SplitSettings

MAX_FOLDS = 200


def make_folds(listings: Sequence[Listing], split: SplitSettings, dataset: str) -> None:
    """Give every labelled clip its part in each fold; folds that the lists named are replaced.

    Args:
        listings: The clips of a data set, changed in place.
        split: By which column clips are grouped, and into how many folds; without a number each group is a fold of its
            own (leave one group out). A clip that names no group is a group of its own.
        dataset: Its name, for messages.

    Raises:
        UserError: No clip has the column, there are too few groups or too many folds.

    Example:
        >>> clips = [Listing(str(n), f"{n}.mp4", "video", "fear", subject=person) for n, person in enumerate("aabc")]
        >>> make_folds(clips, SplitSettings(by="subject"), "mine")
        >>> [clip.folds[1] for clip in clips], sorted(clips[0].folds)
        (['test', 'test', 'train', 'train'], [1, 2, 3])
    """
    labelled = [listing for listing in listings if listing.label and listing.problem is None]
    groups = [_group(listing, split.by) or f"\0{listing.clip_id}" for listing in labelled]
    if labelled and all(group.startswith("\0") for group in groups) and split.by != "clip":
        columns = sorted({name for listing in labelled for name, cell in listing.columns.items() if cell})
        raise UserError(
            f"index.split.{dataset} makes folds by '{split.by}', which no clip of {dataset} names: "
            f"use one of {', '.join(['subject', 'clip', *columns])}."
        )
    count = len(set(groups)) if split.folds is None else split.folds
    if not 2 <= count <= min(MAX_FOLDS, len(set(groups))):
        raise UserError(
            f"index.split.{dataset} would make {count} folds of {len(set(groups))} groups by '{split.by}': set its "
            f"key folds to a number from 2 to {max(2, min(MAX_FOLDS, len(set(groups))))}."
        )
    for listing in listings:
        listing.folds = {}
    for fold, tested in enumerate(_tested(labelled, groups, split), 1):
        for index, listing in enumerate(labelled):
            listing.folds[fold] = "test" if index in tested else "train"


def _group(listing: Listing, by: str) -> str:
    if by == "clip":
        return ""
    return listing.subject if by == "subject" else listing.columns.get(by, "")


def _tested(labelled: Sequence[Listing], groups: Sequence[str], split: SplitSettings) -> list[set[int]]:
    """The clips that each fold tests, as indices."""
    if split.folds is None:
        return [{i for i, own in enumerate(groups) if own == group} for group in sorted(set(groups), key=_natural)]
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    labels = np.array([listing.label for listing in labelled])
    options = {"shuffle": True, "random_state": split.seed}
    rare = max(Counter(labels.tolist()).values()) < split.folds  # no class can be in every fold
    cuts = (GroupKFold if rare else StratifiedGroupKFold)(split.folds, **options)
    with warnings.catch_warnings():  # of classes rarer than the number of folds
        warnings.simplefilter("ignore", UserWarning)
        return [set(test.tolist()) for _, test in cuts.split(labels, labels, np.array(groups))]


def _natural(name: str) -> list[tuple[int, str]]:
    """Groups 2 and 10 in this order."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d{1,18})", name)]
