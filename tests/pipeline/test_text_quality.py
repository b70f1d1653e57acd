"""Texts that cannot be used are distinguished from short, repetitive or odd ones that can."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from grace.pipeline.text.quality import english, looping, refusing, rejection_reason
from grace.pipeline.world.actions import ACTIONS


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("the lips part " * 6, True),
        ("At first the brows rise. Then " + "yes " * 12, True),
        ("the left eye closes and the right eye closes and the lips part and the jaw drops", False),
        ("very very very strongly", False),
        ("", False),
        (" ".join(f"word{k % 20}" for k in range(100)), True),
    ],
)
def test_endless_repeats_are_distinguished_from_common_ones(text: str, loops: bool) -> None:
    assert looping(text) is loops


@pytest.mark.parametrize(
    ("text", "refuses"),
    [
        ("I'm sorry, but I can't help with identifying people.", True),
        ("I cannot describe this person's face.", True),
        ("As an AI, I have no eyes.", True),
        ("Unfortunately, I am unable to see the pictures.", True),
        ("I can see that the brows rise.", False),
        ("The lips form a sorry smile, as if to say: I cannot help.", False),
    ],
)
def test_refusals_are_recognised_by_how_they_begin(text: str, refuses: bool) -> None:
    assert refusing(text) is refuses


@pytest.mark.parametrize(
    ("text", "is_english"),
    [
        ("At first the brows rise slightly. Then the lips part.", True),
        ("Brows rise, eyes widen.", True),
        ("这个人的眉毛微微抬起，嘴巴张开。", False),
        ("Сначала брови слегка поднимаются.", False),
        ("Les sourcils se lèvent légèrement, puis la bouche s'ouvre et les lèvres s'étirent.", False),
        ("Die Augenbrauen heben sich leicht und der Mund öffnet sich dann ein wenig weiter.", False),
        ("Las cejas se levantan ligeramente y luego la boca se abre un poco más.", False),
    ],
)
def test_other_languages_are_distinguished_from_english(text: str, is_english: bool) -> None:
    assert english(text) is is_english


def test_what_the_world_says_of_its_actions_is_accepted() -> None:
    for action in ACTIONS:
        assert rejection_reason(f"{action.subject} {action.verb}") == ""


def test_a_real_models_captions_are_accepted(shared: Path) -> None:
    files = sorted((shared / "captions").glob("*.csv"))
    texts = [row["text"] for file in files for row in csv.DictReader(file.open(encoding="utf-8", newline=""))]
    assert len(texts) > 1000
    assert [text for text in texts if rejection_reason(text)] == []
