"""Where words met the face: a transport plan as a picture, a word at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from pipeline.pictures import heat, overlay, titled
from pipeline.video import Frame

COLUMNS = 6
STRIP = 10
"""Words a row of the picture; height in pixels of the bar that shows a word's mass over time."""

Plan = Float[np.ndarray, "text instants patches"]


@dataclass(frozen=True)
class Word:
    """One word of the text and where its mass went: a share of each patch of each instant, summing to 1."""

    text: str
    mass: Float[np.ndarray, "instants patches"]


def words_of(
    pieces: Sequence[str], sentence: Int[np.ndarray, " text"], mask: Bool[np.ndarray, " text"], plan: Plan
) -> list[Word]:
    """The words that CLIP's token pieces spell (``</w>`` ends one), each with the mass of its pieces.

    Words of one spelling are one word; pieces that spell no letters, and special tokens, are left out.
    """
    mass: dict[str, Float[np.ndarray, "instants patches"]] = {}
    start = 0
    for end, piece in enumerate(pieces):
        if not mask[end]:
            break
        last_of_sentence = end + 1 == len(pieces) or sentence[end + 1] != sentence[end]
        if piece.endswith("</w>") or piece.startswith("<|") or last_of_sentence:
            word = "".join(pieces[start : end + 1]).replace("</w>", "")
            if word.isalpha():
                mass[word] = mass.get(word, 0.0) + plan[start : end + 1].sum(axis=0)
            start = end + 1
    return [Word(text, value / max(float(value.sum()), 1e-12)) for text, value in mass.items()]


def pick(words: Sequence[Word], count: int) -> list[Word]:
    """The ``count`` words whose mass differs most from where words go on average, in the order of the text.

    The difference is the Kullback-Leibler divergence: "the" and "and" follow the average, "brows" should not.
    """
    average = np.mean([word.mass for word in words], axis=0)
    apart = [float((word.mass * np.log((word.mass + 1e-9) / (average + 1e-9))).sum()) for word in words]
    chosen = sorted(np.argsort(apart)[::-1][:count].tolist())
    return [words[index] for index in chosen]


def alignment_sheet(frames: Sequence[Frame], words: Sequence[Word]) -> Frame:
    """A tile a word: the crop of the instant that got most of its mass, under that mass over the average word's.

    The bar beneath shows the word's mass over the instants, early to late. ``frames`` are the T face crops.
    """
    average = np.mean([word.mass for word in words], axis=0)
    tiles = [_tile(frames, word, average) for word in words]
    tiles += [np.full_like(tiles[0], 40)] * (-len(tiles) % min(COLUMNS, len(tiles)))
    columns = min(COLUMNS, len(tiles))
    rows = [np.concatenate(tiles[k : k + columns], axis=1) for k in range(0, len(tiles), columns)]
    return np.concatenate(rows, axis=0)


def _tile(frames: Sequence[Frame], word: Word, average: Float[np.ndarray, "instants patches"]) -> Frame:
    lift = word.mass / (average + 1e-9)
    over_time = word.mass.sum(axis=1)
    instant = int((word.mass.sum(axis=1) / (average.sum(axis=1) + 1e-9)).argmax())
    side = round(lift.shape[1] ** 0.5)
    here = lift[instant].reshape(side, side)
    picture = overlay(frames[instant], (here - here.min()) / max(float(here.max() - here.min()), 1e-9))
    bar = cv2.resize(heat(np.tile(over_time / over_time.max(), (2, 1)), 64)[:1], (picture.shape[1], STRIP))
    tile = titled(np.concatenate([picture, bar]), word.text, (255, 255, 255))
    return cv2.copyMakeBorder(tile, 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=(40, 40, 40))
