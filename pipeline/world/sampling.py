"""Which clips a world has: who shows what, and which fold tests it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grace.pipeline.errors import UserError
from grace.pipeline.world.emotions import LABELS, SHARES
from grace.pipeline.world.identity import Identity, sample_identity
from grace.pipeline.world.layouts import LAYOUTS
from grace.pipeline.world.scenario import Script, sample_script
from grace.pipeline.world.settings import WorldSettings

LEAST = 2
"""Clips of every class that a fold has, if it has that many clips at all."""

_PEOPLE, _CLIPS, _LABELS = 1, 2, 3  # streams of random numbers: no two things share one


@dataclass(frozen=True)
class Part:
    """One clip of the plan."""

    number: int
    clip_id: str
    identity: int
    label: str
    fold: int  # the fold (from 1) that tests it


def plan(settings: WorldSettings) -> list[Part]:
    """Every clip of the world. Folds share no identity; class shares follow ``SHARES`` with at least ``LEAST`` each.

    Raises :class:`UserError` when there are fewer people or clips than folds.
    """
    folds = settings.folds
    if settings.identities < folds or settings.clips < folds:
        raise UserError(
            f"world.identities ({settings.identities}) and world.clips ({settings.clips}) must each be at least "
            f"world.folds ({folds}), since no person may be in two folds."
        )
    layout = LAYOUTS[settings.layout]
    rng = np.random.default_rng((settings.seed, _LABELS))
    labels = [list(rng.permutation(class_counts(len(range(fold, settings.clips, folds))))) for fold in range(folds)]
    parts = []
    for number in range(settings.clips):
        fold = number % folds
        label = LABELS[int(labels[fold][number // folds])]
        people = len(range(fold, settings.identities, folds))
        person = fold + folds * int(clip_rng(settings, number).integers(people))
        parts.append(Part(number, layout.clip_id(number, label), person, label, fold + 1))
    return parts


def class_counts(clips: int) -> list[int]:
    """The label (as a position in ``LABELS``) of each of ``clips`` clips, in order of label.

    Largest remainders of ``SHARES``; then every class is brought up to ``LEAST`` at the cost of the largest.
    """
    shares = np.array(SHARES) / sum(SHARES) * clips
    counts = np.floor(shares).astype(int)
    for index in np.argsort(counts - shares, kind="stable")[: clips - counts.sum()]:
        counts[index] += 1
    while counts.min() < LEAST and counts.max() > LEAST:
        counts[counts.argmin()] += 1
        counts[counts.argmax()] -= 1
    return [label for label, count in enumerate(counts) for _ in range(count)]


def clip_rng(settings: WorldSettings, number: int) -> np.random.Generator:
    """The random numbers of one clip, from the seed and its number only."""
    return np.random.default_rng((settings.seed, _CLIPS, number))


def person(settings: WorldSettings, index: int) -> Identity:
    """The person with this number."""
    return sample_identity(np.random.default_rng((settings.seed, _PEOPLE, index)), index)


def script_of(settings: WorldSettings, part: Part) -> tuple[Script, Identity]:
    """The script of one clip, and who plays it."""
    rng = clip_rng(settings, part.number)
    rng.integers(2)  # the draw that chose the person
    identity = person(settings, part.identity)
    return sample_script(rng, identity, part.label, settings, part.clip_id), identity
