"""Frames and sentences through an encoder in full batches, whatever clips and texts they belong to.

Each stage of the encoding hands the next one all that it needs: a batch says which frames of which clips it holds.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from grace.pipeline.errors import ClipError
from grace.pipeline.media.images import decode_crop
from grace.pipeline.sentences import split_to_length
from grace.pipeline.tokens.layout import SentenceTokens, VisualTokens, pooled_to_grid, to_float16

if TYPE_CHECKING:
    from torch import Tensor

    from grace.pipeline.tokens.image_encoder import ImageEncoder
    from grace.pipeline.tokens.text_encoder import TextEncoder

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class FrameRange:
    """Frames ``start`` to ``stop`` (exclusive) of a clip, named by its position among the clips."""

    clip: int
    start: int
    stop: int


@dataclass(frozen=True)
class FrameBatch:
    """Prepared frames that the encoder takes together, in the order of ``ranges``."""

    ranges: tuple[FrameRange, ...]
    pixels: Tensor


@dataclass(frozen=True)
class EncodedBatch:
    """The tokens of a :class:`FrameBatch`."""

    ranges: tuple[FrameRange, ...]
    tokens: VisualTokens


@dataclass(frozen=True)
class UndecodableClip:
    """A clip whose crops cannot be decoded: it passes by the encoder."""

    clip: int
    error: ClipError


def encode_clips(
    encoder: ImageEncoder,
    clips: Sequence[Sequence[bytes]],
    batch: int,
    *,
    grid: int | None = None,
    mirrored: bool = False,
) -> Iterator[VisualTokens | ClipError]:
    """Encode the face crops of some clips, whose frames share batches: only the last batch may be smaller.

    Threads decode and resize from the call on, up to two batches ahead of the model.

    Args:
        encoder: The model.
        clips: The JPEG bytes of each clip's T face crops.
        batch: Frames per batch.
        grid: Patches per side that are wanted, averaged from the model's; all of them if not given.
        mirrored: Whether left and right of each crop are exchanged.

    Returns:
        For each clip, in order: its patch tokens float16 [T, P, D] and class tokens float16 [T, D], or the
        :class:`ClipError` of a clip without crops or with one that cannot be decoded.

    Example:
        >>> import cv2
        >>> from grace.pipeline.tokens.encoder import ClipEncoder
        >>> encoder = ClipEncoder.load("pocket/clip", device="cpu")
        >>> crop = cv2.imencode(".jpg", np.zeros((128, 128, 3), np.uint8))[1].tobytes()
        >>> (patches, classes), error = encode_clips(encoder, [[crop, crop, crop], []], batch=64)
        >>> patches.shape, classes.shape, str(error)
        ((3, 64, 128), (3, 128), 'the clip has no face crops: run the faces stage again for it')
    """
    # On a CPU the model has all cores itself: one thread keeps up with it, more would only get in its way.
    threads = 1 if encoder.model.device.type == "cpu" else min(8, os.cpu_count() or 1)
    lengths = [len(clip) for clip in clips]
    depth = max(threads + 1, math.ceil(2 * batch / max(1, max(lengths, default=1))))
    prepared = _prefetch(lambda clip: _prepare(encoder, clip, mirrored), clips, threads, depth)
    return _in_clip_order(_encode_batches(encoder, _batch_frames(prepared, batch), grid), lengths)


def _prefetch(work: Callable[[Item], Result], items: Iterable[Item], threads: int, depth: int) -> Iterator[Result]:
    """``work`` of each item, in order; the first ``depth`` of them are submitted to ``threads`` when this returns."""
    pool = ThreadPoolExecutor(threads)
    waiting = iter(items)
    running: deque[Future[Result]] = deque(pool.submit(work, item) for item in islice(waiting, depth))

    def results() -> Iterator[Result]:
        with pool:
            while running:
                done = running.popleft().result()
                running.extend(pool.submit(work, item) for item in islice(waiting, 1))
                yield done

    return results()


def _prepare(encoder: ImageEncoder, clip: Sequence[bytes], mirrored: bool) -> Tensor | ClipError:
    """The frames of a clip as the model takes them."""
    import torch

    if not clip:
        return ClipError("the clip has no face crops: run the faces stage again for it")
    try:
        crops = [decode_crop(content) for content in clip]
        if mirrored:
            crops = [np.ascontiguousarray(crop[:, ::-1]) for crop in crops]
        return torch.stack([encoder.prepare(crop) for crop in crops])
    except ClipError as error:
        return error


def _batch_frames(prepared: Iterable[Tensor | ClipError], size: int) -> Iterator[FrameBatch | UndecodableClip]:
    """The frames of all clips in batches of ``size``; clips that cannot be decoded as soon as that is known."""
    import torch

    ranges: list[FrameRange] = []
    pixels: list[Tensor] = []
    free = size
    for clip, frames in enumerate(prepared):
        if isinstance(frames, ClipError):
            yield UndecodableClip(clip, frames)
            continue
        start = 0
        while start < len(frames):
            stop = min(start + free, len(frames))
            ranges.append(FrameRange(clip, start, stop))
            pixels.append(frames[start:stop])
            free -= stop - start
            start = stop
            if not free:
                yield FrameBatch(tuple(ranges), torch.cat(pixels))
                ranges, pixels, free = [], [], size
    if ranges:
        yield FrameBatch(tuple(ranges), torch.cat(pixels))


def _encode_batches(
    encoder: ImageEncoder, batches: Iterable[FrameBatch | UndecodableClip], grid: int | None
) -> Iterator[EncodedBatch | UndecodableClip]:
    """The tokens of each batch, in memory.

    A batch is fetched once the next one is on its way, so that a GPU, which computes while Python goes on, never waits.
    """
    under_way: tuple[tuple[FrameRange, ...], tuple[Tensor, Tensor]] | None = None
    for batch in batches:
        if isinstance(batch, UndecodableClip):
            yield batch
            continue
        patches, classes = encoder.images(batch.pixels)
        tokens = pooled_to_grid(patches, grid), classes
        if under_way is not None:
            yield _fetch(*under_way)
        under_way = batch.ranges, tokens
    if under_way is not None:
        yield _fetch(*under_way)


def _fetch(ranges: tuple[FrameRange, ...], tokens: tuple[Tensor, Tensor]) -> EncodedBatch:
    """Tokens from the device into memory, once they are computed."""
    patches, classes = tokens
    return EncodedBatch(ranges, (to_float16(patches), to_float16(classes)))


def _in_clip_order(
    encoded: Iterable[EncodedBatch | UndecodableClip], lengths: Sequence[int]
) -> Iterator[VisualTokens | ClipError]:
    """Each clip with all of its frames, or its error; ``lengths`` are the frames of each."""
    parts: dict[int, list[VisualTokens]] = {}
    done: dict[int, VisualTokens | ClipError] = {}
    due = 0
    for batch in encoded:
        if isinstance(batch, UndecodableClip):
            done[batch.clip] = batch.error
        else:
            for frames, tokens in _by_range(batch):
                parts.setdefault(frames.clip, []).append(tokens)
                if frames.stop == lengths[frames.clip]:
                    done[frames.clip] = _joined(parts.pop(frames.clip))
        while due in done:
            yield done.pop(due)
            due += 1


def _by_range(batch: EncodedBatch) -> Iterator[tuple[FrameRange, VisualTokens]]:
    """Each range of a batch with its part of the tokens."""
    patches, classes = batch.tokens
    start = 0
    for frames in batch.ranges:
        stop = start + frames.stop - frames.start
        yield frames, (patches[start:stop], classes[start:stop])
        start = stop


def _joined(parts: Sequence[VisualTokens]) -> VisualTokens:
    return np.concatenate([patches for patches, _ in parts]), np.concatenate([classes for _, classes in parts])


def encode_texts(encoder: TextEncoder, texts: Sequence[Sequence[str]], batch: int) -> list[list[SentenceTokens]]:
    """Encode texts sentence by sentence; sentences too long for the model are split into parts.

    Args:
        encoder: The model.
        texts: The sentences of each text.
        batch: Sentences per batch; sentences of similar length share one.

    Returns:
        For each text the tokens float16 [n, D] and vocabulary ids int32 [n] of each of its sentences. The last token of
        a sentence is the end token, whose embedding stands for the whole sentence.

    Example:
        >>> from grace.pipeline.tokens.encoder import ClipEncoder
        >>> encoder = ClipEncoder.load("pocket/clip", device="cpu")
        >>> (sentences,) = encode_texts(encoder, [["The brows rise.", "The lips part."]], batch=64)
        >>> [tokens.shape for tokens, _ in sentences]
        [(5, 128), (5, 128)]
    """
    parts = [
        (number, part)
        for number, sentences in enumerate(texts)
        for sentence in sentences
        for part in split_to_length(sentence, encoder.max_text_tokens, encoder.count)
    ]
    by_part: dict[int, SentenceTokens] = {}
    order = sorted(range(len(parts)), key=lambda index: len(parts[index][1]))  # similar lengths waste no padding
    for start in range(0, len(order), batch):
        indices = order[start : start + batch]
        tokens, ids, counts = encoder.texts([parts[index][1] for index in indices])
        values, numbers, mask = to_float16(tokens), ids.cpu().numpy().astype(np.int32), counts.cpu().numpy()
        for row, index in enumerate(indices):
            by_part[index] = values[row][mask[row]], numbers[row][mask[row]]
    encoded: list[list[SentenceTokens]] = [[] for _ in texts]
    for index, (number, _) in enumerate(parts):
        encoded[number].append(by_part[index])
    return encoded
