"""Where words met the face: a transport plan as a picture, a word at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from grace.pipeline.media.video import Frame
from grace.pipeline.visualize.contact_sheets import overlay

INSTANTS, CELL, LABEL = 8, 96, 104
"""Instants drawn of a clip; pixels of a crop's side and of a word's label in the picture."""

STOPWORDS = {
    *("a", "an", "the", "and", "or", "then", "while", "as", "that", "this", "it", "its", "they", "is", "are", "be"),
    *("at", "by", "for", "from", "in", "into", "of", "on", "to", "with"),
}
"""Words that name nothing to be seen."""

Plan = Float[np.ndarray, "text instants patches"]


@dataclass(frozen=True)
class Word:
    """One word of the text and where its mass went: a share of each patch of each instant, summing to 1."""

    text: str
    mass: Float[np.ndarray, "instants patches"]


def merge_subwords(
    pieces: Sequence[str], sentence: Int[np.ndarray, " text"], mask: Bool[np.ndarray, " text"], plan: Plan
) -> list[Word]:
    """The words that token pieces spell, each with the mass of its pieces.

    ``</w>`` ends a word of CLIP's tokenizer, ``▁`` begins one of SentencePiece's. Words of one spelling are one word;
    pieces that spell no letters, and special tokens, are left out.
    """
    mass: dict[str, Float[np.ndarray, "instants patches"]] = {}
    start = 0
    for end, piece in enumerate(pieces):
        if not mask[end]:
            break
        following = pieces[end + 1] if end + 1 < len(pieces) and sentence[end + 1] == sentence[end] else "▁"
        spells = any(letter.isalpha() for letter in following.removesuffix("</w>"))
        if piece.endswith("</w>") or piece.startswith("<") or following.startswith(("▁", "<")) or not spells:
            word = "".join(pieces[start : end + 1]).replace("</w>", "").replace("▁", "")
            if word.isalpha():
                mass[word] = mass.get(word, 0.0) + plan[start : end + 1].sum(axis=0)
            start = end + 1
    return [Word(text, value / max(float(value.sum()), 1e-12)) for text, value in mass.items()]


def most_distinctive(words: Sequence[Word], count: int) -> list[Word]:
    """The ``count`` words whose mass differs most from where words go on average, in the order of the text.

    The difference is the Kullback-Leibler divergence. Words like "and" are left out where there are others.
    """
    words = [word for word in words if word.text not in STOPWORDS] or list(words)
    average = np.mean([word.mass for word in words], axis=0)
    apart = [float((word.mass * np.log((word.mass + 1e-9) / (average + 1e-9))).sum()) for word in words]
    chosen = sorted(np.argsort(apart)[::-1][:count].tolist())
    return [words[index] for index in chosen]


def alignment_sheet(frames: Sequence[Frame], words: Sequence[Word]) -> Frame:
    """Words against patches and time: a row a word, a column an instant, early to late.

    Each crop lies under the word's mass over the average word's, in the colours of :func:`heat` from 0 to the word's
    largest: where a row is bright, the word went there rather than elsewhere. ``frames`` are the T face crops; every
    second one is drawn where there are more than ``INSTANTS``.
    """
    average = np.mean([word.mass for word in words], axis=0)
    shown = range(0, len(frames), -(-len(frames) // INSTANTS))
    rows = [_row([frames[at] for at in shown], word, average, list(shown)) for word in words]
    return np.concatenate(rows, axis=0)


def _row(frames: Sequence[Frame], word: Word, average: Float[np.ndarray, "instants patches"], at: list[int]) -> Frame:
    lift = word.mass / (
        average + 0.05 / average.size
    )  # a patch that no word goes to must not shine by a hair's breadth
    side = round(lift.shape[1] ** 0.5)
    tiles = []
    for frame, values in zip(frames, lift[at].reshape(len(at), side, side), strict=True):
        small = cv2.resize(frame, (CELL, CELL), interpolation=cv2.INTER_AREA)
        tiles.append(cv2.copyMakeBorder(overlay(small, values / lift.max()), 1, 1, 1, 1, cv2.BORDER_CONSTANT))
    label = np.full((CELL + 2, LABEL, 3), 40, dtype=np.uint8)
    cv2.putText(label, word.text, (4, CELL // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return np.concatenate([label, *tiles], axis=1)
