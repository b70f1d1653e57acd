"""The narrow columns of a store's shards in one Arrow file beside the data set, read shard by shard as they change.

A store of 40,000 clips has 1,250 files; to open all of them takes seconds. What the review page searches is kept in
``data/<dataset>/review/index/<store>.arrow``, mapped into memory rather than loaded. A shard is read again when its
file's inode, size or time of change differs; the Arrow file is made again when it does not fit its checksum.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grace.pipeline.errors import UserError
from grace.pipeline.store import Store, open_atomic
from grace.pipeline.store.checksum import PLACEHOLDER, seal_file, verify
from grace.pipeline.store.schemas import STORES
from grace.review.text_marks import VERSION, marks_of

if TYPE_CHECKING:
    import pyarrow as pa

META = b"stamps"


@dataclass(frozen=True)
class Kept:
    """What is kept of a store: its name, its columns besides the key, and which of them is a text with marks."""

    store: str
    columns: tuple[str, ...] = ()
    text: str = ""


KEPT = (
    Kept("faces"),
    Kept("captions", ("caption",), "caption"),
    Kept("descriptions", ("description", "engine", "label_visible"), "description"),
    Kept("motion"),
)
"""In the order of the pipeline. ``tokens`` is left out: its shards are large, and it fails clips of its own rarely."""

Stamps = dict[str, list[int]]
"""Shard to size, time of change and inode of its file."""


def stamps(store: Store) -> Stamps:
    """Size, time of change and inode of every shard's file of a store."""
    found: Stamps = {}
    if not store.folder.is_dir():
        return found
    with os.scandir(store.folder) as scan:
        for item in scan:
            stem, dot, suffix = item.name.partition(".")
            if dot and suffix == store.schema.format and stem.isdecimal():
                state = item.stat()
                found[str(int(stem))] = [state.st_size, state.st_mtime_ns, state.st_ino]
    return found


def narrow_table(folder: Path, kept: Kept) -> tuple[pa.Table, Stamps]:
    """The kept columns of a store with ``shard``, up to date, and the stamps of its shards.

    Raises:
        UserError: A shard is damaged or of another version.
    """
    store = Store(folder / kept.store, STORES[kept.store])
    now = stamps(store)
    path = folder / "review" / "index" / f"{kept.store}.arrow"
    table, before = _open(path)
    if table is None or before != now:
        unchanged = {shard for shard, stamp in now.items() if before.get(shard) == stamp}
        _write(path, _refresh(store, kept, table, now, unchanged), now)
        table, _ = _open(path)
    if table is None:
        raise UserError(f"{path} cannot be read: remove {path.parent} and start again.")
    return table, now


def _open(path: Path) -> tuple[pa.Table | None, Stamps]:
    import pyarrow as pa

    try:
        verify(path, "it is made again")  # pyarrow follows offsets in the file without a look where they lead
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        kept = json.loads(table.schema.metadata[META])
        return (table, kept["stamps"]) if kept["version"] == VERSION else (None, {})
    except (OSError, UserError, pa.ArrowException, KeyError, TypeError, ValueError):
        return None, {}  # none yet, a damaged one, or one of another version: it is made again


def _write(path: Path, table: pa.Table, now: Stamps) -> None:
    import pyarrow as pa

    meta = {META: json.dumps({"version": VERSION, "stamps": now, "checksum": PLACEHOLDER}).encode()}
    table = table.replace_schema_metadata(meta).combine_chunks()
    with open_atomic(path) as file:
        with pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        seal_file(file)  # its end repeats the metadata, behind all texts


def _refresh(store: Store, kept: Kept, table: pa.Table | None, now: Stamps, unchanged: set[str]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc
    from tqdm import tqdm

    parts = []
    if table is not None and unchanged:
        known = pa.array([int(shard) for shard in unchanged], pa.int32())
        parts.append(table.filter(pc.is_in(table["shard"], value_set=known)).replace_schema_metadata(None))
    changed = sorted(int(shard) for shard in now if shard not in unchanged)
    with tqdm(desc=f"reading {kept.store}", unit="clip", disable=len(changed) < 32) as bar:
        for left, shard in zip(range(len(changed), 0, -1), changed, strict=True):
            rows = store.read(shard, ["clip_id", "status", "error", *kept.columns])
            parts.append(_table(kept, shard, rows))
            bar.total = bar.n + len(rows) * left  # shards are of one size, but for the last
            bar.update(len(rows))
    whole = pa.concat_tables(parts) if parts else _table(kept, 0, [])
    return whole.sort_by("clip_id")


def _table(kept: Kept, shard: int, rows: Sequence[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    columns: dict[str, pa.Array] = {
        "shard": pa.array([shard] * len(rows), pa.int32()),
    }
    for name in ("clip_id", "status", "error", *kept.columns):
        kind = pa.bool_() if name == "label_visible" else pa.large_string()
        columns[name] = pa.array([row[name] for row in rows], kind)
    if kept.text:
        columns["marks"] = pa.array([marks_of(row[kept.text] or "") for row in rows], pa.int64())
    return pa.table(columns)
