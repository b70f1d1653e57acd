"""All clips of a data set as columns to filter and sort by; everything else is read when a page asks for it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grace.pipeline.errors import UserError
from grace.pipeline.messages import cause_of
from grace.pipeline.store.clips import FILE, Clips
from grace.pipeline.store.schemas import STORES, fold_column
from grace.pipeline.store.store import Store
from grace.review.narrow import KEPT, Stamps, narrow_table, stamps

if TYPE_CHECKING:
    import pyarrow as pa

STATUSES = ("ok", "fallback", "failed")
REFRESH = 2.0
"""Seconds between two looks at whether files have changed."""
COLUMNS = ("path", "source", "n_frames", "fps", "width", "height", "label", "subject")
PARTS = ("train", "test", "val")


@dataclass(frozen=True)
class Coded:
    """A column of few values: a code for each clip, and the values that they stand for."""

    codes: np.ndarray
    values: tuple[str, ...]

    def code(self, value: str) -> int:
        """The code of a value; -2, which no clip has, when there is none."""
        return self.values.index(value) if value in self.values else -2

    def __getitem__(self, clip: int) -> str:
        code = int(self.codes[clip])
        return self.values[code] if code >= 0 else ""


@dataclass(frozen=True)
class Stage:
    """What a stage made of each clip: where its row lies, its status (-1: nothing yet), and its columns."""

    at: np.ndarray
    """Row of the table by clip; -1 where there is none."""
    status: np.ndarray
    table: pa.Table

    def value(self, clip: int, column: str) -> Any:
        """A cell of a clip; None where the stage has made nothing."""
        row = int(self.at[clip])
        return self.table[column][row].as_py() if row >= 0 else None


@dataclass(frozen=True)
class Catalogue:
    """The clips of a data set, by number, in the order of ``clip_id``."""

    folder: Path
    labels: tuple[str, ...]
    table: pa.Table
    label: Coded
    subject: Coded
    folds: dict[int, Coded]
    stages: dict[str, Stage]
    status: np.ndarray
    """Worst status of each clip over the index and all stages, as an index into ``STATUSES``."""
    cause: Coded
    """The first cause of a clip that is not ok, numbers left out, so that like causes are one."""
    positions: dict[str, int] = field(repr=False)
    """Number of each clip by ``clip_id``."""

    def __len__(self) -> int:
        return len(self.positions)

    def number_of(self, clip_id: str) -> int:
        """The number of a clip. Raises :class:`UserError` when there is no such clip."""
        if clip_id not in self.positions:
            raise UserError(f"There is no clip '{clip_id[:200]}' in {self.folder.name}.")
        return self.positions[clip_id]

    def cell(self, clip: int, column: str) -> Any:
        """A value of ``clips.parquet``."""
        return self.table[column][clip].as_py()

    def clip_id(self, clip: int) -> str:
        """The id of a clip."""
        return str(self.cell(clip, "clip_id"))

    def text(self, clip: int, kind: str) -> str:
        """The caption or description of a clip, empty where there is none."""
        stage = self.stages[f"{kind}s"]
        return stage.value(clip, kind) or ""

    def shard(self, clip: int) -> int | None:
        """The shard that holds a clip, the same for all stages; None before any stage has run."""
        found = (stage.value(clip, "shard") for stage in self.stages.values())
        return next((int(shard) for shard in found if shard is not None), None)


def read_catalogue(folder: Path) -> tuple[Catalogue, dict[str, Stamps]]:
    """The catalogue of ``data/<dataset>``, and the stamps of all files that it was read from.

    Raises:
        UserError: ``clips.parquet`` or a shard is missing, damaged or of another version.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    clips = Clips(folder, [])  # checks the file
    labels, fold_columns = tuple(clips.labels), {fold: fold_column(fold) for fold in clips.folds}
    seen = {FILE: _stamp(folder / FILE)}
    with pq.ParquetFile(folder / FILE) as file:  # read_table imports pandas
        table = file.read(columns=["clip_id", "status", "error", *COLUMNS, *fold_columns.values()])
    table = pa.table({name: table[name].combine_chunks() for name in table.column_names})
    stages = {}
    for kept in KEPT:
        narrow, seen[kept.store] = narrow_table(folder, kept)
        stages[kept.store] = _stage(table["clip_id"], narrow)
    status, cause = _worst(table, stages)
    return Catalogue(
        folder=folder,
        labels=labels,
        table=table,
        label=coded(table["label"], labels),
        subject=coded(table["subject"]),
        folds={fold: coded(table[name], PARTS) for fold, name in fold_columns.items()},
        stages=stages,
        status=status,
        cause=cause,
        positions={clip_id: number for number, clip_id in enumerate(table["clip_id"].to_pylist())},
    ), seen


def coded(column: Any, values: tuple[str, ...] | None = None) -> Coded:
    """A column of strings as codes; values that are not among ``values``, and empty ones, have the code -1."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known = values if values is not None else tuple(sorted(filter(None, pc.unique(column).to_pylist())))
    found = pc.index_in(column, value_set=pa.array(known, column.type)).fill_null(-1)
    return Coded(numbers(found).astype(np.int32), known)


def numbers(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """A column of numbers, or of true and false, without nulls, as NumPy's. Arrow's ``to_numpy`` imports pandas.

    Example:
        >>> import pyarrow as pa
        >>> numbers(pa.chunked_array([[1, 2], [3]])), numbers(pa.array([True, False]))
        (array([1, 2, 3]), array([ True, False]))
    """
    import pyarrow as pa

    if pa.types.is_boolean(column.type):
        return numbers(column.cast(pa.int8())).astype(bool)
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.from_dlpack(whole)


def _stage(clip_ids: Any, table: pa.Table) -> Stage:
    import pyarrow.compute as pc

    at = numbers(pc.index_in(clip_ids.cast(table["clip_id"].type), value_set=table["clip_id"]).fill_null(-1))
    status = np.full(len(at), -1, dtype=np.int8)
    codes = coded(table["status"], STATUSES).codes if len(table) else np.zeros(0, np.int32)
    status[at >= 0] = codes[at[at >= 0]]
    return Stage(at.astype(np.int32), status, table)


def _worst(table: pa.Table, stages: dict[str, Stage]) -> tuple[np.ndarray, Coded]:
    status = coded(table["status"], STATUSES).codes.astype(np.int8)
    for stage in stages.values():
        status = np.maximum(status, stage.status)
    causes = [""] * len(status)
    for clip in np.flatnonzero(status > 0).tolist():
        error = table["error"][clip].as_py() if table["status"][clip].as_py() != "ok" else ""
        for stage in stages.values():
            if not error and stage.status[clip] > 0:
                error = stage.value(clip, "error")
        causes[clip] = cause_of(error)
    counted = Counter(causes)
    counted.pop("", None)
    values = tuple(cause for cause, _ in counted.most_common())
    number = {cause: code for code, cause in enumerate(values)}
    return status, Coded(np.array([number.get(cause, -1) for cause in causes], np.int32), values)


def _stamp(path: Path) -> Stamps:
    state = path.stat()
    return {path.name: [state.st_size, state.st_mtime_ns, state.st_ino]}


class LiveCatalogue:
    """The catalogue of a data set that stages may be working on: read again when a file has changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._current, self._seen = read_catalogue(folder)
        self._looked = time.monotonic()

    def get(self) -> Catalogue:
        """The catalogue as of at most :data:`REFRESH` seconds ago."""
        with self._lock:
            if time.monotonic() - self._looked > REFRESH:
                if self._now() != self._seen:
                    self._current, self._seen = read_catalogue(self.folder)
                self._looked = time.monotonic()
            return self._current

    def _now(self) -> dict[str, Stamps]:
        found = {FILE: _stamp(self.folder / FILE)}
        return found | {kept.store: stamps(Store(self.folder / kept.store, STORES[kept.store])) for kept in KEPT}
