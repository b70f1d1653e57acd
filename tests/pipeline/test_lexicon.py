"""The word lists of the audit: which movements, emotions and persons a text names."""

from __future__ import annotations

from typing import Any

import pytest

from grace.pipeline.audit.lexicon import actions_in, emotion_words, identity_words, without_emotion_words
from grace.pipeline.world.actions import ACTIONS

ALIKE = {"inner brow raise": "brow raise", "outer brow raise": "brow raise", "lip corner pull": "smile"}
"""Action units that everyday words call otherwise."""


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_the_words_of_the_rendered_world_are_read_as_the_actions_they_mean(action: Any) -> None:
    found = actions_in(f"At first {action.subject} {action.verb} clearly and hold.")
    assert ALIKE.get(action.name, action.name) in found


@pytest.mark.parametrize(
    ("text", "actions"),
    [
        ("Her eyebrows are furrowed, while the lips are pressed into a thin line.", {"brow lower", "lip tighten"}),
        ("The man's wide eyes and slightly open mouth", {"lid raise", "lips part"}),
        ("He raises his eyebrows and smiles broadly.", {"brow raise", "smile"}),
        ("The eyes are fixed; the curtain is wide.", set()),
        ("The room has a raised platform, and the brows are still.", set()),
    ],
)
def test_actions_are_read_clause_by_clause(text: str, actions: set[str]) -> None:
    assert actions_in(text) == actions


@pytest.mark.parametrize(
    ("text", "emotions"),
    [
        ("She looks angry and sad.", {"anger", "sadness"}),
        ("There is no sign of anger in the face, only surprise.", {"surprise"}),
        ("He isn't happy", set()),
        ("What happens next is unclear; the content is dull.", set()),
        ("Unhappy and dissatisfied.", {"sadness", "disappointment"}),
    ],
)
def test_emotions_denied_are_not_claimed(text: str, emotions: set[str]) -> None:
    assert {emotion for emotion, _ in emotion_words(text)} == emotions


def test_emotion_words_can_be_taken_out() -> None:
    assert without_emotion_words("An angry, surprised look.").split() == ["An", ",", "look."]


def test_guesses_at_who_it_is_are_found() -> None:
    assert set(identity_words("The young woman, an old man and the white wall.")) == {
        ("age", "young"),
        ("sex", "woman"),
        ("age", "old man"),
        ("sex", "man"),
    }
