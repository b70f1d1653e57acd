"""``clips.parquet``: every clip that a data set lists, sorted by ``clip_id``; shard *k* is a slice of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from grace.pipeline.store.fingerprint import fingerprint
from grace.pipeline.store.formats import decode_meta
from grace.pipeline.store.groups import Groups
from grace.pipeline.store.schema import KEY, Row
from grace.pipeline.store.schemas import CLIPS
from grace.pipeline.store.store import write_table

FILE = "clips.parquet"


class Clips:
    """The clips of a data set, read from ``<folder>/clips.parquet`` as they are asked for.

    The file holds groups of rows; :meth:`shard` and :meth:`find` read the group that they need, so that a worker's
    memory does not grow with the table. The file stays open: what is read is of one table, should it be replaced.

    Args:
        folder: The data set's folder, ``data/<dataset>``.
        columns: Columns to read besides the key columns; all of them when not given.

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

    def __init__(self, folder: Path, columns: Sequence[str] | None = None) -> None:
        self.path = Path(folder) / FILE
        named = (c.name for c in CLIPS.columns) if columns is None else columns
        names = list(dict.fromkeys([*(c.name for c in KEY), *named]))
        meta = decode_meta(CLIPS, self.path)
        self._fingerprint = meta.get("fingerprint")
        self.labels: list[str] = meta["labels"]
        """The data set's emotions in canonical order."""
        self.footage: str = meta.get("footage", "")
        """What the clips are footage of, where that is known, such as the rendered world."""
        self._groups = Groups(CLIPS, self.path, names)

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
    """Commit ``clips.parquet``: rows sorted by ``clip_id``; ``labels`` are the set's emotions in canonical order.

    ``footage`` is what the clips show where only some models know it, as :attr:`Clips.footage`.

    Raises :class:`ValueError` when a ``clip_id`` is there twice.
    """
    ordered = sorted(rows, key=lambda row: row["clip_id"])
    ids = [row["clip_id"] for row in ordered]
    if len(set(ids)) != len(ids):
        repeated = next(clip for clip, following in pairwise(ids) if clip == following)
        raise ValueError(f"clip {repeated} is listed twice")
    meta: dict[str, Any] = {"labels": list(labels), "fingerprint": fingerprint(ordered), "footage": footage}
    write_table(Path(folder) / FILE, CLIPS, ordered, meta)
