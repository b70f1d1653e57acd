"""Scores as papers print them: folds as rows, classes as columns; and where a run stands beside published ones."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grace.pipeline.store import UserError
from grace.trainer.compare import Comparison
from grace.trainer.protocol import PREFIX

if TYPE_CHECKING:
    from rich.table import Table

PUBLISHED = ("dataset", "method", "year", "backbone", "uar", "war", "protocol")
"""Columns that a CSV of published results must have; UAR and WAR in %."""


def paper_table(result: dict[str, Any]) -> Table:
    """Recall of each class, UAR and WAR of each fold; the mean and its interval below."""
    prefix = PREFIX[result["protocol"]]
    get = {name.removeprefix(prefix): value for name, value in result.items()}
    best = " (test fold chose the epoch)" if result["protocol"] == "best-test" else ""
    table = _table(f"{result['method']}, protocol {result['protocol']}{best}, recall in %")
    for name in ("fold", *(_short(label) for label in get["recall"]), "UAR", "WAR", "n", "lost"):
        table.add_column(name, justify="left" if name == "fold" else "right", no_wrap=True)
    for fold, scored in get["folds"].items():
        table.add_row(fold, *_cells(scored), str(scored["clips"]), str(scored["missing"]))
    table.add_section()
    table.add_row("mean", *_cells(get), str(get["clips"]), str(get["missing"]))
    spans = get["interval"]
    bounds = [*(spans["recall"][name] for name in get["recall"]), spans["UAR"], spans["WAR"]]
    for side, name in enumerate(("from", "to")):
        table.add_row(f"{spans['confidence']:.0%} {name}", *(_percent(bound[side]) for bound in bounds), "", "")
    if get["missing"]:
        table.caption = f"{get['missing']} of {get['clips']} test clips could not be scored and count as wrong."
    return table


def detail_table(result: dict[str, Any]) -> Table:
    """What the class columns do not show: ambiguous pairs, the tail, calibration."""
    prefix = PREFIX[result["protocol"]]
    get = {name.removeprefix(prefix): value for name, value in result.items()}
    table = _table("of all test clips together, in %")
    for name in ("what", "recall", f"{get['interval']['confidence']:.0%}", "taken for each other"):
        table.add_column(name, justify="left" if name == "what" else "right", no_wrap=True)
    for pair, scored in get["pairs"].items():
        span = _span(get["interval"]["pairs"][pair])
        table.add_row(pair, _percent(scored["recall"]), span, _percent(scored["confused"]))
    tail = ", ".join(get["tail"]["classes"])
    table.add_row(f"tail: {tail}", _percent(get["tail"]["recall"]), _span(get["interval"]["tail"]), "")
    table.caption = f"Calibration error (ECE) {_percent(get['ECE'])} %."
    return table


def published_rows(path: Path, dataset: str, result: dict[str, Any]) -> list[dict[str, str]]:
    """The rows of a CSV of published results for ``dataset``, and the run's own as the last one.

    Raises :class:`UserError` when there is no such file or it lacks one of ``PUBLISHED``.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"evaluate.published names {path}, which cannot be read ({type(error).__name__}).") from None
    if missing := [name for name in PUBLISHED if rows and name not in rows[0]]:
        raise UserError(f"{path} has no column {', '.join(missing)}; it needs {', '.join(PUBLISHED)}.")
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
    return [{name: str(row.get(name) or "") for name in PUBLISHED} for row in (*theirs, own)]


def published_table(rows: list[dict[str, str]]) -> Table:
    """:func:`published_rows` as a table, with a warning about what may be compared."""
    table = _table("beside published results, UAR and WAR in %")
    for name in PUBLISHED[1:]:
        table.add_column(name, justify="right" if name in ("uar", "war") else "left")
    for row in rows:
        table.add_row(*(row[name] for name in PUBLISHED[1:]))
    table.caption = (
        "Published numbers mostly follow the best-test habit, some on one fold; only like protocols can be compared."
    )
    return table


def comparison_table(result: Comparison) -> Table:
    """Two runs beside each other, a row a score, in %, with the paired tests."""
    table = _table(f"{result.first} − {result.second}, {result.clips} test clips, protocol {result.protocol}, in %")
    for name in ("score", "first", "second", "lead", f"{result.confidence:.0%} interval", "p"):
        table.add_column(name, justify="left" if name == "score" else "right", no_wrap=True)
    for name, lead in result.leads.items():
        span = f"{100 * lead.low:+.1f} … {100 * lead.high:+.1f}"
        cells = (_percent(lead.first), _percent(lead.second), f"{100 * lead.difference:+.1f}", span, f"{lead.p:.3f}")
        table.add_row(name, *cells)
    test = result.mcnemar
    table.caption = (
        f"Only the first right: {test['only_first']} clips, only the second: {test['only_second']}; McNemar's exact "
        f"p {test['p']:.3f}."
    )
    return table


def _table(title: str) -> Table:
    from rich.box import HORIZONTALS
    from rich.table import Table

    return Table(title=title, box=HORIZONTALS, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False)


def _short(label: str) -> str:
    """A column's heading, as papers abbreviate it: ``hap.``"""
    return label if len(label) <= 4 else f"{label[:3]}."


def _cells(scored: dict[str, Any]) -> list[str]:
    return [_percent(value) for value in (*scored["recall"].values(), scored["UAR"], scored["WAR"])]


def _span(bounds: list[float | None]) -> str:
    return " … ".join(_percent(bound) for bound in bounds)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"
