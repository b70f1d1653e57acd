"""How certain a score is, and whether two runs differ: the bootstrap (Efron 1979), McNemar's test (1947).

Clips of one person are alike: where people are known, the bootstrap draws people with all of their clips (the cluster
bootstrap of Davison and Hinkley, *Bootstrap Methods and their Application*, 1997, section 3.8), and clips otherwise.

All scores but the confusion matrix follow from two counts per class: its clips, and how many of them are right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from grace.trainer.metrics import AMBIGUOUS_PAIRS, ambiguous_pairs, tail_classes

Counts = Float[np.ndarray, "*shape classes"]


def resampled(
    labels: Int[np.ndarray, " clips"],
    right: Float[np.ndarray, "runs clips"],
    classes: int,
    samples: int,
    seed: int = 0,
    people: Sequence[str] | None = None,
) -> tuple[Float[np.ndarray, "samples classes"], Float[np.ndarray, "runs samples classes"]]:
    """Clips and right clips of each class in ``samples`` draws with replacement, of as many people, or clips.

    All runs are judged on the same draws: that is what makes a comparison paired.

    Args:
        labels: true class of each clip [clips], an index in [0, ``classes``).
        right: [runs, clips], 1 where a run is right, 0 where it is wrong, or the share of its seeds that are right.
        classes: how many there are.
        samples: draws.
        seed: of the random generator; the same seed gives the same draws.
        people: who is seen in each clip; with it, people are drawn with all of their clips, without it single clips.

    Returns:
        Clips of each class in each draw [samples, classes], and right clips of each run [runs, samples, classes].

    Example:
        >>> total, right = resampled(np.array([0, 0, 1]), np.array([[1.0, 0.0, 1.0]]), classes=2, samples=4)
        >>> total.shape, right.shape, total.sum(1).tolist()
        ((4, 2), (1, 4, 2), [3.0, 3.0, 3.0, 3.0])
    """
    generator = np.random.default_rng(seed)
    units = np.arange(len(labels)) if people is None else np.unique(np.asarray(people), return_inverse=True)[1]
    count = int(units.max()) + 1 if len(units) else 0
    of_unit = [_by_unit(units, count, labels, values, classes) for values in (np.ones(len(labels)), *right)]
    drawn = np.empty((len(of_unit), samples, classes))
    for sample in range(samples):
        times = np.bincount(generator.integers(0, count, count), minlength=count).astype(np.float64)
        for run, counts in enumerate(of_unit):
            drawn[run, sample] = times @ counts
    return drawn[0], drawn[1:]


def _by_unit(
    units: Int[np.ndarray, " clips"],
    count: int,
    labels: Int[np.ndarray, " clips"],
    values: Float[np.ndarray, " clips"],
    classes: int,
) -> Float[np.ndarray, "units classes"]:
    """The sum of ``values`` over each unit's clips of each class."""
    return np.bincount(units * classes + labels, values, minlength=count * classes).reshape(count, classes)


def counted(
    labels: Int[np.ndarray, " clips"], right: Float[np.ndarray, " clips"], classes: int
) -> tuple[Float[np.ndarray, " {classes}"], Float[np.ndarray, " {classes}"]]:
    """Clips and right clips of each class.

    Args:
        labels: true class of each clip [clips], an index in [0, ``classes``).
        right: of one run [clips], a row of what :func:`resampled` takes.
        classes: how many there are.

    Returns:
        The clips of each class [classes], and the sum of ``right`` over them [classes].

    Example:
        >>> total, right = counted(np.array([0, 0, 1]), np.array([1.0, 0.5, 0.0]), classes=2)
        >>> total.tolist(), right.tolist()
        ([2.0, 1.0], [1.5, 0.0])
    """
    total = np.bincount(labels, minlength=classes).astype(np.float64)
    return total, np.bincount(labels, right, minlength=classes)


def statistics(
    total: Counts,
    right: Counts,
    names: Sequence[str],
    tail: Sequence[int],
    pairs: Sequence[tuple[str, str]] = AMBIGUOUS_PAIRS,
) -> dict[str, np.ndarray]:
    """Every score by name: ``UAR``, ``WAR``, ``tail``, a pair (``surprise/fear``) or a class. Leading axes stay.

    A class without clips has no recall (NaN) and is left out of the means; pairs of which a class is absent are left
    out.

    Args:
        total: clips of each class [..., classes], as :func:`counted` or :func:`resampled` gives them.
        right: right clips of each class, of the same shape.
        names: the classes, in their order.
        tail: indices of the rare classes; their mean recall is ``tail``.
        pairs: pairs of classes; the mean recall of the two is the score of a pair.

    Returns:
        Shares in [0, 1] of the leading shape [...], NaN where there are no clips.

    Example:
        >>> found = statistics(np.array([2.0, 1.0]), np.array([1.0, 1.0]), ["anger", "fear"], tail=[1])
        >>> {name: round(float(share), 2) for name, share in found.items()}
        {'UAR': 0.75, 'WAR': 0.67, 'tail': 1.0, 'anger': 0.5, 'fear': 1.0}
    """
    each = np.divide(right, total, out=np.full(np.broadcast_shapes(right.shape, total.shape), np.nan), where=total > 0)
    scores = {"UAR": _mean(each), "WAR": right.sum(-1) / total.sum(-1), "tail": _mean(each[..., list(tail)])}
    for first, second in pairs:
        if first in names and second in names:
            scores[f"{first}/{second}"] = _mean(each[..., [names.index(first), names.index(second)]])
    return scores | {name: each[..., index] for index, name in enumerate(names)}


def intervals(
    labels: Int[np.ndarray, " clips"],
    predicted: Int[np.ndarray, " clips"],
    names: Sequence[str],
    samples: int,
    confidence: float,
    people: Sequence[str] | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
) -> dict[str, list[float | None]]:
    """Percentile bootstrap intervals of every score (Efron 1979), over people, or over clips.

    Args:
        labels: true class of each clip, an index into ``names``.
        predicted: predicted class of each clip; −1 counts as wrong.
        names: the classes.
        samples: draws with replacement.
        confidence: such as 0.95.
        people: who is seen in each clip; without it, clips count as if each showed another person.
        pairs: the pairs of classes to look at; those of :func:`~grace.trainer.metrics.ambiguous_pairs` if not given.

    Returns:
        Lower and upper bound of every score of :func:`statistics` (``UAR``, ``WAR``, ``tail``, pairs, recall by class);
        None where a class has no clips. The same arguments give the same bounds.

    Example:
        >>> labels = np.repeat([0, 1], 50)
        >>> predicted = np.where(np.arange(100) % 5 == 0, 1 - labels, labels)  # 80 % right
        >>> low, high = intervals(labels, predicted, ["anger", "fear"], samples=200, confidence=0.95)["UAR"]
        >>> 0.7 < low < 0.8 < high < 0.9
        True
        >>> people = [f"person {number // 25}" for number in range(100)]
        >>> predicted = np.where(np.arange(100) < 25, 1 - labels, labels)  # always wrong of one person
        >>> intervals(labels, predicted, ["anger", "fear"], samples=200, confidence=0.95, people=people)["WAR"]
        [0.25, 1.0]
    """
    tail = tail_classes(np.bincount(labels, minlength=len(names)))
    right = (labels == predicted).astype(np.float64)
    total, hits = resampled(labels, right[None], len(names), samples, people=people)
    looked_at = ambiguous_pairs(labels, predicted, names) if pairs is None else pairs
    drawn = statistics(total, hits[0], names, tail, looked_at)
    return {name: _bounds(values, confidence) for name, values in drawn.items()}


@dataclass(frozen=True)
class Lead:
    """A score of two runs on the same clips: both values, first minus second, its interval, and the two-sided p of the
    paired bootstrap under no difference."""

    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float


def leads(
    labels: Int[np.ndarray, " clips"],
    first: Float[np.ndarray, " clips"],
    second: Float[np.ndarray, " clips"],
    names: Sequence[str],
    samples: int,
    confidence: float,
    people: Sequence[str] | None = None,
) -> dict[str, Lead]:
    """Every score of two runs beside each other.

    Args:
        labels: true class of each clip [clips], an index into ``names``.
        first: of the first run [clips], as a row of ``right`` in :func:`resampled`.
        second: the same of the second run, on the same clips.
        names: the classes.
        samples: draws with replacement.
        confidence: of the intervals, such as 0.95.
        people: who is seen in each clip; without it, clips count as if each showed another person.

    Returns:
        A :class:`Lead` for every score of :func:`statistics`, without scores that are NaN for these clips. A p is at
        least 1 / ``samples``. The same arguments give the same leads.

    Example:
        >>> labels, first, second = np.repeat([0, 1], 20), np.ones(40), np.tile([1.0, 0.0], 20)
        >>> lead = leads(labels, first, second, ["anger", "fear"], samples=100, confidence=0.95)["WAR"]
        >>> lead.difference, lead.low > 0, lead.p
        (0.5, True, 0.01)
    """
    tail = tail_classes(np.bincount(labels, minlength=len(names)))
    total, hits = resampled(labels, np.stack([first, second]), len(names), samples, people=people)
    drawn = [statistics(total, run, names, tail) for run in hits]
    whole = [statistics(*counted(labels, right, len(names)), names, tail) for right in (first, second)]
    return {
        name: _lead(float(whole[0][name]), float(whole[1][name]), drawn[0][name] - drawn[1][name], confidence)
        for name in whole[0]
        if np.isfinite(whole[0][name])
    }


def mcnemar(first: Float[np.ndarray, " clips"], second: Float[np.ndarray, " clips"]) -> dict[str, Any]:
    """McNemar's exact test (1947) on the clips that only one of two runs got right.

    Args:
        first: 1 where the first run is right, 0 where it is wrong; or the share of its seeds that are right, and a clip
            counts as right when most of them are.
        second: the same of the second run, on the same clips.

    Returns:
        ``only_first`` and ``only_second``, clips that only this run got right, and ``p``, two-sided.

    Example:
        >>> mcnemar(np.array([1.0] * 9 + [0.0]), np.array([0.0] * 8 + [1.0] * 2))
        {'only_first': 8, 'only_second': 1, 'p': 0.0390625}
    """
    a, b = first > 0.5, second > 0.5
    only_first, only_second = int((a & ~b).sum()), int((~a & b).sum())
    disputed, ways, tail = only_first + only_second, 1, 1  # of choosing as few clips as one of them, or fewer
    for chosen in range(min(only_first, only_second)):
        ways = ways * (disputed - chosen) // (chosen + 1)
        tail += ways
    return {"only_first": only_first, "only_second": only_second, "p": min(1.0, 2 * tail / 2**disputed)}


def _lead(first: float, second: float, drawn: np.ndarray, confidence: float) -> Lead:
    low, high = (float(bound) for bound in _percentiles(drawn, confidence))
    known = drawn[np.isfinite(drawn)]
    beyond = min((known <= 0).mean(), (known >= 0).mean())
    p = min(1.0, max(2 * float(beyond), 1 / len(known)))  # that many draws cannot show a smaller one
    return Lead(first, second, first - second, low, high, p)


def _bounds(values: np.ndarray, confidence: float) -> list[float | None]:
    if not np.isfinite(values).any():
        return [None, None]
    return [round(float(bound), 6) for bound in _percentiles(values, confidence)]


def _percentiles(values: np.ndarray, confidence: float) -> np.ndarray:
    outside = (1 - confidence) / 2 * 100
    bounds: np.ndarray = np.nanpercentile(values, (outside, 100 - outside))
    return bounds


def _mean(values: np.ndarray) -> np.ndarray:
    """Over the last axis, NaN left out; NaN where nothing is left."""
    known = np.isfinite(values)
    count = known.sum(-1)
    total = np.where(known, values, 0).sum(-1)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
