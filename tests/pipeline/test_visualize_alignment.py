"""Words of a plan: spelled by their pieces, whichever tokenizer cut them, each with the mass of its pieces."""

from __future__ import annotations

import numpy as np
import pytest

from grace.pipeline.visualize.alignment import alignment_sheet, merge_subwords, most_distinctive
from grace.pipeline.visualize.sheet_layout import HEAD, LINE

CLIP = ["<|startoftext|>", "lips</w>", "fur", "row</w>", ".</w>", "<|endoftext|>", "<|startoftext|>", "lips</w>", "pad"]
SENTENCEPIECE = ["▁lip", "s", "▁fur", "row", ".", "</s>", "▁lips", "</s>", "<pad>"]


@pytest.mark.parametrize(
    ("pieces", "sentence", "expected"),
    [
        (CLIP, [0, 0, 0, 0, 0, 0, 1, 1, -1], {"lips": [1, 7], "furrow": [2, 3]}),
        (SENTENCEPIECE, [0, 0, 0, 0, 0, 0, 1, 1, -1], {"lips": [0, 1, 6], "furrow": [2, 3]}),
    ],
)
def test_a_word_has_the_mass_of_its_pieces(
    pieces: list[str], sentence: list[int], expected: dict[str, list[int]]
) -> None:
    plan = np.random.default_rng(0).random((9, 2, 4))
    mask = np.arange(9) < 8
    found = {word.text: word.mass for word in merge_subwords(pieces, np.array(sentence), mask, plan)}
    for text, places in expected.items():
        mass = plan[places].sum(0)
        assert np.allclose(found[text], mass / mass.sum())
    assert all(text.isalpha() for text in found)


def test_words_that_go_where_all_go_are_not_picked_and_the_sheet_shows_the_others_in_order() -> None:
    plan = np.full((3, 4, 16), 1 / 64)
    plan[0, :, :2] += 0.5
    plan[2, :, -2:] += 0.5
    words = merge_subwords(["brows</w>", "and</w>", "mouth</w>"], np.zeros(3, int), np.ones(3, bool), plan)
    picked = most_distinctive(words, 2)
    assert [word.text for word in picked] == ["brows", "mouth"]
    frames = [np.full((64, 64, 3), 128, np.uint8)] * 4
    sheet = alignment_sheet(frames, picked)
    brows, mouth = np.split(sheet[HEAD + LINE :, 104:].astype(float), 2)
    assert brows[: len(brows) // 4].std() > mouth[: len(mouth) // 4].std()
    assert mouth[-len(mouth) // 4 :].std() > brows[-len(brows) // 4 :].std()
