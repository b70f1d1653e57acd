"""Storage: rows keyed by ``clip_id``, split into shards, each of which exists whole or not at all.

``schema`` describes what a file holds, ``schemas`` lists every file, ``store`` reads and writes shards, ``opening``
opens a store by its name, ``reader`` reads single clips, ``atomic`` writes a file whole, ``fingerprint`` identifies
what a shard was made from.
"""

from grace.pipeline.errors import ClipError, GraceError, UserError
from grace.pipeline.store.atomic import (
    clear_abandoned,
    folder_lock,
    open_atomic,
    temporary_name,
    write_atomic,
)
from grace.pipeline.store.clips import Clips, write_clips
from grace.pipeline.store.fingerprint import fingerprint
from grace.pipeline.store.groups import find_row
from grace.pipeline.store.listing import find_paths
from grace.pipeline.store.opening import open_store
from grace.pipeline.store.reader import Reader, finite
from grace.pipeline.store.schema import Column, Row, Schema, failure, fallback
from grace.pipeline.store.store import Store, read_table, write_table

__all__ = [
    "ClipError",
    "Clips",
    "Column",
    "GraceError",
    "Reader",
    "Row",
    "Schema",
    "Store",
    "UserError",
    "clear_abandoned",
    "failure",
    "fallback",
    "find_paths",
    "find_row",
    "fingerprint",
    "finite",
    "folder_lock",
    "open_atomic",
    "open_store",
    "read_table",
    "temporary_name",
    "write_atomic",
    "write_clips",
    "write_table",
]
