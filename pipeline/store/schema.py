"""What a file of a store holds: columns with type, dimensions and meaning, for Parquet and HDF5 alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from grace.pipeline.errors import UserError
from grace.pipeline.messages import printable

Row = dict[str, Any]
"""One clip: column name to value. Always has ``clip_id``, ``status`` and ``error``."""

Status = Literal["ok", "fallback", "failed"]

Dtype = Literal["str", "bool", "int16", "int32", "int64", "float16", "float32", "float64", "token", "jpeg", "cues"]


@dataclass(frozen=True)
class Column:
    """One column: its type, the names of its dimensions beyond the clip (``("T", "P", "D")``), and what it means.

    ``jpeg`` is encoded bytes (HDF5 only); ``cues`` is a list of (region, action, intensity, phase) (Parquet only).
    ``token`` is float16, or int8 to be multiplied by the column ``<name>_scale`` (HDF5 only). An ``optional`` column is
    absent from files of HDF5 whose rows all lack it, and from files of Parquet that an earlier version wrote.
    ``formerly`` is the name that the column had before.
    """

    name: str
    dtype: Dtype
    dims: tuple[str, ...] = ()
    doc: str = ""
    optional: bool = False
    formerly: str = ""


KEY = (
    Column("clip_id", "str", doc="the clip, unique in its data set"),
    Column("status", "str", doc="ok, fallback (a degraded result: the error says why) or failed"),
    Column("error", "str", doc="the cause in plain English, led by the stage it arose in; empty when ok"),
)


@dataclass(frozen=True)
class Schema:
    """One kind of file: what writes it, checks it and documents it.

    Args:
        stage: The command that writes it.
        version: Rises when columns change.
        format: ``parquet`` or ``h5``.
        columns: The stage's own columns, in order.
        doc: What the file holds.
        key: Columns before the stage's own; a file whose rows are not clips has none.

    Example:
        >>> schema = Schema("pose", 1, "h5", (Column("yaw", "float32", ("T",), "head turn in radians"),))
        >>> [column.name for column in schema.all_columns]
        ['clip_id', 'status', 'error', 'yaw']
        >>> schema.column("yaw").dims
        ('T',)
    """

    stage: str
    version: int
    format: Literal["parquet", "h5"]
    columns: tuple[Column, ...]
    doc: str = ""
    key: tuple[Column, ...] = KEY

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """The key columns and the stage's own."""
        return self.key + self.columns

    def column(self, name: str) -> Column:
        """The column of that name. Raises :class:`UserError` when there is none, with the new name of a renamed one."""
        for column in self.all_columns:
            if column.name == name:
                return column
            if name and column.formerly == name:
                raise UserError(f"The column '{name}' of {self.stage} is called '{column.name}' now.")
        known = ", ".join(column.name for column in self.all_columns)
        raise UserError(f"{self.stage} has no column '{name}'; it has {known}.")


def limits_text(limits: Iterable[str]) -> str:
    """What a row says of the models that do not know its footage; empty where all do.

    Example:
        >>> limits_text(["pocket/vlm knows only the rendered world"])
        'pocket/vlm knows only the rendered world.'
    """
    return " ".join(f"{limit}." for limit in limits)


def failure(clip_id: str, error: str) -> Row:
    """The row of a clip that could not be processed, with the cause; the store fills the other columns."""
    return {"clip_id": clip_id, "status": "failed", "error": printable(error)}


def fallback(row: Row, error: str) -> Row:
    """A row whose result is degraded, with the reason."""
    return {**row, "status": "fallback", "error": printable(error)}
