"""``clips.parquet``: every clip that a data set lists, sorted by ``clip_id``; shard *k* is a slice of it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from grace.pipeline.store.fingerprint import fingerprint
from grace.pipeline.store.formats import check_version, decode_meta
from grace.pipeline.store.groups import Groups
from grace.pipeline.store.schema import KEY, Row
from grace.pipeline.store.schemas import CLIPS, clips_schema, fold_column
from grace.pipeline.store.store import write_table

FILE = "clips.parquet"


class Clips:
    """The clips of a data set, read from ``<folder>/clips.parquet`` as they are asked for.

    The file holds groups of rows; :meth:`shard` and :meth:`find` read the group that they need, so that a worker's
    memory does not grow with the table. The file stays open: what is read is of one table, should it be replaced.

    Args:
        folder: The data set's folder, ``data/<dataset>``.
        columns: Columns to read besides the key columns; all of them when not given.
        folds: Whether to read the columns of all folds beside those that are named.

    Raises:
        UserError: When there is no such file, or it is broken or of another version.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ok = {"status": "ok", "error": "", "label": "fear"}
        ...     write_clips(Path(folder), [{"clip_id": "b", **ok}, {"clip_id": "a", **ok}], ["fear"])
        ...     clips = Clips(Path(folder), ["label"])
        >>> [row["clip_id"] for row in clips.rows], clips.labels, clips.count_shards(32)
        (['a', 'b'], ['fear'], 1)
    """

    def __init__(self, folder: Path, columns: Sequence[str] | None = None, *, folds: bool = False) -> None:
        self.path = Path(folder) / FILE
        meta = decode_meta(CLIPS, self.path)
        check_version(CLIPS, self.path)
        self.folds: list[int] = meta["folds"]
        """The numbers of the data set's folds, whose parts are in the columns ``fold_<number>``."""
        schema = clips_schema(self.folds)
        of_folds = [fold_column(fold) for fold in self.folds] if folds else []
        named = [*columns, *of_folds] if columns is not None else [column.name for column in schema.columns]
        names = list(dict.fromkeys([*(column.name for column in KEY), *named]))
        self._fingerprint = meta.get("fingerprint")
        self.labels: list[str] = meta["labels"]
        """The data set's classes, in the order of ``label_id``."""
        self.footage: str = meta.get("footage", "")
        """What the clips are footage of, where that is known, such as the rendered world."""
        self._groups = Groups(schema, self.path, names)

    @cached_property
    def rows(self) -> list[Row]:
        """All clips."""
        return self._groups.all()

    def is_current(self) -> bool:
        """Whether the file still holds what was read from it."""
        return bool(decode_meta(CLIPS, self.path).get("fingerprint") == self._fingerprint)

    def __len__(self) -> int:
        return len(self._groups)

    def count_shards(self, size: int) -> int:
        """How many shards of ``size`` clips there are."""
        return math.ceil(len(self) / size)

    def shard_length(self, number: int, size: int) -> int:
        """How many clips the shard of that number holds."""
        return max(min(size, len(self) - number * size), 0)

    def shard(self, number: int, size: int) -> list[Row]:
        """The clips ``[number * size, (number + 1) * size)``."""
        return self._groups.slice(number * size, (number + 1) * size)

    def find(self, clip_id: str) -> Row | None:
        """The row of one clip, or None when it is not listed."""
        return self._groups.find(clip_id)


def write_clips(folder: Path, rows: Sequence[Row], labels: Sequence[str], footage: str = "") -> None:
    """Commit ``clips.parquet``: rows sorted by ``clip_id``; ``labels`` are the set's classes.

    Its folds are those that the rows have columns for.

    Args:
        folder: The data set's folder, ``data/<dataset>``.
        rows: One row per clip, in any order.
        labels: The classes, in the order of ``label_id``.
        footage: What the clips show where only some models know it, as :attr:`Clips.footage`.

    Raises:
        ValueError: A ``clip_id`` is there twice.
    """
    ordered = sorted(rows, key=lambda row: row["clip_id"])
    ids = [row["clip_id"] for row in ordered]
    if len(set(ids)) != len(ids):
        repeated = next(clip for clip, following in pairwise(ids) if clip == following)
        raise ValueError(f"clip {repeated} is listed twice")
    folds = sorted({int(name[5:]) for row in rows for name in row if re.fullmatch(r"fold_\d+", name)})
    meta: dict[str, Any] = {
        "labels": list(labels),
        "folds": folds,
        "fingerprint": fingerprint(ordered),
        "footage": footage,
    }
    write_table(Path(folder) / FILE, clips_schema(folds), ordered, meta)
