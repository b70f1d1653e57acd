"""Which clips a world has: who shows which emotion, and which fold tests it."""

from __future__ import annotations

import numpy as np

from grace.pipeline.errors import UserError
from grace.pipeline.world.clip_spec import ClipSpec
from grace.pipeline.world.emotions import LABEL_SHARES, WORLD_LABELS
from grace.pipeline.world.identity import Identity, sample_identity
from grace.pipeline.world.layouts import LAYOUTS
from grace.pipeline.world.scenario import Scenario, sample_scenario
from grace.pipeline.world.settings import WorldSettings

MIN_CLIPS_PER_CLASS = 2
"""Clips of each class in each fold, if the fold has enough clips."""

_PEOPLE, _CLIPS, _LABELS = 1, 2, 3  # independent streams of random numbers


def sample_clips(settings: WorldSettings) -> list[ClipSpec]:
    """Decide who shows what in which clip of a world.

    No person is in two folds. In each fold, classes have the shares of ``LABEL_SHARES``, DFEW's long tail, and at least
    ``MIN_CLIPS_PER_CLASS`` clips.

    Args:
        settings: section ``world`` of ``params.yaml``.

    Returns:
        One :class:`ClipSpec` per clip, by number; the same settings give the same list.

    Raises:
        UserError: There are fewer people or clips than folds.

    Example:
        >>> from grace.pipeline.world.settings import WorldSettings
        >>> specs = sample_clips(WorldSettings(clips=40, identities=10, folds=5))
        >>> len(specs), specs[0].clip_id, specs[0].fold
        (40, '00001', 1)
    """
    folds = settings.folds
    if settings.identities < folds or settings.clips < folds:
        raise UserError(
            f"world.identities ({settings.identities}) and world.clips ({settings.clips}) must each be at least "
            f"world.folds ({folds}), since no person may be in two folds."
        )
    layout = LAYOUTS[settings.layout]
    rng = np.random.default_rng((settings.seed, _LABELS))
    labels = [list(rng.permutation(apportion_labels(len(range(fold, settings.clips, folds))))) for fold in range(folds)]
    specs = []
    for number in range(settings.clips):
        fold = number % folds
        label = WORLD_LABELS[int(labels[fold][number // folds])]
        people = len(range(fold, settings.identities, folds))
        person = fold + folds * int(clip_rng(settings, number).integers(people))
        specs.append(ClipSpec(number, layout.clip_id(number, label), person, label, fold + 1))
    return specs


def apportion_labels(clips: int) -> list[int]:
    """The label of each of ``clips`` clips, as its position in ``WORLD_LABELS``, in order of label.

    Counts are apportioned to ``LABEL_SHARES`` by largest remainder; then classes with fewer than
    ``MIN_CLIPS_PER_CLASS`` clips take from the largest class.
    """
    shares = np.array(LABEL_SHARES) / sum(LABEL_SHARES) * clips
    counts = np.floor(shares).astype(int)
    for index in np.argsort(counts - shares, kind="stable")[: clips - counts.sum()]:
        counts[index] += 1
    while counts.min() < MIN_CLIPS_PER_CLASS and counts.max() > MIN_CLIPS_PER_CLASS:
        counts[counts.argmin()] += 1
        counts[counts.argmax()] -= 1
    return [label for label, count in enumerate(counts) for _ in range(count)]


def clip_rng(settings: WorldSettings, number: int) -> np.random.Generator:
    """The random numbers of one clip, which depend on the world's seed and the clip's number only."""
    return np.random.default_rng((settings.seed, _CLIPS, number))


def person(settings: WorldSettings, index: int) -> Identity:
    """The person with this number in a world."""
    return sample_identity(np.random.default_rng((settings.seed, _PEOPLE, index)), index)


def clip_scenario(settings: WorldSettings, spec: ClipSpec) -> tuple[Scenario, Identity]:
    """The scenario of one clip, and the person in it."""
    rng = clip_rng(settings, spec.number)
    rng.integers(2)  # skips the draw that chose the person
    identity = person(settings, spec.identity)
    return sample_scenario(rng, identity, spec.label, settings, spec.clip_id), identity
