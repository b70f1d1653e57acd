"""Who shows what in which fold."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from grace.pipeline.errors import UserError
from grace.pipeline.world.emotions import LABEL_SHARES, WORLD_LABELS
from grace.pipeline.world.sampling import MIN_CLIPS_PER_CLASS, clip_scenario, person, sample_clips
from grace.pipeline.world.settings import WorldSettings


def test_no_person_is_in_two_folds() -> None:
    folds: dict[int, set[int]] = {}
    for spec in sample_clips(WorldSettings(clips=200, identities=23)):
        folds.setdefault(spec.identity, set()).add(spec.fold)
    assert all(len(seen) == 1 for seen in folds.values())


def test_every_fold_has_every_class() -> None:
    counts = Counter((spec.fold, spec.label) for spec in sample_clips(WorldSettings()))
    assert all(counts[fold, label] >= MIN_CLIPS_PER_CLASS for fold in range(1, 6) for label in WORLD_LABELS)


def test_class_shares_follow_the_long_tail() -> None:
    counts = Counter(spec.label for spec in sample_clips(WorldSettings(clips=5000)))
    assert [counts[label] / 5000 for label in WORLD_LABELS] == pytest.approx(
        np.array(LABEL_SHARES) / sum(LABEL_SHARES), abs=0.002
    )


def test_few_clips_are_no_error() -> None:
    assert len(sample_clips(WorldSettings(clips=7, identities=5))) == 7


def test_fewer_people_than_folds_is_an_error() -> None:
    with pytest.raises(UserError, match="identities"):
        sample_clips(WorldSettings(identities=4))


def test_another_seed_gives_other_people_and_other_clips() -> None:
    first, second = WorldSettings(seed=1), WorldSettings(seed=2)
    assert person(first, 3) == person(first, 3) != person(second, 3)
    one, other = (clip_scenario(settings, sample_clips(settings)[0])[0] for settings in (first, second))
    assert one.timeline != other.timeline and one.seed != other.seed
