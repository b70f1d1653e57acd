"""A run beside published results."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from grace.pipeline.store import UserError
from grace.trainer.settings import PREFIX

COLUMNS = ("dataset", "method", "year", "backbone", "uar", "war", "protocol")
"""Columns that a CSV of published results must have; UAR and WAR in %."""


def published_rows(path: Path, dataset: str, result: dict[str, Any]) -> list[dict[str, str]]:
    """The rows of a CSV of published results for ``dataset``, and the run's own as the last one.

    ``result`` is what :func:`~grace.trainer.evaluate.evaluate` returns. Raises :class:`UserError` when there is no such
    file or it lacks one of ``COLUMNS``.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"evaluate.published names {path}, which cannot be read ({type(error).__name__}).") from None
    if missing := [name for name in COLUMNS if rows and name not in rows[0]]:
        raise UserError(f"{path} has no column {', '.join(missing)}; it needs {', '.join(COLUMNS)}.")
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
