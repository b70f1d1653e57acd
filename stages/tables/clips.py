"""The tables of ``grace inspect``: texts of several clips, and everything known about one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stages.tables.formats import strip_control

if TYPE_CHECKING:
    from rich.table import Table

    from grace.pipeline.store import Row


def descriptions_table(rows: Sequence[Row], total: int) -> Table:
    """Captions, descriptions and cues of some of ``total`` rows, wrapped for reading."""
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=True, title=f"{len(rows)} of {total} rows", title_justify="left")
    table.add_column("clip", no_wrap=True)
    for name, ratio in (("coarse caption", 4), ("description", 5), ("cues", 5)):
        table.add_column(name, ratio=ratio)
    for row in sorted(rows, key=lambda row: row["clip_id"]):
        head = f"{row['clip_id']}\n{row['label']}" + ("" if row["status"] == "ok" else f"\n{row['status']}")
        description = row["description"] or row["error"]
        table.add_row(*(Text(strip_control(text)) for text in (head, row["caption"], description, cues(row["cues"]))))
    return table


def fields(row: Row) -> list[tuple[str, str]]:
    """Column and value of a row, without empty texts; arrays by shape and range, images by number and size."""
    return [(name, _value(name, value)) for name, value in row.items() if not (isinstance(value, str) and value == "")]


def cues(found: list[dict[str, str]] | None) -> str:
    """One cue per line."""
    return "\n".join(f"{cue['region']}: {cue['action']}, {cue['intensity']}, {cue['phase']}" for cue in found or [])


def _value(name: str, value: Any) -> str:
    import numpy as np

    from grace.pipeline.messages import byte_size

    if name == "cues":
        return cues(value)
    if isinstance(value, np.ndarray):
        if value.dtype == bool:
            return f"{int(value.sum())} of {value.size} true"
        if value.size <= 4:
            return " ".join(f"{x:g}" for x in value.ravel())
        return f"{' × '.join(map(str, value.shape))}, {value.min():.3g} to {value.max():.3g}"
    if isinstance(value, list) and value and isinstance(value[0], bytes):
        return f"{len(value)} JPEG images, {byte_size(sum(map(len, value)))}"
    return str(value)
