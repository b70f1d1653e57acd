"""The folder that an export is written into."""

from __future__ import annotations

from pathlib import Path

from grace.pipeline.store.claimed import claim_folder

MARK = "grace-export.txt"
"""Marks a folder as an export: only such a one of the same format, or an empty one, is written into."""


def claim_export(folder: Path, format_name: str) -> None:
    """Mark a folder as an export of a format. Raises :class:`UserError` when it holds anything else."""
    claim_folder(folder, MARK, f"Written by grace export {format_name}.\n")
