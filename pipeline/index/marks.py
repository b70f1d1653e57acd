"""Clips that a person marked: unusable, or with a doubtful label. Both leave all folds, and the index says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from grace.pipeline.errors import UserError
from grace.pipeline.sentences import collapse_whitespace
from grace.pipeline.store import Row, failure, write_atomic
from grace.pipeline.strict_csv import encode_rows, read_rows, unescape

UNUSABLE, DOUBTFUL = "unusable", "doubtful"
KINDS = (UNUSABLE, DOUBTFUL)
COLUMNS = ("clip_id", "mark", "reason")


@dataclass(frozen=True)
class Mark:
    """What a person said about a clip: one of ``KINDS``, and why."""

    kind: str
    reason: str


def read_marks(file: Path) -> dict[str, Mark]:
    """Marks by ``clip_id`` from ``overrides/<dataset>.clips.csv``; none when there is no such file.

    Raises :class:`UserError` when the file is no such table, marks a clip twice or with an unknown word, or gives no
    reason.
    """
    if not file.is_file():
        return {}
    marks: dict[str, Mark] = {}
    for line, row in read_rows(file, COLUMNS):
        clip_id, kind, reason = (unescape(row[column]) for column in COLUMNS)
        if clip_id in marks:
            raise UserError(f"{file}, line {line}: clip '{clip_id}' stands there twice.")
        if kind not in KINDS:
            raise UserError(f"{file}, line {line}: the mark is '{kind}', not {' or '.join(KINDS)}.")
        if not reason:
            raise UserError(f"{file}, line {line}: the mark of clip '{clip_id}' has no reason.")
        marks[clip_id] = Mark(kind, collapse_whitespace(reason))
    return marks


def write_marks(file: Path, marks: Mapping[str, Mark]) -> None:
    """Write marks so that :func:`read_marks` reads them back; the file exists whole or not at all.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_marks(Path(folder, "demo.clips.csv"), {"a": Mark("doubtful", "she smiles")})
        ...     read_marks(Path(folder, "demo.clips.csv"))["a"].reason
        'she smiles'
    """
    rows = ((clip_id, marks[clip_id].kind, marks[clip_id].reason) for clip_id in sorted(marks))
    write_atomic(file, encode_rows(COLUMNS, rows))


def apply_marks(rows: Sequence[Row], marks: Mapping[str, Mark], file: Path) -> Iterator[tuple[str, str, str]]:
    """Take marked clips out of all folds, and fail those that are unusable; the rows are changed in place.

    A clip with a doubtful label keeps it, and its texts are made; it neither teaches nor is scored.

    Args:
        rows: Rows of ``clips.parquet``.
        marks: Marks by ``clip_id``.
        file: Where the marks were read, for the message.

    Yields:
        Kind, clip and reason of each mark.

    Raises:
        UserError: A mark names a clip that is not there.

    Example:
        >>> rows = [{"clip_id": "a", "status": "ok", "label": "fear", "fold_1": "test"}]
        >>> list(apply_marks(rows, {"a": Mark("doubtful", "she smiles")}, Path("demo.clips.csv")))
        [('doubtful', 'a', 'she smiles')]
        >>> rows[0]["label"], rows[0]["fold_1"]
        ('fear', '')
    """
    by_id = {row["clip_id"]: row for row in rows}
    for clip_id, mark in sorted(marks.items()):
        row = by_id.get(clip_id)
        if row is None:
            raise UserError(f"{file}: the data set has no clip '{clip_id}'.")
        row |= {column: "" for column in row if column.startswith("fold_")}
        if mark.kind == UNUSABLE and row["status"] != "failed":
            row |= failure(clip_id, f"index: marked unusable by hand: {mark.reason}")
        yield mark.kind, clip_id, mark.reason
