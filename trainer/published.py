"""A run beside published results: facts of papers and repositories, protocols told apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grace.pipeline.store import UserError
from grace.pipeline.strict_csv import read_rows
from grace.trainer.settings import PREFIX

COLUMNS = ("dataset", "method", "year", "backbone", "uar", "war", "protocol")
"""Columns that a CSV of published results must have; UAR and WAR in %, empty where a paper does not say."""
SOURCE = "source"
"""A further column that it may have: the paper or repository that says so."""
SHIPPED = Path(__file__).with_name("published.csv")
"""The table that ships with GRACE: rows that were read in the sources that they name."""
PUBLIC = frozenset({"afew", "cremad", "meld", "ravdess", "mafw-compound"})
"""Data sets with an adapter on which results are published, but of which the table that ships has none."""
NOTHING = "none"
"""Value of ``evaluate.published`` that prints no published rows."""


def published_rows(dataset: str, own: Sequence[dict[str, str]], table: str | None = None) -> list[dict[str, str]]:
    """Published rows of a data set, sorted by protocol and WAR, and one's own ones as the last.

    Args:
        dataset: its name.
        own: rows of :func:`own_row`.
        table: ``evaluate.published``: a CSV, None for the table that ships, or ``none``.

    Returns:
        The rows; none at all when the table that ships has none of this data set.

    Raises:
        UserError: there is no such file, it lacks one of ``COLUMNS``, or a score is no share in %.

    Example:
        >>> rows = published_rows("dfew", [own_row("grace", 0.6, 0.7, "5 folds, held-out")])
        >>> rows[0]["protocol"], rows[-1]["method"], rows[-1]["uar"]
        ('5-fold', 'grace', '60.00')
        >>> published_rows("demo", [own_row("grace", 0.6, 0.7, "2 folds, held-out")])
        []
    """
    if table == NOTHING:
        return []
    path = SHIPPED if table is None else Path(table)
    theirs = []
    for line, row in read_rows(path, COLUMNS):
        _check(path, line, row)
        if row["dataset"].lower() == dataset.lower():
            theirs.append({name: row.get(name, "") for name in (*COLUMNS, SOURCE)})
    if not theirs and table is None:
        return []
    theirs.sort(key=lambda row: (row["protocol"], float(row["war"] or 0)))
    return [*theirs, *({**row, "dataset": dataset} for row in own)]


def none_published(dataset: str, table: str | None = None) -> str:
    """What to say where :func:`published_rows` gives none: nothing of a data set that nobody publishes results on.

    Example:
        >>> none_published("ravdess")
        'No published results on ravdess ship with GRACE: name a table of them in evaluate.published.'
        >>> none_published("my-clips"), none_published("ravdess", "none")
        ('', '')
    """
    if table is not None or dataset.lower() not in PUBLIC:
        return ""
    return f"No published results on {dataset} ship with GRACE: name a table of them in evaluate.published."


def own_row(method: str, uar: float, war: float, protocol: str) -> dict[str, str]:
    """The row of a run of one's own; scores are shares in [0, 1].

    Args:
        method: Its name.
        uar: Unweighted average recall.
        war: Weighted average recall.
        protocol: How it was tested, such as ``5 folds, held-out``.

    Returns:
        Cells by column, scores in percent with two digits; columns that say nothing of it are empty.

    Example:
        >>> row = own_row("grace", 0.6, 0.7, "5 folds, held-out")
        >>> row["uar"], row["war"], row["year"]
        ('60.00', '70.00', '')
    """
    scores = {"uar": f"{100 * uar:.2f}", "war": f"{100 * war:.2f}"}
    return {
        **dict.fromkeys((*COLUMNS, SOURCE), ""),
        "method": method,
        **scores,
        "protocol": protocol,
        SOURCE: "this run",
    }


def row_of(result: dict[str, Any]) -> dict[str, str]:
    """The row of what :func:`~grace.trainer.evaluate.evaluate` returns."""
    prefix = PREFIX[result["protocol"]]
    folds = len(result[f"{prefix}folds"])
    protocol = f"{folds} fold{'s' if folds > 1 else ''}, {result['protocol']}"
    return own_row(result["method"], result[f"{prefix}UAR"], result[f"{prefix}WAR"], protocol)


def _check(path: Path, line: int, row: dict[str, str]) -> None:
    for name in ("uar", "war"):
        try:
            good = not row[name] or 0 <= float(row[name]) <= 100
        except ValueError:
            good = False
        if not good:
            raise UserError(f"{path}, line {line}: '{name}' is {row[name]!r}, which is no score in %.")
