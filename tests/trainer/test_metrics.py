from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from trainer.metrics import bootstrap, confusion, pair_scores, recall, scores, tail_classes, uar, war

LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 2])
PREDICTED = np.array([0, 0, 1, -1, 1, 2, 2, 2])


def test_hand_computed_scores() -> None:
    assert recall(LABELS, PREDICTED, 4).tolist()[:3] == [0.5, 0.5, 1.0]
    assert np.isnan(recall(LABELS, PREDICTED, 4)[3])
    assert uar(LABELS, PREDICTED, 3) == pytest.approx(2 / 3)
    assert war(LABELS, PREDICTED) == pytest.approx(5 / 8)
    assert confusion(LABELS, PREDICTED, 3).tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 2]]


def test_scores_equal_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    labels, predicted = generator.integers(0, 7, 200), generator.integers(0, 7, 200)
    assert uar(labels, predicted, 7) == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert war(labels, predicted) == pytest.approx(accuracy_score(labels, predicted))


def test_pairs_and_tail() -> None:
    names = ["surprise", "fear", "anger"]
    pair = pair_scores(LABELS, PREDICTED, names)["surprise/fear"]
    assert pair["recall"] == pytest.approx(0.5)
    assert pair["confused"] == pytest.approx(1 / 6)
    assert tail_classes(np.array([10, 10, 1])) == [2]
    assert tail_classes(np.array([4, 3, 4])) == [1]
    everything = scores(LABELS, PREDICTED, names)
    assert everything["missing"] == 1
    assert everything["clips"] == 8


def test_bootstrap_covers_the_truth_and_repeats() -> None:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 2, 400)
    predicted = np.where(generator.random(400) < 0.8, labels, 1 - labels)
    low, high = bootstrap(war, labels, predicted, 300, 0.95)
    assert low < 0.8 < high
    assert high - low == pytest.approx(2 * 1.96 * (0.8 * 0.2 / 400) ** 0.5, rel=0.25)
    assert (bootstrap(war, labels, predicted, 300, 0.95) == [low, high]).all()
