"""What the loss is taken against: a clip's label, or the shares of the votes that its raters gave each class."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from grace.pipeline.store import UserError
from grace.trainer.data import Subset
from grace.trainer.settings import TrainSettings


def soft_targets(subset: Subset) -> Float[np.ndarray, "clips classes"]:
    """The share of the votes of each class; 1 for the label of a clip without votes.

    Votes for what is no class of the data set are not in the table, so that the shares are of those that are;
    where most of a clip's votes are such, the table has none of it.

    Example:
        >>> from grace.trainer.data import Cache
        >>> soft_targets(Subset(Cache("data/demo"), ("clip-000", "clip-001")))
        array([[1., 0., 0.],
               [0., 1., 0.]], dtype=float32)
    """
    targets = np.zeros((len(subset), len(subset.cache.labels)), dtype=np.float32)
    targets[np.arange(len(subset)), subset.labels] = 1
    for row, votes in zip(targets, _votes(subset), strict=True):
        if votes.sum() > 0:
            row[:] = votes / votes.sum()
    return targets


def has_votes(subset: Subset) -> Bool[np.ndarray, " clips"]:
    """Of which clips the table holds votes."""
    return np.array([votes.sum() > 0 for votes in _votes(subset)], dtype=bool)


def check_targets(subset: Subset, settings: TrainSettings) -> None:
    """Raise :class:`UserError` when training is to learn from votes, and no training clip has any."""
    if settings.targets == "votes" and not has_votes(subset).any():
        raise UserError(
            f"train.targets is votes, and no training clip of {subset.cache.folder.name} has votes in clips.parquet: "
            "set train.targets to label, or put columns votes_<class> into clips.csv."
        )


def _votes(subset: Subset) -> list[Float[np.ndarray, " _"]]:
    """The votes of each clip by class; none of a clip without."""
    rows = subset.cache.rows
    return [np.asarray(rows[clip_id].get("votes", []), dtype=np.float32) for clip_id in subset.clip_ids]
