"""A stage's folder of shards, and single files of a schema."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grace.pipeline.errors import UserError
from grace.pipeline.store.atomic import write_atomic
from grace.pipeline.store.formats import decode, decode_meta, encode, unreadable
from grace.pipeline.store.listing import find_paths
from grace.pipeline.store.schema import Row, Schema, limits_text

if TYPE_CHECKING:
    import pandas as pd

LIMITS = "limits"
"""The column that :meth:`Store.to_pandas` adds out of the files' metadata."""

FileState = tuple[int, int, int]
"""Inode, size and time of change: what differs once a file was replaced."""


def state_of(found: os.stat_result) -> FileState:
    """The state of a file."""
    return found.st_ino, found.st_size, found.st_mtime_ns


AGAIN = "+"
"""Stands in a fingerprint before the number of times that its shard was made again with another outcome."""


def shard_fingerprint(meta: Mapping[str, Any]) -> str:
    """The fingerprint that later stages hold a shard to.

    What a shard is made from decides its content, but for clips that failed and were tried again: its rows are others
    then, and what was made from the earlier ones has to be made again.

    Example:
        >>> shard_fingerprint({"fingerprint": "f"}), shard_fingerprint({"fingerprint": "f", "made_again": 2})
        ('f', 'f+2')
    """
    again = meta.get("made_again")
    return f"{meta.get('fingerprint')}{f'{AGAIN}{again}' if again else ''}"


class Store:
    """The shards of one stage: ``<folder>/00000.h5``, ``00001.h5``, … of one schema.

    Args:
        folder: The stage's folder, such as ``data/<dataset>/captions``; it need not exist.
        schema: What its files hold, one of :mod:`grace.pipeline.store.schemas`.

    Example:
        >>> import tempfile
        >>> from grace.pipeline.store.schemas import DESCRIPTIONS
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = Store(Path(folder), DESCRIPTIONS)
        ...     row = {"clip_id": "a", "status": "ok", "error": "", "description": "The brows rise."}
        ...     store.write(0, [row], {"fingerprint": "f"})
        ...     store.shards(), store.fingerprint(0), store.find("a", ["description"])
        ([0], 'f', {'description': 'The brows rise.'})
    """

    def __init__(self, folder: Path, schema: Schema) -> None:
        self.folder = Path(folder)
        self.schema = schema

    def path(self, shard: int) -> Path:
        """The file of a shard."""
        return self.folder / f"{shard:05d}.{self.schema.format}"

    def shards(self) -> list[int]:
        """Numbers of the shards that exist, in order. Raises :class:`GraceError` when the folder cannot be read."""
        found = [path for path in find_paths(self.folder, f"[0-9]*.{self.schema.format}") if path.stem.isdecimal()]
        return sorted(int(path.stem) for path in found)

    def read(self, shard: int, columns: Sequence[str] | None = None) -> list[Row]:
        """The rows of one shard, all columns or those named.

        Raises :class:`UserError` when it is missing, broken or of another version.
        """
        return decode(self.schema, self.path(shard), columns)

    def read_row(self, shard: int, clip_id: str, columns: Sequence[str] | None = None) -> Row | None:
        """The row of one clip of a shard, without reading those beside it where it is HDF5; None where it has none.

        Args:
            shard: The shard's number, from 0.
            clip_id: The clip.
            columns: Columns to read; all of them when not given.

        Raises:
            UserError: The shard is missing, broken or of another version.
        """
        return next(iter(decode(self.schema, self.path(shard), columns, clip_id)), None)

    def meta(self, shard: int) -> dict[str, Any]:
        """What a shard was made from: stage, schema, version, fingerprint, cache key, inputs."""
        return decode_meta(self.schema, self.path(shard))

    def fingerprint(self, shard: int) -> str | None:
        """The fingerprint of a shard, or None when there is no such shard or it cannot be read.

        One that was made again with another outcome (:func:`shard_fingerprint`) has another one than before.
        """
        if not self.path(shard).exists():
            return None
        try:
            return shard_fingerprint(self.meta(shard))
        except UserError:
            return None

    def is_made(self, shard: int, planned: str) -> bool:
        """Whether a shard has the fingerprint that was planned for it, whatever came of its clips.

        Args:
            shard: Its number, from 0.
            planned: The fingerprint of what it would be made from.
        """
        return (self.fingerprint(shard) or "").partition(AGAIN)[0] == planned

    def state(self, shard: int) -> FileState:
        """The state of a shard's file: another one once it was written again, even with the same bytes.

        Raises :class:`UserError` when it is missing.
        """
        try:
            return state_of(self.path(shard).stat())
        except OSError as error:
            raise unreadable(error, self.path(shard), self.schema) from None

    def write(self, shard: int, rows: Sequence[Row], meta: dict[str, Any]) -> None:
        """Write a shard: it exists whole, or not at all.

        Args:
            shard: Its number, from 0.
            rows: Values by column.
            meta: JSON, which must not hold times or paths.

        Raises:
            ValueError: Arrays disagree in shape.
            GraceError: The disk is full or the folder cannot be written.
        """
        write_atomic(self.path(shard), encode(self.schema, rows, meta))

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[Row]:
        """All rows, shard by shard. Raises :class:`UserError` when there are none."""
        for shard in self._require_shards():
            yield from self.read(shard, columns)

    def to_pandas(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """All rows as a table, one clip per row; arrays stay arrays in their cells.

        Args:
            columns: Those to read; all of them when not given, and beside them ``limits``: which of the models behind a
                row do not know its footage, such as the pocket models on anything but the rendered world. It is empty
                where all do, and lies in the files' metadata, so that nobody who names columns pays for it.

        Raises:
            UserError: There are no rows yet, or a shard is broken or of another version.
        """
        import pandas as pd

        if columns is not None and LIMITS not in columns:
            return pd.DataFrame(list(self.rows(columns)))
        asked = None if columns is None else [name for name in columns if name != LIMITS]
        rows: list[Row] = []
        for shard in self._require_shards():
            limits = limits_text(self.meta(shard).get("limits") or ())
            rows += [{**row, LIMITS: limits} for row in self.read(shard, asked)]
        table = pd.DataFrame(rows)
        return table if columns is None else table[list(columns)]

    def _require_shards(self) -> list[int]:
        if not (shards := self.shards()):
            raise UserError(f"{self.folder} holds nothing yet: run `grace {self.schema.stage}` first.")
        return shards

    def find(self, clip_id: str, columns: Sequence[str] | None = None) -> Row | None:
        """The row of one clip, or None when no shard holds it."""
        shard = self._shard_around(clip_id)
        return None if shard is None else self.read_row(shard, clip_id, columns)

    def shard_of(self, clip_id: str) -> int | None:
        """The shard that holds a clip, or None when there is none."""
        shard = self._shard_around(clip_id)
        return shard if shard is not None and self.read_row(shard, clip_id, ["clip_id"]) else None

    def _shard_around(self, clip_id: str) -> int | None:
        """The shard that holds a clip if any does: clips are sorted over all shards."""
        shards = self.shards()
        number = bisect_right(shards, clip_id, key=self._first_clip) - 1
        return shards[number] if number >= 0 else None

    def _first_clip(self, shard: int) -> str:
        return str(self.read(shard, ["clip_id"])[0]["clip_id"])

    def prune(self, count: int) -> None:
        """Remove the shards from number ``count`` on, which hold clips that are no longer listed there."""
        for shard in self.shards():
            if shard >= count:
                self.path(shard).unlink()


def write_table(path: Path, schema: Schema, rows: Sequence[Row], meta: dict[str, Any] | None = None) -> None:
    """Write one file of a schema, outside any folder of shards: it exists whole, or not at all.

    Args:
        path: The file.
        schema: What it holds.
        rows: Values by column.
        meta: JSON, which must not hold times or paths.

    Raises:
        ValueError: Arrays disagree in shape.
        GraceError: The disk is full or the folder cannot be written.
    """
    write_atomic(path, encode(schema, rows, meta or {}))


def read_table(path: Path, schema: Schema, columns: Sequence[str] | None = None) -> list[Row]:
    """The rows of one file of a schema.

    Args:
        path: The file.
        schema: What it holds.
        columns: Columns to read; all of them when not given.

    Raises:
        UserError: The file is missing, broken or of another version, or has no such column.

    Example:
        >>> import tempfile
        >>> from grace.pipeline.store.schemas import DESCRIPTIONS
        >>> row = {"clip_id": "a", "status": "ok", "error": "", "description": "The brows rise."}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_table(Path(folder, "a.parquet"), DESCRIPTIONS, [row])
        ...     read_table(Path(folder, "a.parquet"), DESCRIPTIONS, ["description"])
        [{'description': 'The brows rise.'}]
    """
    return decode(schema, path, columns)
