"""All shards of a store as one HDF5 file to open by hand: virtual, so that no number is stored twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from grace.pipeline.store.atomic import folder_lock, write_atomic
from grace.pipeline.store.formats import META, unreadable
from grace.pipeline.store.store import Store

FILE = "all.h5"


def write_virtual_dataset(store: Store) -> Path:
    """Write ``<folder>/all.h5``, in which each column holds all clips; returns its path.

    Numbers are virtual data sets over the shards beside it (move the folder as a whole); texts are copied; JPEG columns
    are left out. A shard whose clips all failed reads as zeros. The same shards give the same bytes, and an unchanged
    file is not written again. Raises :class:`UserError` when there are no shards or one is broken.
    """
    with folder_lock(store.folder):
        content = _encode(store)
        path = store.folder / FILE
        if not path.exists() or path.read_bytes() != content:
            write_atomic(path, content)
        return path


def _encode(store: Store) -> bytes:
    import h5py

    key = [column.name for column in store.schema.key]
    texts: dict[str, list[str]] = {name: [] for name in key}
    for row in store.rows(key):
        for name in key:
            texts[name].append(row[name])
    sources = _sources(store)
    with h5py.File("joined", "w", driver="core", backing_store=False, libver="v110", track_order=False) as file:
        file.attrs[META] = f"{store.schema.stage}: {store.schema.doc}; {len(store.shards())} shards joined"
        for name, values in texts.items():
            file.create_dataset(name, data=values, dtype=h5py.string_dtype(), track_times=False)
        for column in store.schema.columns:
            if parts := sources.get(column.name):
                _map(file, column.name, len(texts[key[0]]), parts)
                file[column.name].attrs["meaning"] = column.doc
        file.flush()
        return bytes(file.id.get_file_image())


def _map(file: Any, name: str, clips: int, parts: list[tuple[int, Any]]) -> None:
    """A virtual data set of ``clips`` clips, without the time stamp that h5py's own function would leave in it."""
    from h5py import h5d, h5p, h5s, h5t

    first = parts[0][1]
    whole = h5s.create_simple((clips, *first.shape[1:]))
    created = h5p.create(h5p.DATASET_CREATE)
    created.set_obj_track_times(False)
    for start, source in parts:
        whole.select_hyperslab((start, *(0 for _ in source.shape[1:])), source.shape)
        created.set_virtual(whole, source.path.encode(), source.name.encode(), h5s.create_simple(source.shape))
    whole.select_all()
    h5d.create(file.id, name.encode(), h5t.py_create(first.dtype, logical=1), whole, created)


def _sources(store: Store) -> dict[str, list[tuple[int, Any]]]:
    """For each column of numbers: at which clip of the whole file each shard begins, and the shard's data set."""
    import h5py

    sources: dict[str, list[tuple[int, Any]]] = {}
    start = 0
    for shard in store.shards():
        path = store.path(shard)
        try:
            with h5py.File(path, "r", locking=False) as file:
                for column in store.schema.columns:
                    if column.dtype not in ("str", "jpeg") and column.name in file and file[column.name].size:
                        data = file[column.name]
                        part = h5py.VirtualSource(path.name, column.name, data.shape, data.dtype)
                        sources.setdefault(column.name, []).append((start, part))
                start += len(file["clip_id"])
        except (OSError, KeyError, RuntimeError) as error:
            raise unreadable(error, path, store.schema) from None
    return sources
