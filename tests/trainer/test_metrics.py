from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from grace.trainer.calibration import expected_calibration_error, reliability
from grace.trainer.metrics import confusion, pair_scores, recall, scores, tail_classes, uar, war
from grace.trainer.significance import counted, intervals, leads, mcnemar, statistics

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
    pair = pair_scores(LABELS, PREDICTED, names, [("surprise", "fear")])["surprise/fear"]
    assert pair["recall"] == pytest.approx(0.5)
    assert pair["confused"] == pytest.approx(1 / 6)
    assert tail_classes(np.array([10, 10, 1])) == [2]
    assert tail_classes(np.array([4, 3, 4])) == [1]
    everything = scores(LABELS, PREDICTED, names)
    assert everything["missing"] == 1
    assert everything["clips"] == 8


def test_interval_covers_the_truth_and_repeats() -> None:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 2, 400)
    predicted = np.where(generator.random(400) < 0.8, labels, 1 - labels)
    low, high = intervals(labels, predicted, ["anger", "fear"], 300, 0.95)["WAR"]
    assert low is not None
    assert high is not None
    assert low < 0.8 < high
    assert high - low == pytest.approx(2 * 1.96 * (0.8 * 0.2 / 400) ** 0.5, rel=0.25)
    assert intervals(labels, predicted, ["anger", "fear"], 300, 0.95)["WAR"] == [low, high]


def test_intervals_over_people_are_wider_where_people_differ() -> None:
    people = np.repeat(np.arange(20), 20)  # each always right or always wrong: 400 clips say as much as 20 do
    labels = np.tile([0, 1], 200)
    predicted = np.where(people % 4 == 0, 1 - labels, labels)
    names = ["anger", "fear"]
    of_clips, of_people = (
        intervals(labels, predicted, names, 1000, 0.95, who)["WAR"] for who in (None, [f"person {n}" for n in people])
    )
    widths = [bounds[1] - bounds[0] for bounds in (of_clips, of_people) if None not in bounds]
    assert widths[1] == pytest.approx(widths[0] * 20**0.5, rel=0.2)


def test_statistics_of_the_counts_are_the_scores_of_the_clips() -> None:
    names = ["surprise", "fear", "anger"]
    right = (LABELS == PREDICTED).astype(float)
    found = statistics(*counted(LABELS, right, 3), names, [2])
    whole = scores(LABELS, PREDICTED, names)
    assert float(found["UAR"]) == pytest.approx(whole["UAR"], abs=1e-6)
    assert float(found["WAR"]) == pytest.approx(whole["WAR"], abs=1e-6)
    assert float(found["surprise/fear"]) == pytest.approx(whole["pairs"]["surprise/fear"]["recall"], abs=1e-6)
    assert float(found["anger"]) == float(found["tail"]) == 1


def test_a_real_lead_is_distinguished_from_chance() -> None:
    generator = np.random.default_rng(2)
    labels = generator.integers(0, 3, 600)
    good, fair = ((generator.random(600) < share).astype(float) for share in (0.8, 0.7))
    also_fair = fair.copy()  # right in 30 clips where the other is wrong, and the other way round
    for value in (0.0, 1.0):
        also_fair[generator.choice(np.flatnonzero(fair == value), 30, replace=False)] = 1 - value
    names = ["anger", "fear", "surprise"]
    lead = leads(labels, good, fair, names, 500, 0.95)["UAR"]
    assert lead.p < 0.05
    assert 0 < lead.low < lead.difference < lead.high
    assert lead.difference == pytest.approx(lead.first - lead.second)
    assert leads(labels, fair, also_fair, names, 500, 0.95)["UAR"].p > 0.05
    assert leads(labels, fair, fair, names, 500, 0.95)["UAR"].p == 1


def test_mcnemar_counts_the_disputed_clips() -> None:
    first, second = np.array([1.0] * 10 + [0.0] * 2 + [1.0] * 5), np.array([0.0] * 10 + [1.0] * 2 + [1.0] * 5)
    assert mcnemar(first, second) == {"only_first": 10, "only_second": 2, "p": pytest.approx(0.0386, abs=1e-4)}
    assert mcnemar(first, first)["p"] == 1


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
    right = np.array([True, True, True, False, True, False])
    rows = reliability(confidence, right)
    assert [row.clips for row in rows] == [0, 0, 0, 0, 0, 2, 0, 0, 0, 4]
    assert expected_calibration_error(rows) == pytest.approx(4 / 6 * 0.2 + 2 / 6 * 0.05, abs=1e-5)
    assert expected_calibration_error(reliability(confidence[:0], right[:0])) is None


def test_a_set_without_the_known_pairs_has_intervals_of_the_pairs_that_it_confuses() -> None:
    names = ["calm", "boredom", "joy"]
    labels = np.array([0, 0, 1, 1, 2, 2] * 4)
    predicted = np.array([0, 1, 1, 1, 2, 2] * 4)
    low, high = intervals(labels, predicted, names, samples=50, confidence=0.9)["calm/boredom"]
    assert low is not None and high is not None
    assert low <= scores(labels, predicted, names)["pairs"]["calm/boredom"]["recall"] <= high
