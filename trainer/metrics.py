"""Scores from labels and predictions: pure functions of arrays.

``labels`` and ``predicted`` are indices into the data set's list of classes; a clip that could not be scored has
``predicted`` −1 and counts as wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

MISSING = -1

AMBIGUOUS_PAIRS = (("surprise", "fear"), ("anger", "disgust"), ("sadness", "neutral"))
"""Pairs that people confuse as well."""

MOST_PAIRS = 3
"""How many pairs are reported of a data set that has none of these."""

TAIL = 0.5
"""A class is in the tail when it has less than this share of the clips it would have if all classes were equal."""


def war(labels: Int[np.ndarray, " clips"], predicted: Int[np.ndarray, " clips"]) -> float:
    """Weighted average recall (WAR): the share of clips that are right, which is accuracy.

    Args:
        labels: true class of each clip, an index.
        predicted: predicted class of each clip; −1 counts as wrong.

    Returns:
        A share in [0, 1]; NaN without clips.

    Example:
        >>> war(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]))
        0.75
    """
    return float(np.mean(labels == predicted)) if len(labels) else float("nan")


def recall(
    labels: Int[np.ndarray, " clips"], predicted: Int[np.ndarray, " clips"], classes: int
) -> Float[np.ndarray, " {classes}"]:
    """Recall of each class; NaN for a class without clips.

    Args:
        labels: true class of each clip, an index.
        predicted: predicted class of each clip; −1 counts as wrong.
        classes: how many there are.

    Returns:
        Shares in [0, 1] [classes].

    Example:
        >>> recall(np.array([0, 0, 1]), np.array([0, 1, 1]), classes=3).tolist()
        [0.5, 1.0, nan]
    """
    total = np.bincount(labels, minlength=classes)
    right = np.bincount(labels[labels == predicted], minlength=classes)
    return np.divide(right, total, out=np.full(classes, np.nan), where=total > 0)


def uar(labels: Int[np.ndarray, " clips"], predicted: Int[np.ndarray, " clips"], classes: int) -> float:
    """Unweighted average recall (UAR): the mean of the classes' recall, however many clips each has.

    Args:
        labels: true class of each clip, an index.
        predicted: predicted class of each clip; −1 counts as wrong.
        classes: how many there are; those without clips are left out of the mean.

    Returns:
        A share in [0, 1]; NaN without clips.

    Example:
        >>> uar(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]), classes=2)
        0.5
    """
    each = recall(labels, predicted, classes)
    return float(np.nanmean(each)) if np.isfinite(each).any() else float("nan")


def confusion(
    labels: Int[np.ndarray, " clips"], predicted: Int[np.ndarray, " clips"], classes: int
) -> Int[np.ndarray, "{classes} {classes}"]:
    """Counts, true class by row and predicted by column. Missing clips are in no column.

    Args:
        labels: true class of each clip, an index.
        predicted: predicted class of each clip; −1 where it could not be scored.
        classes: how many there are.

    Returns:
        Clips [classes, classes].

    Example:
        >>> confusion(np.array([0, 0, 1]), np.array([0, 1, -1]), classes=2).tolist()
        [[1, 1], [0, 0]]
    """
    scored = predicted != MISSING
    cells = labels[scored].astype(np.int64) * classes + predicted[scored]
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def ambiguous_pairs(
    labels: Int[np.ndarray, " clips"], predicted: Int[np.ndarray, " clips"], names: Sequence[str]
) -> list[tuple[str, str]]:
    """Those of :data:`AMBIGUOUS_PAIRS` that the set has; of a set that has none, what is confused most.

    Args:
        labels: true class of each clip, an index into ``names``.
        predicted: predicted class of each clip; −1 where it could not be scored.
        names: the classes.

    Returns:
        Pairs of names; of the most confused ones at most ``MOST_PAIRS``, the worst first.

    Example:
        >>> labels, predicted = np.array([0, 0, 1]), np.array([0, 1, 1])
        >>> ambiguous_pairs(labels, predicted, ["anger", "disgust"]), ambiguous_pairs(labels, labels, ["calm", "joy"])
        ([('anger', 'disgust')], [])
    """
    known = [pair for pair in AMBIGUOUS_PAIRS if set(pair) <= set(names)]
    return known or most_confused(confusion(labels, predicted, len(names)), names)


def pair_scores(
    labels: Int[np.ndarray, " clips"],
    predicted: Int[np.ndarray, " clips"],
    names: Sequence[str],
    pairs: Sequence[tuple[str, str]],
) -> dict[str, dict[str, float]]:
    """For each of these pairs of classes: mean recall of the two, and the share of their clips taken for the other.

    Args:
        labels: true class of each clip, an index into ``names``.
        predicted: predicted class of each clip; −1 counts as wrong.
        names: the classes.
        pairs: pairs of these classes.

    Returns:
        By ``first/second``: ``recall`` and ``confused``, shares in [0, 1]; NaN where neither class has clips.

    Example:
        >>> pair_scores(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), ["anger", "disgust"], [("anger", "disgust")])
        {'anger/disgust': {'recall': 0.75, 'confused': 0.25}}
    """
    each = recall(labels, predicted, len(names))
    scores = {}
    for first, second in pairs:
        i, j = names.index(first), names.index(second)
        both = np.isin(labels, (i, j))
        swapped = both & np.isin(predicted, (i, j)) & (labels != predicted)
        scores[f"{first}/{second}"] = {
            "recall": _mean(each[[i, j]]),
            "confused": float(swapped.sum() / both.sum()) if both.any() else float("nan"),
        }
    return scores


def most_confused(counts: Int[np.ndarray, "classes classes"], names: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of classes that are taken for each other in the largest share of their clips, the worst first.

    Example:
        >>> most_confused(np.array([[5, 5, 0], [1, 9, 0], [0, 0, 9]]), ["calm", "boredom", "joy"])
        [('calm', 'boredom')]
    """
    clips = counts.sum(1)
    shares = {
        (i, j): (counts[i, j] + counts[j, i]) / (clips[i] + clips[j])
        for i in range(len(names))
        for j in range(i + 1, len(names))
        if counts[i, j] + counts[j, i]
    }
    worst = sorted(shares, key=lambda pair: (-shares[pair], pair))[:MOST_PAIRS]
    return [(names[i], names[j]) for i, j in worst]


def tail_classes(counts: Int[np.ndarray, " classes"]) -> list[int]:
    """Indices of the classes with less than ``TAIL`` of an equal share of the clips, or else of the rarest class."""
    tail = np.flatnonzero(counts < TAIL * counts.sum() / len(counts)).tolist()
    return tail or [int(np.argmin(counts))]


def scores(
    labels: Int[np.ndarray, " clips"],
    predicted: Int[np.ndarray, " clips"],
    names: Sequence[str],
    pairs: Sequence[tuple[str, str]] | None = None,
) -> dict[str, Any]:
    """All point scores.

    Args:
        labels: true class of each clip, an index into ``names``.
        predicted: predicted class of each clip; −1 where it could not be scored, which counts as wrong.
        names: the classes.
        pairs: the pairs of classes to look at; :func:`ambiguous_pairs` of these clips if not given.

    Returns:
        Plain values, fit for JSON (NaN becomes None): ``UAR``, ``WAR``, ``recall`` by class, ``pairs`` with recall and
        confusion of each ambiguous pair, ``tail`` with the rare classes and their mean recall, ``clips``, and how many
        of them are ``missing``.

    Example:
        >>> found = scores(np.array([0, 0, 0, 1]), np.array([0, 0, 1, -1]), ["anger", "disgust"])
        >>> found["UAR"], found["recall"], found["pairs"]["anger/disgust"]["confused"], found["missing"]
        (0.333333, {'anger': 0.666667, 'disgust': 0.0}, 0.25, 1)
    """
    classes = len(names)
    each = recall(labels, predicted, classes)
    tail = tail_classes(np.bincount(labels, minlength=classes))
    looked_at = ambiguous_pairs(labels, predicted, names) if pairs is None else pairs
    return {
        "UAR": _number(uar(labels, predicted, classes)),
        "WAR": _number(war(labels, predicted)),
        "recall": {name: _number(value) for name, value in zip(names, each, strict=True)},
        "pairs": {
            pair: {key: _number(x) for key, x in of.items()}
            for pair, of in pair_scores(labels, predicted, names, looked_at).items()
        },
        "tail": {"classes": [names[k] for k in tail], "recall": _number(_mean(each[tail]))},
        "clips": len(labels),
        "missing": int((predicted == MISSING).sum()),
    }


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _number(value: float) -> float | None:
    """Six digits: a difference of one clip in a million would still show."""
    return round(float(value), 6) if np.isfinite(value) else None
