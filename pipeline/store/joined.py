"""All shards of a store as one HDF5 file for people: virtual, so that no number is stored twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.store.commit import commit, locked
from pipeline.store.formats import META, damaged
from pipeline.store.store import Store

FILE = "all.h5"


def join(store: Store) -> Path:
    """Commit ``<folder>/all.h5``, in which each column holds all clips; returns its path.

    Numbers are virtual data sets over the shards beside it (move the folder as a whole); texts are copied; JPEG columns
    are left out. A shard whose clips all failed reads as zeros. The same shards give the same bytes, and an unchanged
    file is not written again. Raises :class:`UserError` when there are no shards or one is broken.
    """
    with locked(store.folder):
        content = _encoded(store)
        path = store.folder / FILE
        if not path.exists() or path.read_bytes() != content:
            commit(path, content)
        return path


def _encoded(store: Store) -> bytes:
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
                first = next(source for _, source in parts)
                layout = h5py.VirtualLayout((len(texts[key[0]]), *first.shape[1:]), first.dtype)
                for start, source in parts:
                    layout[start : start + source.shape[0]] = source
                file.create_virtual_dataset(column.name, layout).attrs["meaning"] = column.doc
        file.flush()
        return bytes(file.id.get_file_image())


def _sources(store: Store) -> dict[str, list[tuple[int, Any]]]:
    """For each column of numbers: where in the joined file each shard's part begins, and the part."""
    import h5py

    sources: dict[str, list[tuple[int, Any]]] = {}
    start = 0
    for shard in store.shards():
        path = store.path(shard)
        try:
            with h5py.File(path, "r") as file:
                for column in store.schema.columns:
                    if column.dtype not in ("str", "jpeg") and column.name in file and file[column.name].size:
                        data = file[column.name]
                        part = h5py.VirtualSource(path.name, column.name, data.shape, data.dtype)
                        sources.setdefault(column.name, []).append((start, part))
                start += len(file["clip_id"])
        except (OSError, KeyError, RuntimeError) as error:
            raise UserError(damaged(path, store.schema, type(error).__name__)) from None
    return sources
