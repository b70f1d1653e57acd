"""Reads the cache: tokens and motion of a data set, memory-mapped, never loaded whole.

A :class:`Cache` is all clips of a data set; a :class:`Part` is some of them, and all that the loop gets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.store import Clips, Row, Schema, Store, UserError, fingerprint
from pipeline.store.schemas import FOLDS, MOTION, TOKENS
from trainer.model import Batch

TOKEN_COLUMNS = ("visual", "frame", "text", "text_mask")
MOTION_COLUMNS = ("motion",)


@dataclass(frozen=True)
class Place:
    """Where a clip lies in a store, and what became of it."""

    shard: int
    index: int
    status: str
    error: str


class Columns:
    """The columns of one store as memory maps: ``columns[clip_id]["visual"]`` reads one clip and nothing else."""

    def __init__(self, folder: Path, schema: Schema, names: Sequence[str], expected: set[str]) -> None:
        self.store, self.names = Store(folder, schema), tuple(names)
        self.places: dict[str, Place] = {}
        self.maps: dict[tuple[int, str], np.ndarray] = {}
        self.shards = self.store.shards()
        self._check_shards()
        for shard in self.shards:
            rows = self.store.read(shard, ["clip_id", "status", "error"])
            for index, row in enumerate(rows):
                self.places[row["clip_id"]] = Place(shard, index, row["status"], row["error"])
            self._map(shard)
        if lost := sorted(expected - set(self.places)):
            raise UserError(
                f"{folder} lacks {len(lost)} of {len(expected)} clips ({lost[0]} among them): "
                f"run `grace {schema.stage}` to make the missing shards."
            )
        self.shape = self._shape()

    def __getitem__(self, clip_id: str) -> dict[str, np.ndarray]:
        place = self.places[clip_id]
        return {name: self.maps[place.shard, name][place.index] for name in self.names}

    def fingerprints(self) -> list[str]:
        """Of every shard, in order."""
        return [str(self.store.meta(shard).get("fingerprint")) for shard in self.shards]

    def identity(self) -> Any:
        """The parameters and models all shards were made with."""
        return self.store.meta(self.shards[0]).get("identity")

    def _check_shards(self) -> None:
        folder, stage = self.store.folder, self.store.schema.stage
        if not self.shards:
            raise UserError(f"{folder} holds nothing yet: run `grace {stage}` first.")
        identities = {shard: fingerprint(self.store.meta(shard).get("identity")) for shard in self.shards}
        odd = [shard for shard in self.shards if identities[shard] != identities[self.shards[0]]]
        if odd:
            raise UserError(
                f"{folder} mixes shards of different parameters or models ({self.store.path(odd[0]).name} differs from "
                f"{self.store.path(self.shards[0]).name}): run `grace {stage}` again so that all are made alike."
            )

    def _map(self, shard: int) -> None:
        """Memory-map each column of a shard: HDF5 columns are contiguous, so a clip is one read at an offset."""
        import h5py

        path = self.store.path(shard)
        with h5py.File(path, "r") as file:
            for name in self.names:
                dataset = file[name]
                offset = dataset.id.get_offset()
                if dataset.size and offset is None:
                    raise UserError(f"{path} keeps '{name}' in chunks: run `grace {self.store.schema.stage}` again.")
                if dataset.size:
                    self.maps[shard, name] = np.memmap(path, dataset.dtype, "r", offset, dataset.shape)

    def _shape(self) -> dict[str, tuple[int, ...]]:
        """Shape of each column a clip; all shards with a clip that is not failed must agree."""
        shapes: dict[str, tuple[int, ...]] = {}
        for (shard, name), array in self.maps.items():
            shape = shapes.setdefault(name, array.shape[1:])
            if shape != array.shape[1:]:
                raise UserError(
                    f"{self.store.path(shard)} holds '{name}' of shape {array.shape[1:]}, earlier shards {shape}: "
                    f"run `grace {self.store.schema.stage}` again so that all are made alike."
                )
        return shapes


class Cache:
    """All clips of ``data/<dataset>/`` with their tokens and motion.

    Raises :class:`UserError` when shards are missing, mixed, of differing shapes, or no clip has tokens.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        clips = Clips(self.folder, ["label", "subject", *FOLDS])
        self.labels, self.rows = clips.labels, {row["clip_id"]: row for row in clips.rows}
        names = set(self.rows)
        self.tokens = Columns(self.folder / "tokens", TOKENS, TOKEN_COLUMNS, names)
        self.motion = Columns(self.folder / "motion", MOTION, MOTION_COLUMNS, names)
        if not any(self.failure(clip_id) == "" for clip_id in self.rows):
            first = self.failure(next(iter(self.rows))) if self.rows else "clips.parquet is empty"
            raise UserError(f"No clip of {self.folder} has tokens and motion (the first one: {first}).")
        self.instants, self.patches, self.width = self.tokens.shape["visual"]
        self._check_sizes()

    def failure(self, clip_id: str) -> str:
        """Why a clip cannot be read; empty when it can."""
        for columns in (self.tokens, self.motion):
            place = columns.places[clip_id]
            if place.status == "failed":
                return place.error or f"failed in {columns.store.schema.stage}"
        return ""

    def identity(self) -> dict[str, Any]:
        """What tokens and motion were made with, for ``config.yaml``."""
        return {"tokens": self.tokens.identity(), "motion": self.motion.identity()}

    def inputs(self) -> dict[str, Any]:
        """Everything that a result depends on: the table's content and the shards' fingerprints."""
        table = [self.rows[clip_id] for clip_id in sorted(self.rows)]
        return {
            "clips": fingerprint([self.labels, table]),
            "tokens": self.tokens.fingerprints(),
            "motion": self.motion.fingerprints(),
        }

    def row(self, clip_id: str) -> Row:
        """The clip's arrays, as :func:`collate` takes them."""
        return {**self.tokens[clip_id], **self.motion[clip_id]}

    def _check_sizes(self) -> None:
        instants, grid = self.motion.shape["motion"][0], round(self.patches**0.5)
        if instants != self.instants:
            raise UserError(
                f"{self.folder}: tokens have {self.instants} instants a clip and motion has {instants}: run both again."
            )
        if grid * grid != self.patches:
            raise UserError(f"{self.folder}/tokens has {self.patches} patches a frame, which is no square grid.")


@dataclass(frozen=True)
class Part:
    """Some clips of a cache; whoever holds it can read these and no others."""

    cache: Cache
    clip_ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.clip_ids)

    @property
    def labels(self) -> Int[np.ndarray, " clips"]:
        """Place of each clip's emotion in the data set's list."""
        places = {label: index for index, label in enumerate(self.cache.labels)}
        return np.array([places[self.cache.rows[clip_id]["label"]] for clip_id in self.clip_ids], dtype=np.int64)

    def batches(self, size: int, order_seed: int | None = None) -> Iterator[tuple[Batch, Int[Tensor, " batch"]]]:
        """Batches with their labels, in the part's order or in a random one that the seed alone decides."""
        order = np.arange(len(self))
        if order_seed is not None:
            order = np.random.default_rng(order_seed).permutation(len(self))
        labels = self.labels
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            batch = collate([self.cache.row(self.clip_ids[index]) for index in chosen])
            yield batch, torch.from_numpy(labels[chosen])

    def check_finite(self) -> None:
        """Raise :class:`UserError` naming the first clip that holds NaN or infinity."""
        for clip_id in self.clip_ids:
            for name, array in self.cache.row(clip_id).items():
                if array.dtype == np.float16:  # all exponent bits set; ten times faster than isfinite on float16
                    bad = bool(((array.view(np.uint16) & 0x7C00) == 0x7C00).any())
                else:
                    bad = not np.isfinite(array).all()
                if bad:
                    stage = "motion" if name == "motion" else "tokens"
                    raise UserError(
                        f"Clip {clip_id} has NaN or infinite values in '{name}': remove "
                        f"{getattr(self.cache, stage).store.folder} and run `grace {stage}` again."
                    )


def collate(rows: Sequence[Row]) -> Batch:
    """Rows of ``visual`` [T, P, D], ``frame``, ``text``, ``text_mask`` and ``motion`` [T, G, G] as one float32 batch.

    Text is cut to the longest one of the batch; a clip without any text keeps one word, of zeros.
    """
    mask = torch.from_numpy(np.stack([row["text_mask"] for row in rows]).astype(bool))
    length = int(mask.any(0).nonzero().max()) + 1 if mask.any() else 1
    text = _float32(rows, "text", length) * mask[:, :length, None]
    mask[:, 0] |= ~mask.any(1)
    visual = _float32(rows, "visual")
    return Batch(
        visual=visual,
        frame=_float32(rows, "frame"),
        text=text,
        text_mask=mask[:, :length],
        motion=on_patches(_float32(rows, "motion"), visual.shape[2]),
    )


def _float32(rows: Sequence[Row], name: str, length: int | None = None) -> Tensor:
    return torch.from_numpy(np.stack([np.asarray(row[name][:length], dtype=np.float32) for row in rows]))


def on_patches(
    motion: Float[Tensor, "batch instants rows columns"], patches: int
) -> Float[Tensor, "batch instants {patches}"]:
    """Motion on its G×G grid resampled to the patch grid (√P × √P) where they differ, flattened row by row."""
    side = round(patches**0.5)
    if motion.shape[-1] != side:
        motion = torch.nn.functional.interpolate(motion, (side, side), mode="area")
    return motion.flatten(2).clamp(0, 1)
