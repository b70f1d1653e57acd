"""Reads the cache: tokens and motion of a data set, clip by clip from the disk, never loaded whole.

A :class:`Cache` is all clips of a data set; a :class:`Subset` is some of them, and all that the training loop is given.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from grace.pipeline.store import GraceError, Reader, Row, UserError, finite
from grace.pipeline.store.chain import refuse_outdated
from grace.pipeline.store.schemas import MOTION, TOKENS
from grace.trainer.batch import Batch, Sizes
from grace.trainer.draws import TEXT, VIEW, mirrored, text_counts, with_text
from grace.trainer.provenance import cache_inputs, hashed_inputs, read_clips

TOKEN_COLUMNS = ("visual", "frame", "text", "text_mask", "sentence")
SCALES = ("visual_scale", "frame_scale", "text_scale")
MIRRORED = tuple(f"mirrored_{name}" for name in VIEW)
"""A further view of the clip."""
OTHER_TEXTS = tuple(f"other_{name}" for name in TEXT)
"""Further texts of the clip."""
OPTIONAL_COLUMNS = (*SCALES, "patch_index", "grid")
MOTION_COLUMNS = ("motion",)
POOLED_BATCHES = 8
"""Batches whose clips are sorted by length of text together."""


class Cache:
    """All clips of a data set with their tokens and motion, opened for reading.

    Args:
        folder: ``data/<dataset>``, which holds ``clips.parquet``, ``tokens/`` and ``motion/``.

    Attributes:
        labels: the class names, in the data set's order.
        folds: the numbers of the data set's folds.
        rows: label, subject, votes and folds of each clip, by ``clip_id``.
        instants: T.
        patches: P per frame, or the number kept where ``tokens.patches`` left some out.
        width: D_v, of a visual token.
        text_width: D_u, of a text token.
        aligned: whether both lie in one space: one model made them.
        texts: texts per clip, at most.
        grid: rows and columns of the whole patch grid.

    Raises:
        UserError: shards are missing, damaged, mixed, of differing shapes or not made from the same faces, or no clip
            has tokens.

    Example:
        >>> cache = Cache("data/demo")
        >>> len(cache.rows), cache.labels
        (60, ['happiness', 'sadness', 'neutral'])
        >>> cache.row("clip-000")["visual"].shape  # instants, patches, width
        (4, 9, 16)
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._clips = clips = read_clips(self.folder)
        self.labels, self.folds = clips.labels, clips.folds
        self.rows = {row["clip_id"]: row for row in clips.rows}
        columns = (*TOKEN_COLUMNS, *OPTIONAL_COLUMNS, *MIRRORED, *OTHER_TEXTS)
        self.tokens = Reader(self.folder / "tokens", TOKENS, columns, self.rows)
        visible = self.tokens.store.rows(["clip_id", "label_visible"])
        self._label_visible = {row["clip_id"] for row in visible if row["label_visible"]}
        self.motion = Reader(self.folder / "motion", MOTION, MOTION_COLUMNS, self.rows)
        usable = [clip_id for clip_id in self.rows if not self.failure(clip_id)]
        if not usable:
            first = self.failure(next(iter(self.rows))) if self.rows else "clips.parquet is empty"
            raise UserError(f"No clip of {self.folder} has tokens and motion (the first one: {first}).")
        self._check_sources()
        self.instants, self.patches, self.width = self.tokens.layout["visual"].shape
        self.text_width = self.tokens.layout["text"].shape[1]
        self.aligned = "text_encoder" not in (self.tokens.cache_key() or {})
        others = self.tokens.layout.get("other_text_mask")
        self.texts = 1 + (others.shape[0] if others else 0)
        self.grid = self._grid(usable[0])
        self._check_sizes()

    @property
    def sizes(self) -> Sizes:
        """What a model needs to know of the cache."""
        return Sizes(len(self.labels), self.instants, self.patches, self.width, self.text_width, self.aligned)

    def failure(self, clip_id: str) -> str:
        """Why a clip cannot be read; empty when it can."""
        for reader in (self.tokens, self.motion):
            location = reader.locations[clip_id]
            if location.status == "failed":
                return location.error or f"failed in {reader.store.schema.stage}"
        return ""

    def cache_key(self) -> dict[str, Any]:
        """What tokens and motion were made with, for ``config.yaml``."""
        return {"tokens": self.tokens.cache_key(), "motion": self.motion.cache_key()}

    def inputs(self) -> dict[str, str]:
        """What results depend on, as hashes: the table of clips, its votes, the shards of tokens and motion.

        As they were when the cache was opened; :func:`cache_inputs` says what they are now.
        """
        readers = {"tokens": self.tokens, "motion": self.motion}
        return hashed_inputs(self._clips, {name: reader.fingerprints() for name, reader in readers.items()})

    def check_unchanged(self) -> None:
        """Raise :class:`GraceError` when tokens, motion or clips are not what they were when the cache was opened."""
        if cache_inputs(self.folder, read_clips(self.folder)) != self.inputs():
            raise GraceError(
                f"The tokens, motion or clips of {self.folder} changed while they were in use: nothing is kept of what "
                "was made from them. Run the same command again."
            )

    def label_visible(self, clip_id: str) -> bool:
        """Whether the label was in the prompt of the clip's text; False for a clip without text."""
        return clip_id in self._label_visible

    def read(self, clip_ids: Sequence[str]) -> dict[str, np.ndarray]:
        """The arrays of some clips as they are stored, the clip in the first dimension; :func:`as_batch` takes them."""
        return {**self.tokens.read(clip_ids), **self.motion.read(clip_ids)}

    def row(self, clip_id: str) -> Row:
        """One clip's arrays, as :func:`collate` takes them."""
        return {name: array[0] for name, array in self.read([clip_id]).items()}

    def _grid(self, clip_id: str) -> tuple[int, int]:
        if "grid" in self.tokens.layout:
            rows, columns = self.tokens.read([clip_id])["grid"][0].tolist()
            return rows, columns
        side = round(self.patches**0.5)
        if side * side != self.patches:
            raise UserError(f"{self.folder}/tokens has {self.patches} patches per frame, which is no square grid.")
        return side, side

    def _check_sources(self) -> None:
        """All shards of each stage must be made alike, those of tokens and motion of the same crops, and of what the
        earlier stages hold now."""
        refuse_outdated(self.folder)
        for shard in sorted(set(self.tokens.shards) & set(self.motion.shards)):
            of_tokens, of_motion = (reader.inputs(shard).get("faces") for reader in (self.tokens, self.motion))
            if of_tokens and of_motion and of_tokens != of_motion:
                raise UserError(
                    f"{self.folder}: shard {shard:05d} of tokens and of motion were made from different face crops: "
                    "run `grace motion` and `grace tokens` again."
                )

    def _check_sizes(self) -> None:
        instants = self.motion.layout["motion"].shape[0]
        if instants != self.instants:
            raise UserError(
                f"{self.folder}: tokens have {self.instants} instants per clip and motion has {instants}: "
                "run both again."
            )


@dataclass(frozen=True)
class Order:
    """In which order clips of a subset are read, and what is drawn of each; everything follows from ``seed``."""

    seed: int
    balanced: bool = False
    """Each class equally often, clips of rare ones repeatedly, in the place of each clip once."""
    mirror: bool = False
    """Half of the clips in their mirrored view, where the cache holds it."""


@dataclass(frozen=True)
class Subset:
    """Some clips of a cache; who is given a subset can read these clips and no others.

    ``text_from`` names for each clip the one whose texts it is given, where these are not its own; without ``texts``
    the clips have none.
    """

    cache: Cache
    clip_ids: tuple[str, ...]
    text_from: tuple[str, ...] = ()
    texts: bool = True

    def __len__(self) -> int:
        return len(self.clip_ids)

    def shuffled(self, seed: int) -> Subset:
        """The same clips, each with the texts of another one of them."""
        order = np.random.default_rng(seed).permutation(len(self))
        source = np.empty_like(order)
        source[order] = np.roll(order, 1)
        return replace(self, text_from=tuple(self.clip_ids[index] for index in source))

    def without_texts(self) -> Subset:
        """The same clips without their texts."""
        return replace(self, texts=False)

    @property
    def words(self) -> Int[np.ndarray, " clips"]:
        """Text tokens of each clip."""
        return self.cache.tokens.read(self.text_from or self.clip_ids, ["text_mask"])["text_mask"].sum(1)

    @property
    def labels(self) -> Int[np.ndarray, " clips"]:
        """Class of each clip, as an index into the data set's labels."""
        index_of = {label: index for index, label in enumerate(self.cache.labels)}
        return np.array([index_of[self.cache.rows[clip_id]["label"]] for clip_id in self.clip_ids], dtype=np.int64)

    def batches(
        self, size: int, order: Order | None = None, device: torch.device | str = "cpu", text: int = 0
    ) -> Iterator[tuple[Batch, Int[Tensor, " batch"]]]:
        """Batches of ``size`` clips with their labels; :meth:`indexed_batches` reads them, and takes the same."""
        labels = torch.from_numpy(self.labels)
        for batch, indices in self.indexed_batches(size, order, device, text):
            yield batch, labels[indices].to(device)

    def indexed_batches(
        self, size: int, order: Order | None = None, device: torch.device | str = "cpu", text: int = 0
    ) -> Iterator[tuple[Batch, Int[Tensor, " batch"]]]:
        """Batches of ``size`` clips with their positions in the subset, in its order or in a random one.

        In random order, texts of similar length share a batch (:func:`length_bucketed_batches`), so that half the work
        is not done on padding, and one text of each clip is drawn. A thread reads the next batch while the last one is
        used.

        Args:
            size: Clips per batch; one may be smaller.
            order: A random order, and what it draws; without it, the subset's.
            device: Where tokens are moved as they are stored, to become float32 there.
            text: Number of the text in the subset's order, from 0; a clip with fewer texts gives its first one.

        Yields:
            A batch of B clips, and their positions [B].
        """
        if order is None:
            chunks = _cut(np.arange(len(self)), size)
        else:
            random = np.random.default_rng(order.seed)
            chosen = _balanced(self.labels, random) if order.balanced else np.arange(len(self))
            chunks = [chosen[batch] for batch in length_bucketed_batches(self.words[chosen], size, random)]
        draws = np.random.default_rng(None if order is None else order.seed + 1)

        def batch(indices: Int[np.ndarray, " batch"]) -> tuple[Batch, Int[Tensor, " batch"]]:
            stored = self._read(indices)
            if order is None:
                stored = with_text(stored, np.where(text < text_counts(stored), text, 0))
            else:
                stored = with_text(stored, draws.integers(text_counts(stored)))
                stored = mirrored(stored, order.mirror & (draws.random(len(indices)) < 0.5))
            made = as_batch(stored, device)
            if not self.texts:
                made = made.drop_text(torch.ones_like(made.has_text))
            return made, torch.from_numpy(indices)

        if not chunks:
            return
        with ThreadPoolExecutor(1) as reader:
            following = reader.submit(batch, chunks[0])
            for indices in chunks[1:]:
                current, following = following, reader.submit(batch, indices)
                yield current.result()
            yield following.result()

    def _read(self, indices: Int[np.ndarray, " batch"]) -> dict[str, np.ndarray]:
        stored = self.cache.read([self.clip_ids[index] for index in indices])
        if self.text_from:
            names = [name for name in self.cache.tokens.names if name.removeprefix("other_") in TEXT]
            stored |= self.cache.tokens.read([self.text_from[index] for index in indices], names)
        return stored

    def check_finite(self) -> None:
        """Raise :class:`UserError` naming the first clip that holds NaN or infinity."""
        for clip_id in self.clip_ids:
            for name, array in self.cache.row(clip_id).items():
                if array.dtype.kind == "f" and not finite(array):
                    stage = "motion" if name == "motion" else "tokens"
                    raise UserError(
                        f"Clip {clip_id} has NaN or infinite values in '{name}': remove "
                        f"{getattr(self.cache, stage).store.folder} and run `grace {stage}` again."
                    )


def length_bucketed_batches(
    words: Int[np.ndarray, " clips"], size: int, random: np.random.Generator
) -> list[Int[np.ndarray, " _"]]:
    """Indices of all clips in batches of ``size`` (one may be smaller), random but for similar lengths in a batch.

    Clips are shuffled, every ``POOLED_BATCHES`` batches of them sorted by length and cut, and the batches shuffled.
    Lengths vary by a quarter at random, so that the clips of a small set share batches with others in every epoch.

    Args:
        words: Text tokens of each clip [clips].
        size: Clips per batch.
        random: Draws the order and the variation.
    """
    pools = _cut(random.permutation(len(words)), POOLED_BATCHES * size)
    jittered = words * random.uniform(0.75, 1.25, len(words))
    batches = [batch for pool in pools for batch in _cut(pool[np.argsort(jittered[pool])], size)]
    return [batches[index] for index in random.permutation(len(batches))]


def _balanced(labels: Int[np.ndarray, " clips"], random: np.random.Generator) -> Int[np.ndarray, " clips"]:
    """As many indices as there are clips, each class equally often as far as that divides."""
    classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    share = math.ceil(len(labels) / len(classes))
    drawn = [
        np.concatenate([random.permutation(clips) for _ in range(math.ceil(share / len(clips)))])[:share]
        for clips in classes
    ]
    return random.permutation(np.concatenate(drawn))[: len(labels)]


def _cut(order: Int[np.ndarray, " clips"], size: int) -> list[Int[np.ndarray, " _"]]:
    return [order[start : start + size] for start in range(0, len(order), size)]


def collate(rows: Sequence[Row]) -> Batch:
    """Rows of single clips as one batch: ``visual`` [T, P, D], ``frame``, ``text``, ``text_mask``, ``sentence``,
    ``motion`` [T, G, G], and what int8 or ``tokens.patches`` add."""
    names = [*TOKEN_COLUMNS, *(name for name in OPTIONAL_COLUMNS if name in rows[0]), *MOTION_COLUMNS]
    return as_batch({name: np.stack([row[name] for row in rows]) for name in names})


def as_batch(stored: Mapping[str, Shaped[np.ndarray, " batch *rest"]], device: torch.device | str = "cpu") -> Batch:
    """Stored arrays of some clips as one float32 batch on ``device``.

    Text is cut to the longest one of the batch; a clip without any text keeps one word, of zeros. Motion is resampled
    to the patch grid where grids differ, and taken at the kept patches where only some were kept.
    """
    tensors = {name: torch.from_numpy(array).to(device) for name, array in stored.items()}
    mask = tensors["text_mask"]
    length = int(mask.any(0).nonzero().max()) + 1 if mask.any() else 1
    mask = mask[:, :length]
    has_text = mask.any(1)
    text = _float32(tensors, "text", length) * mask[..., None]
    mask = torch.cat([mask[:, :1] | ~mask.any(1, keepdim=True), mask[:, 1:]], dim=1)
    visual = _float32(tensors, "visual")
    return Batch(
        visual=visual,
        frame=_float32(tensors, "frame"),
        text=text,
        text_mask=mask,
        sentence_end=_sentence_ends(tensors["sentence"][:, :length], mask),
        motion=_motion(tensors, visual.shape[2]),
        has_text=has_text,
    )


def resample_motion(
    motion: Float[Tensor, "batch instants rows columns"], grid: tuple[int, int]
) -> Float[Tensor, "batch instants patches"]:
    """Motion on its G×G grid resampled to the patch grid where they differ, flattened row by row."""
    if motion.shape[-2:] != grid:
        motion = torch.nn.functional.interpolate(motion, grid, mode="area")
    return motion.flatten(2).clamp(0, 1)


def scatter_to_grid(
    plan: Float[np.ndarray, "text instants kept"], row: Row
) -> Float[np.ndarray, "text instants patches"]:
    """A plan over the patches that were kept, as one over the whole grid; any other plan as it is."""
    if "patch_index" not in row:
        return plan
    whole = np.zeros((*plan.shape[:2], int(np.prod(row["grid"]))), plan.dtype)
    np.put_along_axis(whole, np.broadcast_to(row["patch_index"], plan.shape).astype(np.int64), plan, axis=2)
    return whole


def _motion(tensors: Mapping[str, Tensor], patches: int) -> Float[Tensor, "batch instants patches"]:
    motion = tensors["motion"].float()
    if "patch_index" not in tensors:
        side = round(patches**0.5)
        return resample_motion(motion, (side, side))
    rows, columns = tensors["grid"][0].tolist()
    return resample_motion(motion, (rows, columns)).gather(2, tensors["patch_index"].long())


def _sentence_ends(sentence: Int[Tensor, "batch text"], mask: Bool[Tensor, "batch text"]) -> Bool[Tensor, "batch text"]:
    """The last token of each sentence: its end token, whose embedding stands for the whole sentence."""
    pad = torch.nn.functional.pad
    return mask & ((sentence != pad(sentence[:, 1:], (0, 1), value=-1)) | ~pad(mask[:, 1:], (0, 1)))


def _float32(tensors: Mapping[str, Tensor], name: str, length: int | None = None) -> Tensor:
    """Tokens of a column as float32, multiplied by their scale where they are int8."""
    tokens = tensors[name][:, :length].float()
    scale = tensors.get(f"{name}_scale")
    return tokens if scale is None else tokens * scale[:, :length, ..., None]
