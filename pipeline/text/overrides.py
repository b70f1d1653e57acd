"""Corrections: descriptions that a person wrote, which beat generated ones."""

from __future__ import annotations

import csv
from pathlib import Path

from grace.pipeline.errors import UserError
from grace.pipeline.sentences import collapse_whitespace
from grace.pipeline.store import Clips

COLUMNS = ("clip_id", "description")


def read_overrides(file: Path, folder: Path) -> dict[str, str]:
    """Descriptions by ``clip_id``, from a CSV file with these two columns; none when there is no such file.

    Args:
        file: ``overrides/<dataset>.csv``; other columns are ignored.
        folder: ``data/<dataset>``, whose clips the file may name.

    Raises:
        UserError: The file is no such table, names a clip twice or one that is not there, or leaves a description
            empty.
    """
    if not file.is_file():
        return {}
    try:
        table = csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines(keepends=True))
        rows = [(table.line_num, row) for row in table]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} is not a CSV file in UTF-8 ({error}).") from None
    if not set(COLUMNS) <= set(table.fieldnames or ()):
        raise UserError(f"{file} needs the columns {', '.join(COLUMNS)}; it has {', '.join(table.fieldnames or ())}.")
    known = {clip["clip_id"] for clip in Clips(folder, ()).rows} if rows else set()
    overrides: dict[str, str] = {}
    for line, row in rows:
        clip_id, description = ((row[column] or "").strip() for column in COLUMNS)
        if clip_id not in known:
            raise UserError(f"{file}, line {line}: there is no clip '{clip_id}' in {folder}.")
        if clip_id in overrides:
            raise UserError(f"{file}, line {line}: clip '{clip_id}' stands there twice.")
        if not description:
            raise UserError(f"{file}, line {line}: the description of clip '{clip_id}' is empty.")
        overrides[clip_id] = collapse_whitespace(description)
    return overrides
