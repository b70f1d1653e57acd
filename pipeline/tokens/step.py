"""Face crops and texts to CLIP tokens: every patch, every frame, every word, encoded once (design 4)."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from jaxtyping import Float16, Int32

from grace.pipeline.checkpoints import model_cache_key, model_name, require_model
from grace.pipeline.errors import ClipError, UserError
from grace.pipeline.execution.step import Step
from grace.pipeline.media.images import decode_crop
from grace.pipeline.store import Row, Schema, failure, fallback, finite
from grace.pipeline.store.schemas import TOKENS
from grace.pipeline.text.sentences import split_sentences, split_to_length
from grace.pipeline.tokens.compression import quantize_row, select_patches
from grace.pipeline.tokens.settings import TokensSettings

if TYPE_CHECKING:
    from torch import Tensor

    from grace.pipeline.tokens.encoder import ClipEncoder

Words = tuple[Float16[np.ndarray, "_tokens dim"], Int32[np.ndarray, " _tokens"]]
"""The tokens of one sentence and their vocabulary ids; the last one is the end token, the sentence's embedding."""

Visual = tuple[Float16[np.ndarray, "_time patches dim"], Float16[np.ndarray, "_time dim"]]
"""The patch tokens and class tokens of some frames, or of one clip."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def tokens_step(settings: TokensSettings) -> TokensStep:
    """The step of these settings."""
    return TokensStep(settings) if settings.keep is None else SparseTokensStep(settings)


@dataclass
class TokensStep(Step):
    """A CLIP encodes the frames and the description (or the coarse caption) of each clip.

    Frames of neighbouring clips share batches, and threads decode and resize ahead of the model. While one shard is
    encoded, the next one is read and decoded and the last one written, so that the model never waits.
    """

    settings: TokensSettings
    encoder: ClipEncoder | None = field(default=None, init=False, repr=False)

    name: ClassVar[str] = "tokens"
    version: ClassVar[int] = 1
    schema: ClassVar[Schema] = TOKENS
    folder: ClassVar[str] = "tokens"
    prefetch_clips = 1
    reads: ClassVar[dict[str, tuple[str, ...]]] = {"faces": ("frames",), "descriptions": ("description", "caption")}

    def cache_key(self) -> dict[str, Any]:
        """The model, its compute dtype as asked for, which text, and what is stored of the tokens."""
        asked = self.settings.model_dump(include={"dtype", "storage", "text", "text_length", "keep"})
        return {**asked, "model": model_cache_key(self.settings.model, self.settings.revision)}

    def open(self) -> None:
        """Load the model. Raises :class:`UserError` when there is none, or none of CLIP's family."""
        if self.encoder is None:
            from grace.pipeline.tokens.encoder import ClipEncoder

            asked = self.settings
            source = require_model(asked.model, asked.revision)
            revision = model_cache_key(asked.model, asked.revision).get("revision")
            self.encoder = ClipEncoder.load(model_name(asked.model), source, revision, asked.dtype, asked.device)

    def shard(self, rows: list[Row]) -> Iterable[Row]:
        """Encode all texts, then all frames; each clip is given out once its last frame is encoded."""
        self.open()
        assert self.encoder is not None
        clips = encode_clips(self.encoder, [row["frames"] for row in rows], self.settings.batch)
        with self.encoder.lock:
            texts = encode_texts(self.encoder, [row[self.settings.text] for row in rows], self.settings.batch)
            for row, words, visual in zip(rows, texts, clips, strict=True):
                if isinstance(visual, ClipError):
                    yield failure(row["clip_id"], str(visual))
                else:
                    yield self._row(row, visual, words)

    def _row(self, row: Row, visual: Visual, words: Sequence[Words]) -> Row:
        text, dropped = pack_text(words, self.settings.text_length, visual[0].shape[-1])
        made = {"clip_id": row["clip_id"], "status": "ok", "error": "", **self.select(row, visual), **text}
        if not all(finite(made[name]) for name in ("visual", "frame", "text")):
            return failure(row["clip_id"], "the model gave NaN or infinite tokens: set tokens.dtype to float32")
        if self.settings.storage == "int8":
            made = quantize_row(made)
        if dropped:
            return fallback(made, f"text_dropped: {dropped} text tokens do not fit tokens.text_length")
        return made

    def select(self, row: Row, visual: Visual) -> Row:
        """The visual columns of a clip: here, all patches."""
        return {"visual": visual[0], "frame": visual[1]}


@dataclass
class SparseTokensStep(TokensStep):
    """The same with ``tokens.keep`` patches a frame, which takes knowing where the face moves."""

    reads: ClassVar[dict[str, tuple[str, ...]]] = {**TokensStep.reads, "motion": ("motion",)}

    def select(self, row: Row, visual: Visual) -> Row:
        """The visual columns of a clip: the patches with most motion and saliency, and their places."""
        patches, classes = visual
        keep, side = self.settings.keep, round(patches.shape[1] ** 0.5)
        assert keep is not None
        if keep >= patches.shape[1]:
            raise UserError(
                f"tokens.keep is {keep}, and the model has {patches.shape[1]} patches a frame: leave it out, or keep "
                "fewer."
            )
        kept, place = select_patches(patches, classes, row["motion"], keep)
        return {"visual": kept, "frame": classes, "place": place, "grid": np.array([side, side], np.int16)}


def encode_clips(encoder: ClipEncoder, clips: Sequence[Sequence[bytes]], batch: int) -> Iterator[Visual | ClipError]:
    """Each clip's visual tokens, in order; the error of a clip whose crops cannot be decoded.

    Batches hold ``batch`` frames, whatever clips they belong to; only the last one is smaller. Threads decode and
    resize from the call on, up to two batches ahead of the model.
    """
    # On a CPU the model has all cores itself: one thread keeps up with it, more would only get in its way.
    threads = 1 if encoder.model.device.type == "cpu" else min(8, os.cpu_count() or 1)
    longest = max((len(clip) for clip in clips), default=1)
    depth = max(threads + 1, -(-2 * batch // max(1, longest)))
    return _encoded(encoder, _prefetch(lambda clip: _prepared(encoder, clip), clips, threads, depth), batch)


def _prefetch(work: Callable[[Item], Result], items: Iterable[Item], threads: int, depth: int) -> Iterator[Result]:
    """``work`` of each item, in order; ``threads`` have begun on the first ``depth`` of them when this returns."""
    pool = ThreadPoolExecutor(threads)
    waiting = iter(items)
    begun: deque[Future[Result]] = deque(pool.submit(work, item) for item in islice(waiting, depth))

    def results() -> Iterator[Result]:
        with pool:
            while begun:
                done = begun.popleft().result()
                begun.extend(pool.submit(work, item) for item in islice(waiting, 1))
                yield done

    return results()


def _prepared(encoder: ClipEncoder, clip: Sequence[bytes]) -> Tensor | ClipError:
    """The frames of a clip as the model takes them."""
    import torch

    if not clip:
        return ClipError("the clip has no face crops: run the faces stage again for it")
    try:
        return torch.stack([encoder.prepare(decode_crop(content)) for content in clip])
    except ClipError as error:
        return error


def _encoded(encoder: ClipEncoder, prepared: Iterable[Tensor | ClipError], batch: int) -> Iterator[Visual | ClipError]:
    """What becomes of each prepared clip. Frames come out of the model in the order in which they went in."""
    lengths: deque[int | ClipError] = deque()

    def frames() -> Iterator[Tensor]:
        for clip in prepared:
            lengths.append(clip if isinstance(clip, ClipError) else len(clip))
            if not isinstance(clip, ClipError):
                yield clip

    blocks: deque[Visual] = deque()
    count = 0
    for block in _encode_batches(encoder, _batches(frames(), batch)):
        blocks.append(block)
        count += len(block[1])
        while lengths and (isinstance(lengths[0], ClipError) or lengths[0] <= count):
            length = lengths.popleft()
            if isinstance(length, ClipError):
                yield length
            else:
                count -= length
                yield _take_frames(blocks, length)
    yield from (length for length in lengths if isinstance(length, ClipError))  # of the last clips, none is left


def _batches(clips: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """The frames of all clips in batches of ``size``."""
    import torch

    held: list[Tensor] = []
    room = size
    for clip in clips:
        while len(clip) >= room:
            yield torch.cat([*held, clip[:room]])
            clip, held, room = clip[room:], [], size
        held.append(clip)
        room -= len(clip)
    if room < size:
        yield torch.cat(held)


def _encode_batches(encoder: ClipEncoder, batches: Iterable[Tensor]) -> Iterator[Visual]:
    """The tokens of each batch, in memory.

    A batch is fetched once the next one is on its way, so that a GPU, which computes while Python goes on, never waits.
    """
    last: tuple[Tensor, Tensor] | None = None
    for pixels in batches:
        tokens = encoder.images(pixels)
        if last is not None:
            yield _to_float16(last[0]), _to_float16(last[1])
        last = tokens
    if last is not None:
        yield _to_float16(last[0]), _to_float16(last[1])


def _take_frames(blocks: deque[Visual], length: int) -> Visual:
    """The first ``length`` frames, taken out of ``blocks``."""
    parts: list[Visual] = []
    while length:
        patches, classes = blocks.popleft()
        parts.append((patches[:length], classes[:length]))
        if len(classes) > length:
            blocks.appendleft((patches[length:], classes[length:]))
        length -= len(parts[-1][1])
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def encode_texts(encoder: ClipEncoder, descriptions: Sequence[str], batch: int) -> list[list[Words]]:
    """The tokens of each description, sentence by sentence; sentences too long for the model come in parts."""
    parts = [
        (number, part)
        for number, description in enumerate(descriptions)
        for sentence in split_sentences(description)
        for part in split_to_length(sentence, encoder.max_text_tokens, encoder.count)
    ]
    words: dict[int, Words] = {}
    order = sorted(range(len(parts)), key=lambda place: len(parts[place][1]))  # like lengths waste no padding
    for start in range(0, len(order), batch):
        places = order[start : start + batch]
        tokens, ids, kept = encoder.texts([parts[place][1] for place in places])
        values, numbers, mask = _to_float16(tokens), ids.cpu().numpy().astype(np.int32), kept.cpu().numpy()
        for row, place in enumerate(places):
            words[place] = values[row][mask[row]], numbers[row][mask[row]]
    encoded: list[list[Words]] = [[] for _ in descriptions]
    for place, (number, _) in enumerate(parts):
        encoded[number].append(words[place])
    return encoded


def pack_text(sentences: Sequence[Words], length: int, dim: int) -> tuple[dict[str, np.ndarray], int]:
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


def _to_float16(tokens: Tensor) -> np.ndarray:
    """As they are stored: float16, in memory."""
    import torch

    return tokens.to(torch.float16).cpu().numpy()
