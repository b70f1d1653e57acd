"""Single clips of a store of HDF5 shards, read from the file straight into the arrays that receive them.

Columns are contiguous in their file, so a clip is one read at a known offset. Nothing is memory-mapped: memory does not
grow with the store; few files stay open, and any thread may read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from grace.pipeline.errors import UserError
from grace.pipeline.store.formats import check, damaged, unreadable
from grace.pipeline.store.schema import Schema
from grace.pipeline.store.store import FileState, Store, shard_fingerprint, state_of
from grace.pipeline.store.whole import incompleteness, made_by, mixture

OPEN_FILES = 128
"""Files that stay open: opening one costs a tenth of reading a clip from it."""


@dataclass(frozen=True)
class ColumnExtent:
    """Where a column lies in a file: clip ``i`` is the ``size`` bytes at ``offset + i · size``."""

    offset: int
    size: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    """Of one clip."""


@dataclass(frozen=True)
class ClipLocation:
    """Where a clip lies in a store, its status and its error."""

    shard: int
    index: int
    status: str
    error: str


class _File:
    """A file that is open for reading as long as this object exists.

    Raises:
        UserError: It is not in the state in which it was when the reader was made.
    """

    def __init__(self, path: Path, state: FileState) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY)
        if state_of(os.fstat(self.descriptor)) != state:
            raise UserError(f"{path} was replaced or changed while it was in use: run the same command again.")

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


class Reader:
    """Some columns of a store, read clip by clip.

    Args:
        folder: The store's folder, such as ``data/<dataset>/tokens``.
        schema: The schema of its shards, one of HDF5.
        names: Columns to read; optional ones that the files lack are left out.
        expected: All clips that must be there, each once.

    Raises:
        UserError: When the store is empty, does not hold each ``expected`` clip once, mixes shards that were made
            differently or hold other shapes, or holds a damaged file: all of that before the first clip is read.

    Example:
        >>> import tempfile
        >>> from grace.pipeline.store.schemas import MOTION
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     row = {"clip_id": "a", "status": "ok", "error": "", "cut": np.zeros(16, bool)}
        ...     Store(Path(folder), MOTION).write(0, [row], {"fingerprint": "f"})
        ...     reader = Reader(Path(folder), MOTION, ["cut"], expected=["a"])
        ...     reader.read(["a"])["cut"].shape
        (1, 16)
    """

    def __init__(self, folder: Path, schema: Schema, names: Sequence[str], expected: Iterable[str] = ()) -> None:
        self.store = store = Store(folder, schema)
        self.shards = self.store.shards()
        self.locations: dict[str, ClipLocation] = {}
        self._clips: list[str] = []  # of every row
        states = {shard: store.state(shard) for shard in self.shards}  # before anything is read of them
        self._file = lru_cache(OPEN_FILES)(lambda shard: _File(store.path(shard), states[shard]))
        self._metas = {shard: self.store.meta(shard) for shard in self.shards}
        self._check_alike()
        self._extents = {shard: self._locate(shard, names) for shard in self.shards}
        self._check_whole(list(expected))
        self.layout: dict[str, ColumnExtent] = {}
        """Type and shape of one clip of each column (``offset`` is of one of the files)."""
        for shard, extents in self._extents.items():
            self._check_layout(shard, extents)
        self.names = tuple(self.layout)

    def read(self, clip_ids: Sequence[str], names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Columns of some clips, copied once, from file to array.

        Args:
            clip_ids: The clips.
            names: Columns; all that the reader was made for when not given.

        Returns:
            Each column with the clip in the first dimension, in the order of ``clip_ids``.

        Raises:
            ValueError: For a clip that failed.
            UserError: When a file was removed or replaced since the reader was made.
        """
        layout = {name: self.layout[name] for name in names or self.layout}
        out = {name: np.empty((len(clip_ids), *extent.shape), extent.dtype) for name, extent in layout.items()}
        for number, clip_id in enumerate(clip_ids):
            location = self.locations[clip_id]
            if location.status == "failed":
                raise ValueError(f"clip {clip_id} failed ({location.error}): there is nothing to read")
            self._read_into(location, number, out)
        return out

    def fingerprints(self) -> list[str]:
        """The fingerprint of every shard, in order."""
        return [shard_fingerprint(self._metas[shard]) for shard in self.shards]

    def inputs(self, shard: int) -> dict[str, str]:
        """Fingerprints of the shards that a shard was made from, by store."""
        return dict(self._metas[shard].get("inputs") or {})

    def limits(self) -> list[str]:
        """Models, of these shards and of those they were made from, that do not know the footage: a sentence each."""
        return sorted({limit for meta in self._metas.values() for limit in meta.get("limits", ())})

    def cache_key(self) -> Any:
        """The parameters and models all shards were made with."""
        return self._metas[self.shards[0]].get("cache_key")

    def _read_into(self, location: ClipLocation, number: int, out: Mapping[str, np.ndarray]) -> None:
        """One clip into row ``number`` of the columns' arrays."""
        extents = self._extents[location.shard]
        try:
            file = self._file(location.shard)
            for name, array in out.items():
                extent = extents[name]
                row: Any = array[number : number + 1]  # numpy's types do not say that an array is a buffer
                if os.preadv(file.descriptor, [row], extent.offset + location.index * extent.size) != extent.size:
                    raise UserError(damaged(file.path, self.store.schema, "it is too short"))
        except OSError as error:
            raise unreadable(error, self.store.path(location.shard), self.store.schema) from None

    def _locate(self, shard: int, names: Sequence[str]) -> dict[str, ColumnExtent]:
        """Where the columns of a shard lie in its file; adds its clips to :attr:`locations`."""
        import h5py

        path, schema = self.store.path(shard), self.store.schema
        check(schema, path)
        try:
            with h5py.File(path, "r", locking=False) as file:
                keys = [file[name].asstr()[...].tolist() for name in ("clip_id", "status", "error")]
                datasets = {name: file[name] for name in names if name in file or not schema.column(name).optional}
                extents = {
                    name: ColumnExtent(
                        dataset.id.get_offset(), dataset.nbytes // len(dataset), dataset.dtype, dataset.shape[1:]
                    )
                    for name, dataset in datasets.items()
                    if dataset.size  # a shard whose clips all failed has no shape
                }
        except (OSError, KeyError, RuntimeError) as error:
            raise unreadable(error, path, schema) from None
        clips = list(zip(*keys, strict=True))
        self._clips += keys[0]
        self.locations |= {name: ClipLocation(shard, place, *rest) for place, (name, *rest) in enumerate(clips)}
        size = path.stat().st_size
        for name, extent in extents.items():
            if extent.offset is None:
                raise UserError(f"{path} keeps '{name}' in chunks: run `grace {schema.stage}` again.")
            if extent.offset + len(clips) * extent.size > size:
                raise UserError(damaged(path, schema, "it is too short"))
        return extents

    def _check_alike(self) -> None:
        if not self.shards:
            raise UserError(f"{self.store.folder} holds nothing yet: run `grace {self.store.schema.stage}` first.")
        if sentence := mixture(self.store, {shard: made_by(meta) for shard, meta in self._metas.items()}):
            raise UserError(sentence)

    def _check_whole(self, expected: Sequence[str]) -> None:
        if expected and (sentence := incompleteness(self.store, self._clips, expected)):
            raise UserError(sentence)

    def _check_layout(self, shard: int, extents: dict[str, ColumnExtent]) -> None:
        """All shards with a clip that is not failed must agree in type and shape."""
        first = not self.layout
        for name, extent in extents.items():
            known = self.layout.setdefault(name, extent) if first else self.layout.get(name)
            if known is None or (known.shape, known.dtype) != (extent.shape, extent.dtype):
                earlier = f"{known.dtype} {known.shape}" if known else "none"
                raise UserError(
                    f"{self.store.path(shard)} holds '{name}' of shape {extent.shape} ({extent.dtype}), earlier shards "
                    f"{earlier}: run `grace {self.store.schema.stage}` again so that all are made alike."
                )


def finite(values: np.ndarray) -> bool:
    """Whether no value is NaN or infinite; for float16 ten times faster than ``np.isfinite``."""
    if values.dtype == np.float16:  # all exponent bits set
        return not bool(((values.view(np.uint16) & 0x7C00) == 0x7C00).any())
    return bool(np.isfinite(values).all())
