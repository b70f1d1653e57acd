"""The bench's levels, its jobs and its tests: what can be checked without training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.ablation import FINAL, PARTS, ROWS, SETTING, Bench
from benchmarks.ablation_caches import Caches
from benchmarks.ablation_levels import DECIDING, VISIONS, Noise
from benchmarks.ablation_runs import COLUMNS, keep, scores, with_kept
from benchmarks.ablation_table import Cell, Score, figures, holm, paired
from grace.pipeline.store import UserError
from grace.pipeline.world.actions import ACTIONS
from grace.pipeline.world.sentences import Clause, description_from_clauses, named_actions
from grace.pocket.alt_texts import EXPRESSIONS, alt_text
from grace.pocket.render_dataset import training_scenario

EVERY_ACTION = tuple(Clause(action, "clearly", "apex", 1) for action in ACTIONS)


def test_without_noise_a_text_says_what_is_true_and_with_it_regions_are_missed_as_in_real_captions() -> None:
    exact = Noise(named=dict.fromkeys(Noise().named, 1.0), seen=1.0, confused=0.0, invented=0.0, vague=0.0)
    rng = np.random.default_rng(0)
    few = EVERY_ACTION[:5]
    assert exact.clauses(few, rng) == few
    noisy = [Noise().clauses((clause,), rng) for clause in EVERY_ACTION for _ in range(200)]
    kept = {"mouth": 0, "nose": 0}
    for clause, said in zip((clause for clause in EVERY_ACTION for _ in range(200)), noisy, strict=True):
        if clause.action.region in kept:
            kept[clause.action.region] += clause.action in {one.action for one in said}
    mouths = sum(clause.action.region == "mouth" for clause in EVERY_ACTION)
    assert 0.4 < kept["mouth"] / (200 * mouths) < 0.8
    assert kept["nose"] / 200 < 0.1


def test_noise_invents_movements_of_a_face_at_rest() -> None:
    rng = np.random.default_rng(1)
    said = [named_actions(description_from_clauses(Noise().clauses((), rng))) for _ in range(300)]
    assert 0.5 < np.mean([len(each) for each in said]) < 1.1


def test_alternative_texts_name_an_expression_in_half_and_no_movement() -> None:
    rng, words = np.random.default_rng(2), {word for group in EXPRESSIONS.values() for word in group}
    texts = [alt_text(rng, *training_scenario(1000, number % 50), 0.5) for number in range(500)]
    share = np.mean([bool(words & set(text.replace(",", "").split())) for text in texts])
    assert 0.42 < share < 0.58
    assert not any(named_actions(text) for text in texts)


def bench(tmp_path: Path) -> Bench:
    return Bench(Caches(tmp_path, FINAL, Noise(), tmp_path))


def test_rows_that_read_no_text_are_trained_once_per_level_of_vision(tmp_path: Path) -> None:
    chosen = {f"{vision} {row.method}": 1e-3 for vision in VISIONS for row in ROWS}
    jobs = bench(tmp_path).jobs(chosen | {"dinov2 grace": 2e-3})
    assert len({job.folder for job in jobs}) == len(jobs)
    of = [job for job in jobs if job.settings["method"] == "vision" and job.settings["seed"] == 0]
    whole = [job for job in of if "train_size" not in job.settings]
    assert len(whole) == 3 * 3  # levels of vision, folds
    assert len(of) - len(whole) == 2 * 3 * 3  # of the cells that decide: folds, shares
    decided = [job for job in jobs if job.settings["seed"] == 2 and job.settings["method"] == "grace"]
    assert {tuple(job.cache.name.split("-")) for job in decided} == set(DECIDING)
    assert len(decided) == len(DECIDING) * 3 * (2 + len(PARTS))  # grace, with shuffled texts, without each part
    rates = {job.settings["learning_rate"] for job in jobs if job.cache.name == "dinov2-true"}
    assert rates == {1e-3, 2e-3}


def test_a_row_without_a_chosen_learning_rate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No learning rate is chosen for general vision: run"):
        bench(tmp_path).jobs({"dinov2 grace": 2e-3})


def test_a_general_clip_of_another_recipe_is_not_taken_for_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caches = bench(tmp_path).caches
    ours = caches.general_clip
    assert caches.general_clip == ours
    monkeypatch.setattr("grace.pocket.train_general_clip.WRONG_SHARE", 0.9)
    assert caches.general_clip != ours


def test_worlds_share_no_clip() -> None:
    assert SETTING.seed != FINAL.seed
    assert {row.kind for row in ROWS} == {"method", "control", "probe"}


def of(right: np.ndarray, labels: np.ndarray) -> Score:
    ids = [f"{number}" for number in range(len(labels))]
    people = {clip: str(int(clip) // 4) for clip in ids}
    runs = {(0, 1): dict(zip(ids, right.tolist(), strict=True))}
    return Score(["anger", "fear"], dict(zip(ids, labels.tolist(), strict=True)), people, runs, {(0, 1): 0.5})


def test_gains_are_held_against_the_best_rival_and_the_best_probe_of_the_same_sides() -> None:
    labels, order = np.arange(200) % 2, np.random.default_rng(3).permutation(200)
    share = {"grace": 0.8, "vision": 0.7, "narrative": 0.75, "probe of the video": 0.72, "probe of both": 0.85}
    scores = {name: of(order < 200 * value, labels) for name, value in share.items()}
    cell = Cell("dinov2", "noisy", scores, {})
    found = figures([cell])
    assert found["grace_gain"] == pytest.approx(5, abs=0.5)
    assert found["grace_gain_pocket"] is None
    assert found["cells"]["dinov2, noisy"]["best_rival"] == "narrative"
    assert found["probe_gain"] == pytest.approx(-10, abs=0.5)  # narrative, below the probe of both
    assert dict(cell.probe_gains())["vision"] == pytest.approx(-2, abs=0.5)
    tests = paired(scores["grace"], scores["vision"])
    assert tests is not None
    assert tests[0].low > 0


def test_p_is_corrected_for_the_number_of_comparisons() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == {"a": pytest.approx(0.03), "c": 0.06, "b": 0.06}


def run_of(seed: int, right: int) -> pd.DataFrame:
    """A run of ten clips of two classes and five people."""
    labels = ["anger", "fear"] * 5
    said = [label if clip < right else "anger" for clip, label in enumerate(labels)]
    columns = ["dinov2", "noisy", "grace", seed, 1]
    made = [[*columns, f"{clip}", f"p{clip // 2}", labels[clip], said[clip], 0.5] for clip in range(10)]
    return pd.DataFrame(made, columns=COLUMNS)


def test_runs_of_several_sittings_meet_in_one_table_and_a_run_made_again_takes_the_place_of_its_first(
    tmp_path: Path,
) -> None:
    file = tmp_path / "kept.parquet"
    keep(with_kept([run_of(0, 10)], file), file)
    keep(with_kept([run_of(1, 4)], file), file)
    keep(with_kept([run_of(0, 6)], file), file)
    [(vision, text, row, score)] = scores(with_kept([], file))
    assert (vision, text, row) == ("dinov2", "noisy", "grace")
    # Of five clips of fear, those after the right ones were called anger: 3 of 5, then 2 of 5.
    assert score.by_seed() == pytest.approx([80, 70])
    assert score.people["9"] == "p4"
    assert score.validation == {(0, 1): 0.5, (1, 1): 0.5}
