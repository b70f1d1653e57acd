"""Cues say what a model means: degree words are skipped, and what means two things means none."""

from __future__ import annotations

import json

import pytest

from grace.pipeline.text.cues import read_answer
from grace.pipeline.text.meanings import intensity_meant, phase_meant
from tests.support.texts import CUE

INTENSITIES = {
    "slightly": (
        "very slightly",
        "Very slight",
        "extremely subtle",
        "barely visible",
        "faintly visible",
        "a little",
        "hardly noticeable",
        "low intensity",
        "quite mild",
        "so very weak",
        "minimal",
        "slightly",
    ),
    "clearly": ("clearly visible", "moderate", "fairly moderate", "visible", "noticeable", "very distinct", "medium"),
    "strongly": (
        "very strongly",
        "extreme",
        "very",
        "high intensity",
        "intense",
        "noticeably stronger",
        "wide",
        "increasingly strong",
        "somewhat strongly",
        "pronounced",
        "marked",
    ),
}
NO_INTENSITY = [
    "slight to moderate",
    "moderately strong",
    "not strong",
    "isn't clear",
    "medium-high",
    "0.8",
    "3/5",
    "n/a",
]
NO_INTENSITY += [
    "slightly, then strongly",
    "lowered",
    "",
    "strong?",
    "not at all slightly",
    "weak or strong",
    None,
    3,
    ["slightly"],
]
NO_INTENSITY += ["less intense", "less pronounced", "lower than strong", "less than clearly", "below strong"]
NO_INTENSITY += ["decreasingly strong", "anything but strong", "at least moderate", "lacking strong movement"]

PHASES = {
    "onset": (
        "rising",
        "starting",
        "starting to rise",
        "begins to rise",
        "late onset",
        "just starting",
        "early",
        "builds",
    ),
    "apex": (
        "fully formed",
        "full apex",
        "peak",
        "held",
        "apex (peak)",
        "fully",
        "at its peak",
        "sustained",
        "Peaks",
        "fully developed",
        "fully grown",
        "fully emerged",
        "fully risen",
    ),
    "offset": (
        "fully relaxed",
        "starting to fade",
        "beginning to relax",
        "early offset",
        "completely relaxed",
        "fades",
        "start to fade",
        "slowly fading",
        "ended",
        "returning to neutral",
        "still relaxing",
        "falling back to neutral",
        "fully released",
    ),
}
PHASES["apex"] += ("fully developed", "fully grown", "fully emerged", "fully risen", "fully built")
PHASES["offset"] += (
    "growing weaker",
    "growing fainter",
    "growing smaller",
    "grows much softer",
    "slowly growing faint",
)
PHASES["offset"] += ("easing off", "easing", "waning", "weakening", "getting weaker", "dying down", "starting to ease")
PHASES["onset"] += ("growing", "growing stronger", "growing larger", "growing more")
NO_PHASE = ["held, easing off", "rising and easing", "rising, then growing weaker", "a peak growing fainter"]
NO_PHASE += ["building, then waning", "easing into it", "held, letting go", "increasing then growing smaller"]
NO_PHASE += [
    "onset to apex",
    "rise and fall",
    "from start to end",
    "start to end",
    "not yet at peak",
    "before the apex",
]
NO_PHASE += [
    "fading in",
    "peaked, then faded",
    "onset/apex",
    "nearly at the peak",
    "mid",
    "",
    "apex?",
    "end of onset",
    None,
    1,
]
NO_PHASE += ["past its peak", "past the apex", "peak is over", "peak passed", "leaving the apex", "beyond the peak"]
NO_PHASE += ["held back", "holding back", "on the way to apex", "on its way to the peak", "leading up to apex"]
NO_PHASE += [
    "stops rising",
    "ceases to build",
    "has stopped growing",
    "finished rising",
    "done building",
    "fails to rise",
]
NO_PHASE += ["moving to the apex", "transition to apex", "short of the peak", "below its maximum", "exiting the hold"]
NO_PHASE += ["losing its hold", "developed", "less than full"]
NO_PHASE += ["fails to rise", "full growth"]


@pytest.mark.parametrize(("meaning", "written"), [(key, each) for key, words in INTENSITIES.items() for each in words])
def test_an_intensity_is_what_its_words_mean(meaning: str, written: str) -> None:
    assert intensity_meant(written) == meaning


@pytest.mark.parametrize(("meaning", "written"), [(key, each) for key, words in PHASES.items() for each in words])
def test_a_phase_is_what_its_words_mean(meaning: str, written: str) -> None:
    assert phase_meant(written) == meaning


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("intensity", value) for value in NO_INTENSITY),
        *(("phase", value) for value in NO_PHASE),
        *(("region", value) for value in ("brows and eyes", "lip/jaw", "face", "", None)),
        *(("action", value) for value in (" ", "none", "N/A", "-", "…", 7, None)),
    ],
)
def test_a_cue_of_no_clear_meaning_is_dropped(field: str, value: object) -> None:
    answer = {"description": "The brows rise.", "cues": [CUE, {**CUE, field: value}]}
    parsed = read_answer(json.dumps(answer))
    assert [cue.model_dump() for cue in parsed.cues] == [CUE]
    assert parsed.dropped == ("1 cue without a known region, action, intensity, phase dropped",)
