"""Face crops and descriptions to CLIP tokens: every patch, every frame, every word, encoded once (design 4)."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Float16, Int32

from pipeline.errors import ClipError
from pipeline.jpeg import decode_crop
from pipeline.models import model_identity, model_name, require_model
from pipeline.sentences import fit, split_sentences
from pipeline.settings import Tokens
from pipeline.step import Step
from pipeline.store import Row, Schema, failure, fallback
from pipeline.store.schemas import TOKENS

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.encoder import ClipEncoder

Words = tuple[Float16[np.ndarray, "_tokens dim"], Int32[np.ndarray, " _tokens"]]
"""The tokens of one sentence and their vocabulary ids; the last one is the end token, the sentence's embedding."""

Visual = tuple[Float16[np.ndarray, "_time patches dim"], Float16[np.ndarray, "_time dim"]]
"""The patch tokens and class tokens of one clip."""


@dataclass
class TokensStep(Step):
    """A CLIP encodes the frames and the description of each clip.

    Frames of neighbouring clips share batches, and threads decode and resize ahead of the model.
    """

    settings: Tokens
    encoder: ClipEncoder | None = field(default=None, init=False, repr=False)

    name: ClassVar[str] = "tokens"
    version: ClassVar[int] = 1
    schema: ClassVar[Schema] = TOKENS
    folder: ClassVar[str] = "tokens"
    reads: ClassVar[dict[str, tuple[str, ...]]] = {"faces": ("frames",), "descriptions": ("description",)}

    def identity(self) -> dict[str, Any]:
        """The model, its compute dtype as asked for, and what is stored of its tokens."""
        asked = self.settings.model_dump(include={"dtype", "storage", "text_length"})
        return {**asked, "model": model_identity(self.settings.model, self.settings.revision)}

    def open(self) -> None:
        """Load the model. Raises :class:`UserError` when there is none, or no CLIP."""
        if self.encoder is None:
            from pipeline.encoder import ClipEncoder

            asked = self.settings
            source = require_model(asked.model, asked.revision)
            revision = model_identity(asked.model, asked.revision).get("revision")
            self.encoder = ClipEncoder.load(model_name(asked.model), source, revision, asked.dtype, asked.device)

    def shard(self, rows: list[Row]) -> Iterable[Row]:
        """Encode all texts, then all frames; each clip is given out once its last frame is encoded."""
        self.open()
        assert self.encoder is not None
        texts = encode_texts(self.encoder, [row["description"] for row in rows], self.settings.batch)
        for number, visual in encode_clips(self.encoder, [row["frames"] for row in rows], self.settings.batch):
            clip_id = rows[number]["clip_id"]
            if isinstance(visual, ClipError):
                yield failure(clip_id, str(visual))
                continue
            columns, dropped = lay_out(texts[number], self.settings.text_length, visual[0].shape[-1])
            row = {"clip_id": clip_id, "visual": visual[0], "frame": visual[1], **columns, "status": "ok", "error": ""}
            yield (
                fallback(row, f"text_dropped: {dropped} text tokens do not fit tokens.text_length") if dropped else row
            )


def encode_clips(
    encoder: ClipEncoder, clips: Sequence[Sequence[bytes]], batch: int
) -> Iterator[tuple[int, Visual | ClipError]]:
    """Each clip's number and visual tokens, in order; the error of a clip whose crops cannot be decoded.

    Batches hold ``batch`` frames, whatever clips they belong to; only the last one is smaller.
    """
    broken: dict[int, ClipError] = {}
    pieces: list[list[Visual]] = [[] for _ in clips]
    given = 0
    for owners, pixels in _batches(encoder, clips, batch, broken):
        patches, classes = (_stored(tokens) for tokens in encoder.images(pixels))
        start = 0
        for number, run in groupby(owners):
            end = start + len(list(run))
            pieces[number].append((patches[start:end], classes[start:end]))
            start = end
        while given < owners[-1]:  # frames come in order, so all clips before this one are complete
            yield given, _joined(pieces, broken, given)
            given += 1
    for number in range(given, len(clips)):
        yield number, _joined(pieces, broken, number)


def _batches(
    encoder: ClipEncoder, clips: Sequence[Sequence[bytes]], batch: int, broken: dict[int, ClipError]
) -> Iterator[tuple[list[int], Tensor]]:
    """Prepared frames and the clips they belong to; threads stay up to two batches ahead of the model."""
    import torch

    frames = ((number, content) for number, clip in enumerate(clips) for content in clip)
    # On a CPU the model has all cores itself: one thread keeps up with it, more would only get in its way.
    threads = 1 if encoder.model.device.type == "cpu" else min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[tuple[int, Future[Tensor]]] = deque()
        owners: list[int] = []
        pixels: list[Tensor] = []
        while True:
            for number, content in islice(frames, 2 * batch - len(ahead)):
                ahead.append((number, pool.submit(lambda content: encoder.prepare(decode_crop(content)), content)))
            if not ahead:
                break
            number, future = ahead.popleft()
            try:
                pixels.append(future.result())
                owners.append(number)
            except ClipError as error:
                broken.setdefault(number, error)
            if len(owners) == batch:
                yield owners, torch.stack(pixels)
                owners, pixels = [], []
        if owners:
            yield owners, torch.stack(pixels)


def _joined(pieces: list[list[Visual]], broken: dict[int, ClipError], number: int) -> Visual | ClipError:
    """The tokens of one clip, taken out of ``pieces``."""
    mine, pieces[number] = pieces[number], []
    if number in broken:
        return broken[number]
    if not mine:
        return ClipError("the clip has no face crops: run the faces stage again for it")
    patches, classes = zip(*mine, strict=True)
    return np.concatenate(patches), np.concatenate(classes)


def encode_texts(encoder: ClipEncoder, descriptions: Sequence[str], batch: int) -> list[list[Words]]:
    """The tokens of each description, sentence by sentence; sentences too long for the model come in parts."""
    parts = [
        (number, part)
        for number, description in enumerate(descriptions)
        for sentence in split_sentences(description)
        for part in fit(sentence, encoder.room, encoder.count)
    ]
    words: dict[int, Words] = {}
    order = sorted(range(len(parts)), key=lambda place: len(parts[place][1]))  # like lengths waste no padding
    for start in range(0, len(order), batch):
        places = order[start : start + batch]
        tokens, ids, kept = encoder.texts([parts[place][1] for place in places])
        values, numbers, mask = _stored(tokens), ids.cpu().numpy().astype(np.int32), kept.cpu().numpy()
        for row, place in enumerate(places):
            words[place] = values[row][mask[row]], numbers[row][mask[row]]
    encoded: list[list[Words]] = [[] for _ in descriptions]
    for place, (number, _) in enumerate(parts):
        encoded[number].append(words[place])
    return encoded


def lay_out(sentences: Sequence[Words], length: int, dim: int) -> tuple[dict[str, np.ndarray], int]:
    """The text columns of one clip, and how many tokens did not fit into ``length``.

    Sentences lie one after another, each ending in its end token; where the last one that fits is cut, its end token
    is kept in place of a word, for it still holds the whole sentence.
    """
    columns = {
        "text": np.zeros((length, dim), np.float16),
        "text_mask": np.zeros(length, bool),
        "text_id": np.zeros(length, np.int32),
        "sentence": np.full(length, -1, np.int16),
    }
    at, total = 0, sum(len(ids) for _, ids in sentences)
    for place, (tokens, ids) in enumerate(sentences):
        room = length - at
        if room <= 0:
            break
        if len(ids) > room:
            tokens, ids = np.concatenate([tokens[: room - 1], tokens[-1:]]), np.append(ids[: room - 1], ids[-1])
        end = at + len(ids)
        columns["text"][at:end] = tokens
        columns["text_id"][at:end] = ids
        columns["text_mask"][at:end] = True
        columns["sentence"][at:end] = place
        at = end
    return columns, total - at


def _stored(tokens: Tensor) -> np.ndarray:
    """As they are stored: float16, in memory."""
    import torch

    return tokens.to(torch.float16).cpu().numpy()
