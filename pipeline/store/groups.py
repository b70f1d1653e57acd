"""A few rows of a large Parquet file, without reading the others."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from threading import Lock

from grace.pipeline.store.formats import check
from grace.pipeline.store.schema import Row, Schema


class Groups:
    """A Parquet file of rows in order of ``clip_id``, of which one group of rows is read at a time.

    The file stays open: what is read is of one table, should it be replaced meanwhile. Any thread may read.

    Args:
        schema: What it holds.
        path: The file.
        columns: Columns to read.

    Raises:
        UserError: When it is not such a file, is damaged, or has no such column.
    """

    def __init__(self, schema: Schema, path: Path, columns: Sequence[str]) -> None:
        import pyarrow.parquet as pq

        self._names = list(columns)
        for name in self._names:
            schema.column(name)
        check(schema, path)
        self._file = pq.ParquetFile(path)
        sizes = [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]
        self._ends = list(accumulate(sizes))
        self._lock = Lock()
        self._cached = lru_cache(2)(self._read)  # rows are mostly asked for in order

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def all(self) -> list[Row]:
        """All rows."""
        return [row for group in range(len(self._ends)) for row in self._read(group)]

    def slice(self, start: int, end: int) -> list[Row]:
        """The rows ``[start, end)``, as many of them as there are."""
        rows: list[Row] = []
        for group in range(bisect_right(self._ends, start), len(self._ends)):
            begin = self._ends[group - 1] if group else 0
            if begin >= end:
                break
            rows += self._cached(group)[max(start - begin, 0) : end - begin]
        return rows

    def find(self, clip_id: str) -> Row | None:
        """The row of one clip, or None when it is not there."""
        group = bisect_right(range(len(self._ends)), clip_id, key=self._first_id) - 1
        return next((row for row in self._cached(group) if row["clip_id"] == clip_id), None) if group >= 0 else None

    def _read(self, group: int) -> list[Row]:
        with self._lock:
            rows: list[Row] = self._file.read_row_group(group, self._names, use_threads=False).to_pylist()
        return rows

    def _first_id(self, group: int) -> str:
        with self._lock:
            return str(self._file.read_row_group(group, ["clip_id"], use_threads=False)["clip_id"][0])


def find_row(path: Path, schema: Schema, clip_id: str) -> Row | None:
    """The row of one clip in a single Parquet file that is sorted by ``clip_id``; None when it holds none.

    Args:
        path: The file.
        schema: What it holds; its optional columns are not read.
        clip_id: The clip.

    Raises:
        UserError: It is not such a file, or is damaged.
    """
    return Groups(schema, path, [column.name for column in schema.all_columns if not column.optional]).find(clip_id)
