"""Captions and descriptions as one table in a file, for whoever takes nothing but the texts."""

from __future__ import annotations

from pathlib import Path

from grace.pipeline.store import open_store
from grace.pipeline.table_files import write_rows

TEXTS = {
    "caption": ("captions", ("clip_id", "status", "error", "caption", "model")),
    "refine": ("descriptions", ("clip_id", "status", "error", "caption", "description", "cues", "model")),
}
"""Stage to its store and the columns that people take away."""


def export_texts(folder: Path, stage: str, out: Path) -> tuple[int, int]:
    """Write the texts of a stage to one file.

    Args:
        folder: ``data/<dataset>``.
        stage: ``caption`` or ``refine``.
        out: A ``.parquet``, ``.csv``, ``.json`` or ``.jsonl`` file; it is replaced whole. In CSV, cues are JSON.

    Returns:
        How many rows were written, one per clip, and how many of them failed and have no text.

    Raises:
        UserError: The file's ending is another one, its folder is not there, or there are no texts yet.
    """
    store, columns = TEXTS[stage]
    rows = list(open_store(folder, store).rows(columns))
    write_rows(out, columns, rows)
    return len(rows), sum(row["status"] == "failed" for row in rows)
