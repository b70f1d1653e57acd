"""What a clip's scenario promises before anything is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from grace.pipeline.world.emotions import PROTOTYPES, WORLD_LABELS
from grace.pipeline.world.identity import sample_identity
from grace.pipeline.world.motion_curves import frame_states
from grace.pipeline.world.render import frame_times, measure, render_instants
from grace.pipeline.world.scenario import CHANCES, Distractor, Scenario, Scene, sample_scenario
from grace.pipeline.world.settings import WorldSettings
from grace.pipeline.world.timeline import Event, Timeline

SETTINGS = WorldSettings()
PERSON = sample_identity(np.random.default_rng(5))


def scenarios(label: str, count: int, seed: int = 0) -> list[Scenario]:
    return [sample_scenario(np.random.default_rng((seed, n)), PERSON, label, SETTINGS) for n in range(count)]


def still(*distractors: Distractor, events: tuple[Event, ...] = (), scenes: int = 1) -> Scenario:
    """A clip of two seconds with nothing but these distractors and events."""
    scene = Scene(0.0, 0.5, 0.52, 0.30, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1)
    later = Scene(1.0, 0.4, 0.5, 0.34, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 2)
    return Scenario("a", 0, "neutral", Timeline(events, 2.0), (scene, later)[:scenes], distractors, 7)


def test_the_same_seed_gives_the_same_script() -> None:
    assert scenarios("fear", 5) == scenarios("fear", 5)
    assert scenarios("fear", 5) != scenarios("fear", 5, seed=1)


def test_events_lie_inside_the_clip_in_order() -> None:
    for label in WORLD_LABELS:
        for scenario in scenarios(label, 60):
            for event in scenario.timeline.events:
                assert 0 <= event.onset <= event.apex_start <= event.apex_end <= event.offset <= scenario.duration
                assert 0.25 <= event.intensity <= 1.0


def test_peaks_are_seen_at_eight_even_instants() -> None:
    seen = []
    for label in WORLD_LABELS:
        for scenario in scenarios(label, 80):
            times = (np.arange(8) + 0.5) / 8 * scenario.duration
            peaks = scenario.timeline.intensities(times).max(0)
            wanted = {event.action: event.intensity for event in scenario.timeline.events}
            order = scenario.timeline.intensities(np.linspace(0, scenario.duration, 400)).max(0)
            seen += [peak / best for peak, best in zip(peaks, order, strict=True) if best > 0]
            assert (order > 0).sum() == len(wanted)
    assert np.mean(np.array(seen) > 0.8) > 0.95


def test_an_emotion_shows_its_prototype_more_than_any_other() -> None:
    for label in WORLD_LABELS:
        if not PROTOTYPES[label]:
            continue
        shown = [{event.action for event in scenario.timeline.events} for scenario in scenarios(label, 200)]
        leading = max(PROTOTYPES[label], key=lambda part: part.chance)
        share = np.mean([any(name == action_name(leading.unit) for name in clip) for clip in shown])
        assert share > 0.65


def action_name(unit: int) -> str:
    from grace.pipeline.world.actions import BY_UNIT

    return BY_UNIT[unit].name


CLIPS = 500


@pytest.fixture(scope="module")
def by_label() -> list[list[Scenario]]:
    """Many scenarios of every label, each with random numbers of its own."""
    return [scenarios(label, CLIPS, seed=100 + n) for n, label in enumerate(WORLD_LABELS)]


@pytest.mark.parametrize("kind", [*CHANCES, "blink"])
def test_a_distractor_is_independent_of_the_label(kind: str, by_label: list[list[Scenario]]) -> None:
    """Chi-square with 6 degrees of freedom: 22.5 is passed by chance once in a thousand."""
    observed = [
        sum(any(item.kind == kind for item in scenario.distractors) for scenario in clips) for clips in by_label
    ]
    expected = np.mean(observed)
    free = sum((value - expected) ** 2 / expected + (value - expected) ** 2 / (CLIPS - expected) for value in observed)
    assert free < 22.5


def test_the_scene_does_not_depend_on_the_label(by_label: list[list[Scenario]]) -> None:
    brightness = [np.mean([scenario.scenes[0].gain for scenario in clips]) for clips in by_label]
    assert np.ptp(brightness) < 0.03


def test_difficulty_zero_has_no_distractors_but_blinks() -> None:
    easy = WorldSettings(difficulty=0.0)
    for n in range(20):
        scenario = sample_scenario(np.random.default_rng(n), PERSON, "anger", easy)
        assert {item.kind for item in scenario.distractors} <= {"blink"}


@pytest.mark.parametrize(
    ("kind", "field"), [("yaw", "yaw"), ("pitch", "pitch"), ("roll", "roll"), ("blink", "blink"), ("speech", "speech")]
)
def test_a_distractor_moves_what_it_names(kind: str, field: str) -> None:
    times = np.linspace(0.05, 1.95, 60)
    calm = np.array([getattr(state.pose, field) for state in frame_states(still(), times, 224, 25.0)])
    busy = frame_states(still(Distractor(kind, 0.2, 1.8, 1.0)), times, 224, 25.0)
    assert np.abs(np.array([getattr(state.pose, field) for state in busy]) - calm).max() > 0.1


@pytest.mark.parametrize("kind", ["shake", "flicker", "light", "subtitle", "hand", "hair", "background", "gaze"])
def test_a_distractor_changes_the_picture_but_not_the_expression(kind: str) -> None:
    times = np.array([0.5, 1.0, 1.3])
    plain, truth = render_instants(still(), PERSON, SETTINGS, times)
    other, same = render_instants(still(Distractor(kind, 0.0, 2.0, 1.0)), PERSON, SETTINGS, times)
    assert np.abs(plain.astype(int) - other).mean() > 0.05
    assert np.array_equal(truth.intensities, same.intensities)


def test_a_cut_is_flagged_on_the_first_frame_of_the_new_scene() -> None:
    scenario = still(Distractor("cut", 1.0, 1.0, 1.0), scenes=2)
    truth = measure(scenario, PERSON, SETTINGS, frame_times(scenario, SETTINGS))
    assert np.flatnonzero(truth.cut).tolist() == [25]
    assert truth.rigid[24, 3] == pytest.approx(1.0) and truth.rigid[25, 3] == pytest.approx(0.34 / 0.30)


def test_a_frame_depends_on_its_time_only() -> None:
    scenario = scenarios("surprise", 3)[2]
    times = frame_times(scenario, SETTINGS)
    whole, truth = render_instants(scenario, PERSON, SETTINGS, times[:30])
    some, part = render_instants(scenario, PERSON, SETTINGS, times[[7, 22]])
    assert np.array_equal(whole[[7, 22]], some)
    assert np.array_equal(truth.rigid[[7, 22]], part.rigid)
