"""Tables that people take away: Parquet, CSV, JSON or JSON lines, by the ending of the file's name."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from grace.pipeline.errors import UserError
from grace.pipeline.store import Row, write_atomic
from grace.pipeline.strict_csv import encode_rows


def check_table(out: Path) -> None:
    """Raise :class:`UserError` when no table of that name can be written; to be asked before the work."""
    if out.suffix.lower() not in _FORMATS:
        raise UserError(f"{out} is no table: name a file that ends in {', '.join(_FORMATS)}.")
    if not out.parent.is_dir():
        raise UserError(f"{out} cannot be written: there is no folder {out.parent}; make it first.")


def write_rows(out: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Write a table as one file, which is replaced whole.

    Args:
        out: A ``.parquet``, ``.csv``, ``.json`` or ``.jsonl`` file.
        columns: The columns, in order.
        rows: Their values; what is no text or number is written to CSV as JSON.

    Raises:
        UserError: The ending is another one, or the folder is not there.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_rows(Path(folder) / "a.csv", ["clip", "cues"], [{"clip": "x", "cues": ["brows"]}])
        ...     (Path(folder) / "a.csv").read_text()
        'clip,cues\\nx,"[""brows""]"\\n'
    """
    check_table(out)
    write_atomic(out, _FORMATS[out.suffix.lower()](columns, rows))


def _parquet(columns: Sequence[str], rows: Sequence[Row]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = io.BytesIO()
    pq.write_table(pa.table({name: [row[name] for row in rows] for name in columns}), content)
    return content.getvalue()


def _csv(columns: Sequence[str], rows: Sequence[Row]) -> bytes:
    return encode_rows(columns, [[_cell(row[name]) for name in columns] for row in rows])


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return value if isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False)


def _json(columns: Sequence[str], rows: Sequence[Row]) -> bytes:
    return f"{json.dumps([{name: row[name] for name in columns} for row in rows], indent=1)}\n".encode()


def _json_lines(columns: Sequence[str], rows: Sequence[Row]) -> bytes:
    return "".join(f"{json.dumps({name: row[name] for name in columns})}\n" for row in rows).encode()


_FORMATS: dict[str, Callable[[Sequence[str], Sequence[Row]], bytes]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".json": _json,
    ".jsonl": _json_lines,
}
