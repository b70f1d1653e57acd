"""The folder that an export is written into: never one that holds anything else."""

from __future__ import annotations

from pathlib import Path

from grace.pipeline.errors import UserError
from grace.pipeline.store import write_atomic

MARK = "grace-export.txt"
"""Marks a folder as an export: only such a one of the same format, or an empty one, is written into."""


def claim_folder(folder: Path, format_name: str) -> None:
    """Mark a folder as an export. Raises :class:`UserError` when it holds anything else."""
    said = f"Written by grace export {format_name}.\n"
    if folder.exists():
        if not folder.is_dir():
            raise UserError(f"{folder} is a file: name a folder.")
        mark = folder / MARK
        ours = mark.is_file() and mark.read_text(encoding="utf-8", errors="replace") == said
        if any(folder.iterdir()) and not ours:
            raise UserError(f"{folder} holds other files: name an empty folder or a new one.")
    write_atomic(folder / MARK, said.encode())
