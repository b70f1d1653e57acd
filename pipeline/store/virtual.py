"""All shards of a store as one HDF5 file to open by hand: virtual, so that no number is stored twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from grace.pipeline.errors import UserError
from grace.pipeline.store.atomic import folder_lock, write_atomic
from grace.pipeline.store.checksum import seal, verify
from grace.pipeline.store.fingerprint import fingerprint
from grace.pipeline.store.formats import META, check, decode_meta, meta_text, unreadable
from grace.pipeline.store.store import Store

FILE = "all.h5"


class Part(NamedTuple):
    """A column of one shard: at which clip of the whole file it begins, where it lies, and its shape and type."""

    start: int
    file: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass
class Joined:
    """What the joined file holds: the texts themselves, and of each column of numbers its parts."""

    texts: dict[str, list[str]]
    parts: dict[str, list[Part]] = field(default_factory=dict)
    clips: int = 0


def write_virtual_dataset(store: Store) -> Path:
    """Write ``<folder>/all.h5``, in which each column holds all clips; returns its path.

    Numbers are virtual data sets over the shards beside it (move the folder as a whole); texts are copied; JPEG columns
    are left out. A shard whose clips all failed reads as zeros. The same shards give the same bytes, and where nothing
    changed, no shard is opened. Raises :class:`UserError` when there are no shards or one is broken.
    """
    with folder_lock(store.folder):
        path, shards = store.folder / FILE, store.shards()
        if not shards:
            raise UserError(f"{store.folder} holds nothing yet: run `grace {store.schema.stage}` first.")
        if not is_current(store):
            write_atomic(path, _encode(store, shards, _digest(store)))
        return path


def is_current(store: Store) -> bool:
    """Whether the joined file is whole and was made from the shards as they are now; metadata alone are read of them.

    Where a shard is missing, HDF5 reads zeros without a word.
    """
    path = store.folder / FILE
    try:
        if decode_meta(store.schema, path).get("joined") != _digest(store):
            return False
        verify(path, "it is made again")
    except UserError:
        return False
    return True


def _digest(store: Store) -> str:
    return fingerprint([[shard, store.meta(shard).get("checksum")] for shard in store.shards()])


def _encode(store: Store, shards: list[int], digest: str) -> bytes:
    import h5py

    joined = Joined({column.name: [] for column in store.schema.key})
    for shard in shards:
        _add(store, store.path(shard), joined)
    with h5py.File("joined", "w", driver="core", backing_store=False, libver="v110", track_order=False) as file:
        file.attrs[META] = meta_text(store.schema, {"joined": digest, "shards": len(shards)})
        for name, values in joined.texts.items():
            file.create_dataset(name, data=values, dtype=h5py.string_dtype(), track_times=False)
        for column in store.schema.columns:
            if parts := joined.parts.get(column.name):
                _map(file, column.name, joined.clips, parts)
                file[column.name].attrs["meaning"] = column.doc
        file.flush()
        return seal(bytes(file.id.get_file_image()))


def _map(file: Any, name: str, clips: int, parts: list[Part]) -> None:
    """A virtual data set of ``clips`` clips, without the time stamp that h5py's own function would leave in it."""
    from h5py import h5d, h5p, h5s, h5t

    first = parts[0]
    whole = h5s.create_simple((clips, *first.shape[1:]))
    created = h5p.create(h5p.DATASET_CREATE)
    created.set_obj_track_times(False)
    for part in parts:
        whole.select_hyperslab((part.start, *(0 for _ in part.shape[1:])), part.shape)
        created.set_virtual(whole, part.file.encode(), name.encode(), h5s.create_simple(part.shape))
    whole.select_all()
    h5d.create(file.id, name.encode(), h5t.py_create(first.dtype, logical=1), whole, created)


def _add(store: Store, path: Path, joined: Joined) -> None:
    """Add one shard. Nothing of its file stays open: HDF5 takes longer to close a file the more objects are open."""
    import h5py

    check(store.schema, path)
    try:
        with h5py.File(path, "r", locking=False) as file:
            for name, values in joined.texts.items():
                values += file[name].asstr()[...].tolist()
            for column in store.schema.columns:
                if column.dtype not in ("str", "jpeg") and column.name in file and file[column.name].size:
                    data = file[column.name]
                    part = Part(joined.clips, path.name, data.shape, data.dtype)
                    joined.parts.setdefault(column.name, []).append(part)
            joined.clips += len(file["clip_id"])
    except (OSError, KeyError, RuntimeError) as error:
        raise unreadable(error, path, store.schema) from None
