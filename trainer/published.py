"""A run beside published results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from grace.pipeline.strict_csv import read_rows
from grace.trainer.settings import PREFIX

COLUMNS = ("dataset", "method", "year", "backbone", "uar", "war", "protocol")
"""Columns that a CSV of published results must have; UAR and WAR in %."""


def published_rows(path: Path, dataset: str, result: dict[str, Any]) -> list[dict[str, str]]:
    """The rows of a CSV of published results for ``dataset``, and the run's own as the last one.

    ``result`` is what :func:`~grace.trainer.evaluate.evaluate` returns. Raises :class:`UserError` when there is no such
    file or it lacks one of ``COLUMNS``.
    """
    rows = [row for _, row in read_rows(path, COLUMNS)]
    prefix = PREFIX[result["protocol"]]
    folds = len(result[f"{prefix}folds"])
    own = {
        "dataset": dataset,
        "method": f"{result['method']} (this run)",
        "uar": f"{100 * result[f'{prefix}UAR']:.2f}",
        "war": f"{100 * result[f'{prefix}WAR']:.2f}",
        "protocol": f"{folds} fold{'s' if folds > 1 else ''}, {result['protocol']}",
    }
    theirs = [row for row in rows if row["dataset"].lower() == dataset.lower()]
    return [{name: str(row.get(name) or "") for name in COLUMNS} for row in (*theirs, own)]
