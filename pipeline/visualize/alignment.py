"""A transport plan as a picture: which patches of which instants each word of the text is aligned with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from grace.pipeline.media.images import BGRImage
from grace.pipeline.store import Row
from grace.pipeline.tokens.settings import TokensSettings
from grace.pipeline.tokens.texts import shown_units
from grace.pipeline.visualize.contact_sheets import CAPTION, overlay
from grace.pipeline.visualize.sheet_layout import Scale, framed

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAX_INSTANTS = 8
"""Instants that are drawn at most."""
CELL, LABEL = 96, 104
"""Pixels of a crop's side, and of the width of a word's label."""

STOPWORDS = {
    *("a", "an", "the", "and", "or", "then", "while", "as", "that", "this", "it", "its", "they", "is", "are", "be"),
    *("at", "by", "for", "from", "in", "into", "of", "on", "to", "with"),
}
"""Words that name nothing visible."""

TransportPlan = Float[np.ndarray, "text instants patches"]


@dataclass(frozen=True)
class Word:
    """One word of the text and the patches it is aligned with.

    Attributes:
        text: the word.
        mass: its row of the transport plan, as a share of each patch of each instant; sums to 1.
    """

    text: str
    mass: Float[np.ndarray, "instants patches"]


def merge_subwords(
    pieces: Sequence[str], sentence: Int[np.ndarray, " text"], mask: Bool[np.ndarray, " text"], plan: TransportPlan
) -> list[Word]:
    """The words that a tokenizer's subwords spell, each with the mass of all of them.

    ``</w>`` ends a word of CLIP's tokenizer, ``▁`` begins one of SentencePiece's; :func:`spelled` brings others to
    that. Words of one spelling are one word; subwords that spell no letters, and special tokens, are left out.

    Args:
        pieces: the subwords of a clip's text tokens, as the tokenizer writes them.
        sentence: of each, the sentence it belongs to (``sentence`` of the ``tokens`` store).
        mask: of each, whether it is a token at all (``text_mask`` of the ``tokens`` store).
        plan: the transport plan.

    Returns:
        The words in the order of the text.

    Example:
        >>> plan = np.full((3, 1, 4), 0.25)
        >>> words = merge_subwords(["fur", "row</w>", ".</w>"], np.zeros(3, int), np.ones(3, bool), plan)
        >>> words[0].text, words[0].mass.tolist()
        ('furrow', [[0.25, 0.25, 0.25, 0.25]])
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
    """The words whose alignment differs most from that of the average word.

    Args:
        words: of one text.
        count: how many to return at most.

    Returns:
        In the order of the text, those with the largest Kullback-Leibler divergence from the average; words like
        "and" only where there are no others.

    Example:
        >>> words = [Word(text, np.array([mass])) for text, mass in
        ...          (("brows", [0.9, 0.1]), ("face", [0.5, 0.5]), ("and", [1.0, 0.0]), ("mouth", [0.0, 1.0]))]
        >>> [word.text for word in most_distinctive(words, 2)]
        ['brows', 'mouth']
    """
    words = [word for word in words if word.text not in STOPWORDS] or list(words)
    average = np.mean([word.mass for word in words], axis=0)
    apart = [float((word.mass * np.log((word.mass + 1e-9) / (average + 1e-9))).sum()) for word in words]
    kept = sorted(np.argsort(apart)[::-1][:count].tolist())
    return [words[index] for index in kept]


def aligned_words(row: Row, plan: TransportPlan, settings: TokensSettings) -> list[Word]:
    """The words (or clauses) of a clip's text with their mass, of a plan over its tokens.

    Args:
        row: The clip's ``text_id``, ``sentence`` and ``text_mask``, of L tokens; its texts, where tokens are clauses.
        plan: Transport plan [L, T, P].
        settings: The settings that made the tokens: which text encoder, and what a token stands for.

    Raises:
        UserError: There is no such model.
    """
    if settings.text_unit == "cue":
        units = shown_units(row, settings)[: int(row["text_mask"].sum())]
        return [Word(text, mass / max(float(mass.sum()), 1e-12)) for text, mass in zip(units, plan, strict=False)]
    from grace.pipeline.checkpoints import load_vocabulary

    pieces = spelled(load_vocabulary(*settings.text_model), row["text_id"].tolist())
    return merge_subwords(pieces, row["sentence"], row["text_mask"], plan)


def distinctive_words(row: Row, plan: TransportPlan, settings: TokensSettings, count: int = 12) -> list[Word]:
    """The ``count`` words of :func:`aligned_words` that differ most in where their mass goes.

    Args:
        row: The clip's row, as :func:`aligned_words` reads it.
        plan: Transport plan [L, T, P].
        settings: The settings that made the tokens.
        count: Words at most.

    Returns:
        These words, in the order of the text.

    Raises:
        UserError: There is no such model.
    """
    return most_distinctive(aligned_words(row, plan, settings), count)


def lift(word: Word, average: Float[np.ndarray, "instants patches"]) -> Float[np.ndarray, "instants patches"]:
    """How much more of a word's mass than of the average word's each patch has.

    A patch that no word is aligned with stays dark, however small the average there: hence the addend.
    """
    return word.mass / (average + 0.05 / average.size)


def spelled(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """Subwords as :func:`merge_subwords` takes them, from a tokenizer of CLIP, SentencePiece, WordPiece or GPT."""
    pieces = [tokenizer.id_to_token(number) or "<unknown>" for number in ids]
    special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    if (
        type(tokenizer.model).__name__ == "WordPiece"
    ):  # the only ones that mark what continues a word in the place of what begins one
        pieces = [piece[2:] if piece.startswith("##") else f"▁{piece}" for piece in pieces]
    else:
        pieces = [piece.replace("Ġ", "▁") for piece in pieces]
    return ["<special>" if number in special else piece for number, piece in zip(ids, pieces, strict=True)]


def alignment_sheet(
    crops: Sequence[BGRImage],
    words: Sequence[Word],
    times: Float[np.ndarray, " instants"] | None = None,
    title: str = "where the words' mass goes",
) -> BGRImage:
    """Words against patches and time: one row per word, one column per instant.

    Each crop lies under the word's mass divided by the average word's, in the colours of
    :func:`grace.pipeline.visualize.contact_sheets.heat_map` from 0 to the word's largest: where a row is bright, this
    word is aligned more than others.

    Args:
        crops: the T face crops. Of more than ``MAX_INSTANTS``, evenly spaced ones are drawn.
        words: the rows; their patches form a square grid.
        times: of the instants, in seconds; written above the columns.
        title: of the picture.

    Returns:
        One picture.

    Example:
        >>> crops = [np.zeros((64, 64, 3), np.uint8)] * 4
        >>> words = [Word("brows", np.full((4, 16), 1 / 64)), Word("mouth", np.full((4, 16), 1 / 64))]
        >>> alignment_sheet(crops, words).shape  # 28 + 20 + 2 × (96 + 2) by 104 + 4 × (96 + 2)
        (244, 496, 3)
    """
    average = np.mean([word.mass for word in words], axis=0)
    shown = range(0, len(crops), math.ceil(len(crops) / MAX_INSTANTS))
    rows = [_row([crops[at] for at in shown], word, average, list(shown)) for word in words]
    if times is not None:
        rows.insert(0, _heading([float(times[at]) for at in shown]))
    return framed(np.concatenate(rows, axis=0), title, scale=Scale("least", "most of the word's mass"))


def _heading(times: Sequence[float]) -> BGRImage:
    """The time of each column, a line of its own."""
    strip = np.full((CAPTION, LABEL + len(times) * (CELL + 2), 3), 40, dtype=np.uint8)
    for column, time in enumerate(times):
        place = (LABEL + column * (CELL + 2) + 3, CAPTION - 4)
        cv2.putText(strip, f"{time:.2f} s", place, cv2.FONT_HERSHEY_SIMPLEX, 0.38, (190, 190, 190), 1, cv2.LINE_AA)
    return strip


def _row(
    crops: Sequence[BGRImage], word: Word, average: Float[np.ndarray, "instants patches"], instants: list[int]
) -> BGRImage:
    more = lift(word, average)
    side = round(more.shape[1] ** 0.5)
    tiles = []
    for crop, values in zip(crops, more[instants].reshape(len(instants), side, side), strict=True):
        small = cv2.resize(crop, (CELL, CELL), interpolation=cv2.INTER_AREA)
        tiles.append(cv2.copyMakeBorder(overlay(small, values / more.max()), 1, 1, 1, 1, cv2.BORDER_CONSTANT))
    label = np.full((CELL + 2, LABEL, 3), 40, dtype=np.uint8)
    cv2.putText(label, word.text, (4, CELL // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return np.concatenate([label, *tiles], axis=1)
