"""Corrections: descriptions that a person wrote, which beat generated ones."""

from __future__ import annotations

from pathlib import Path

from grace.pipeline.errors import UserError
from grace.pipeline.sentences import collapse_whitespace
from grace.pipeline.store import Clips
from grace.pipeline.strict_csv import read_rows
from grace.pipeline.text.answers import plain_text

COLUMNS = ("clip_id", "description")


def read_overrides(file: Path, folder: Path) -> dict[str, str]:
    """Descriptions by ``clip_id``, from a CSV file with these two columns; none when there is no such file.

    Args:
        file: ``overrides/<dataset>.csv``; other columns are ignored.
        folder: ``data/<dataset>``, whose clips the file may name.

    Raises:
        UserError: The file is no such table, as :func:`~grace.pipeline.strict_csv.read_rows` reads it, names a clip
            twice or one that is not there, or leaves a description empty.
    """
    if not file.exists():
        return {}
    rows = list(read_rows(file, COLUMNS, prose="description"))
    known = {clip["clip_id"] for clip in Clips(folder, ()).rows} if rows else set()
    overrides: dict[str, str] = {}
    for line, row in rows:
        clip_id, description = row["clip_id"], collapse_whitespace(plain_text(row["description"]))
        if clip_id not in known:
            raise UserError(f"{file}, line {line}: there is no clip '{clip_id}' in {folder}.")
        if clip_id in overrides:
            raise UserError(f"{file}, line {line}: clip '{clip_id}' stands there twice.")
        if not description:
            raise UserError(f"{file}, line {line}: the description of clip '{clip_id}' is empty.")
        overrides[clip_id] = description
    return overrides
