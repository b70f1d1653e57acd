"""Corrections: descriptions and cues that a person wrote, which beat generated ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from grace.pipeline.errors import UserError
from grace.pipeline.sentences import collapse_whitespace
from grace.pipeline.store import Clips, write_atomic
from grace.pipeline.strict_csv import encode_rows, is_there, read_rows, unescape
from grace.pipeline.text.answers import plain_text
from grace.pipeline.text.cues import Cue

COLUMNS = ("clip_id", "description")
CUES = "cues"
"""An optional third column: the cues as a JSON list of objects, or nothing where the description alone is corrected."""

_CUES = TypeAdapter(list[Cue])


@dataclass(frozen=True)
class Override:
    """A description that a person wrote, and its cues; None where the person said nothing about cues."""

    description: str
    cues: tuple[Cue, ...] | None = None

    def cache_key(self) -> str:
        """What stands for it in fingerprints."""
        return self.description if self.cues is None else f"{self.description}\n{_json(self.cues)}"


def read_overrides(file: Path, folder: Path) -> dict[str, Override]:
    """Corrections by ``clip_id``, from a CSV file; none when there is no such file.

    Args:
        file: ``overrides/<dataset>.csv`` with ``clip_id``, ``description`` and, where cues are corrected, ``cues``;
            other columns are ignored.
        folder: ``data/<dataset>``, whose clips the file may name.

    Raises:
        UserError: The file is no such table, as :func:`~grace.pipeline.strict_csv.read_rows` reads it, names a clip
            twice or one that is not there, leaves a description empty, or holds cues that are none.
    """
    if not is_there(file):
        return {}
    rows = _rows(file)
    known = {clip["clip_id"] for clip in Clips(folder, ()).rows} if rows else set()
    for line, row in rows:
        if row["clip_id"] not in known:
            raise UserError(f"{file}, line {line}: there is no clip '{row['clip_id']}' in {folder}.")
    return _overrides(file, rows)


def read_override_rows(file: Path) -> dict[str, Override]:
    """Corrections by ``clip_id``, whether or not there are such clips. Raises :class:`UserError` as above."""
    return _overrides(file, _rows(file)) if is_there(file) else {}


def _rows(file: Path) -> list[tuple[int, dict[str, str]]]:
    rows = read_rows(file, COLUMNS, prose="description")
    return [(line, {column: unescape(cell) for column, cell in row.items()}) for line, row in rows]


def _overrides(file: Path, rows: list[tuple[int, dict[str, str]]]) -> dict[str, Override]:
    overrides: dict[str, Override] = {}
    for line, row in rows:
        clip_id, description = row["clip_id"], collapse_whitespace(plain_text(row["description"]))
        if clip_id in overrides:
            raise UserError(f"{file}, line {line}: clip '{clip_id}' stands there twice.")
        if not description:
            raise UserError(f"{file}, line {line}: the description of clip '{clip_id}' is empty.")
        overrides[clip_id] = Override(description, _read_cues(row.get(CUES, ""), file, line))
    return overrides


def write_overrides(file: Path, overrides: Mapping[str, Override]) -> None:
    """Write corrections so that :func:`read_overrides` reads them back; the file exists whole or not at all.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_overrides(Path(folder, "demo.csv"), {"a": Override("The brows rise, then the jaw drops.")})
        ...     read_override_rows(Path(folder, "demo.csv"))["a"].description
        'The brows rise, then the jaw drops.'
    """
    rows = [(clip_id, override.description, override.cues) for clip_id, override in sorted(overrides.items())]
    if any(cues is not None for _, _, cues in rows):
        cells = [(clip_id, text, "" if cues is None else _json(cues)) for clip_id, text, cues in rows]
        write_atomic(file, encode_rows((*COLUMNS, CUES), cells))
    else:
        write_atomic(file, encode_rows(COLUMNS, [row[:2] for row in rows]))


def _read_cues(cell: str, file: Path, line: int) -> tuple[Cue, ...] | None:
    if not cell:
        return None
    try:
        return tuple(_CUES.validate_json(cell))
    except ValidationError:
        raise UserError(
            f"{file}, line {line}: the cues are no JSON list of objects with region, action, intensity and phase; "
            "leave the cell empty where cues are not corrected."
        ) from None


def _json(cues: tuple[Cue, ...]) -> str:
    return json.dumps([cue.model_dump() for cue in cues], ensure_ascii=False)
