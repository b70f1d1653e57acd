"""Captions and descriptions as one table in a file, for whoever takes nothing but the texts."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from grace.pipeline.errors import UserError
from grace.pipeline.store import Row, open_store, write_atomic
from grace.pipeline.strict_csv import encode_rows

TEXTS = {
    "caption": ("captions", ("clip_id", "status", "error", "caption", "model")),
    "refine": ("descriptions", ("clip_id", "status", "error", "caption", "description", "cues", "model")),
}
"""Stage to its store and the columns that people take away."""


def export_texts(folder: Path, stage: str, out: Path) -> int:
    """Write the texts of a stage to one file.

    Args:
        folder: ``data/<dataset>``.
        stage: ``caption`` or ``refine``.
        out: A ``.parquet``, ``.csv`` or ``.jsonl`` file; it is replaced whole. In CSV, cues are JSON.

    Returns:
        The number of rows: one per clip, those that failed included.

    Raises:
        UserError: The file's ending is another one, its folder is not there, or there are no texts yet.
    """
    encode = check_table(out)
    store, columns = TEXTS[stage]
    rows = list(open_store(folder, store).rows(columns))
    write_atomic(out, encode(columns, rows))
    return len(rows)


def check_table(out: Path) -> Callable[[Sequence[str], Sequence[Row]], bytes]:
    """What writes a table of that name; raises :class:`UserError` when nothing can."""
    encode = _FORMATS.get(out.suffix.lower())
    if encode is None:
        raise UserError(f"{out} is no table: name a file that ends in {', '.join(_FORMATS)}.")
    if not out.parent.is_dir():
        raise UserError(f"{out} cannot be written: there is no folder {out.parent}; make it first.")
    return encode


def _parquet(columns: Sequence[str], rows: Sequence[Row]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]).select(list(columns)), content)
    return content.getvalue()


def _csv(columns: Sequence[str], rows: Sequence[Row]) -> bytes:
    return encode_rows(columns, [[_cell(row[name]) for name in columns] for row in rows])


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _json_lines(columns: Sequence[str], rows: Sequence[Row]) -> bytes:
    lines = [json.dumps({name: row[name] for name in columns}, ensure_ascii=False) for row in rows]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", errors="backslashreplace")


_FORMATS = {".parquet": _parquet, ".csv": _csv, ".jsonl": _json_lines}
