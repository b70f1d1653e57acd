"""Scores as papers print them: folds as rows, classes as columns; a run beside published ones; two runs compared."""

from __future__ import annotations

from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from grace.pipeline import messages
from grace.trainer.settings import PREFIX
from stages.tables.formats import strip_control

if TYPE_CHECKING:
    from rich.table import Table

    from grace.trainer.compare import Comparison

percent = partial(messages.percent, unit="")  # titles say that cells are in %


def paper_table(result: dict[str, Any]) -> Table:
    """Recall of each class, UAR and WAR of each fold; the mean and its interval below."""
    scores = _unprefixed(result)
    best = " (test fold chose the epoch)" if result["protocol"] == "best-test" else ""
    table = new_table(f"{result['method']}, protocol {result['protocol']}{best}, recall in %")
    for name in ("fold", *(short(label) for label in scores["recall"]), "UAR", "WAR", "n", "lost"):
        table.add_column(name, justify="left" if name == "fold" else "right", no_wrap=True)
    for fold, of_fold in scores["folds"].items():
        table.add_row(fold, *_cells(of_fold), str(of_fold["clips"]), str(of_fold["missing"]))
    table.add_section()
    table.add_row("mean", *_cells(scores), str(scores["clips"]), str(scores["missing"]))
    if seeds := scores.get("seeds"):
        blank = [""] * len(scores["recall"])
        for name in ("mean", "deviation"):
            values = [percent(seeds[score][name]) for score in ("UAR", "WAR")]
            table.add_row(f"{len(seeds['UAR']['each'])} seeds, {name}", *blank, *values, "", "")
    if without := scores.get("without_text"):
        blank = [""] * len(scores["recall"])
        table.add_row("no text", *blank, percent(without["UAR"]), percent(without["WAR"]), "", "")
    spans = scores["interval"]
    bounds = [*(spans["recall"][name] for name in scores["recall"]), spans["UAR"], spans["WAR"]]
    for side, name in enumerate(("from", "to")):
        table.add_row(f"{spans['confidence']:.0%} {name}", *(percent(bound[side]) for bound in bounds), "", "")
    table.caption = f"Intervals over {spans['over']}."
    if scores["missing"]:
        table.caption += f" {scores['missing']} of {scores['clips']} test clips could not be scored and count as wrong."
    return table


def detail_table(result: dict[str, Any]) -> Table:
    """What the class columns do not show: ambiguous pairs, the tail, calibration."""
    scores = _unprefixed(result)
    spans = scores["interval"]
    table = new_table("of all test clips together, in %")
    for name in ("what", "recall", f"{spans['confidence']:.0%}", "taken for each other"):
        table.add_column(name, justify="left" if name == "what" else "right", no_wrap=True)
    for pair, of_pair in scores["pairs"].items():
        table.add_row(pair, percent(of_pair["recall"]), _span(spans["pairs"][pair]), percent(of_pair["confused"]))
    tail = ", ".join(scores["tail"]["classes"])
    table.add_row(f"tail: {tail}", percent(scores["tail"]["recall"]), _span(spans["tail"]), "")
    table.caption = f"Calibration error (ECE) {percent(scores['ECE'])} %."
    return table


def scenes_table(result: dict[str, Any]) -> Table | None:
    """UAR and WAR of each scene; None where the data set names none."""
    if not (scenes := _unprefixed(result).get("scenes")):
        return None
    table = new_table("by scene, test clips of all folds, in %")
    for name in ("scene", "UAR", "WAR", "n"):
        table.add_column(name, justify="left" if name == "scene" else "right", no_wrap=True)
    for scene, scored in scenes.items():
        table.add_row(scene, percent(scored["UAR"]), percent(scored["WAR"]), str(scored["clips"]))
    table.caption = "UAR is the mean over the classes that a scene has."
    return table


def published_table(rows: list[dict[str, str]]) -> Table:
    """The rows of :func:`~grace.trainer.published.published_rows`, protocols apart, with what may be compared."""
    from rich.text import Text

    table = new_table("beside published results, UAR and WAR in %")
    columns = [name for name in rows[0] if name != "dataset" and any(row[name] for row in rows)]
    for name in columns:
        table.add_column(name, justify="right" if name in ("uar", "war") else "left", no_wrap=name != "protocol")
    for row, following in zip_longest(rows, rows[1:]):
        table.add_row(*(Text(strip_control(row[name])) for name in columns))
        if following is not None and following["protocol"] != row["protocol"]:
            table.add_section()
    table.caption = (
        "Published numbers mostly follow the best-test habit, some on one fold; only like protocols can be compared."
    )
    return table


def comparison_table(result: Comparison) -> Table:
    """Two runs beside each other, one row per score, in %, with the paired tests."""
    table = new_table(f"{result.first} − {result.second}, {result.clips} test clips, protocol {result.protocol}, in %")
    for name in ("score", "first", "second", "lead", f"{result.confidence:.0%} interval", "p"):
        table.add_column(name, justify="left" if name == "score" else "right", no_wrap=True)
    for name, lead in result.leads.items():
        span = f"{100 * lead.low:+.1f} … {100 * lead.high:+.1f}"
        cells = (percent(lead.first), percent(lead.second), f"{100 * lead.difference:+.1f}", span, f"{lead.p:.3f}")
        table.add_row(name, *cells)
    test = result.mcnemar
    table.caption = (
        f"Only the first right: {test['only_first']} clips, only the second: {test['only_second']}; McNemar's exact "
        f"p {test['p']:.3f}."
    )
    return table


def new_table(title: str) -> Table:
    """An empty table in the style of papers: rules above, below and between parts."""
    from rich.box import HORIZONTALS
    from rich.table import Table

    return Table(title=title, box=HORIZONTALS, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False)


def _unprefixed(result: dict[str, Any]) -> dict[str, Any]:
    """Scores by their names, whatever protocol they follow."""
    prefix = PREFIX[result["protocol"]]
    return {name.removeprefix(prefix): value for name, value in result.items()}


def short(label: str) -> str:
    """A column's heading, as papers abbreviate it: ``hap.``"""
    return label if len(label) <= 4 else f"{label[:3]}."


def _cells(scored: dict[str, Any]) -> list[str]:
    return [percent(value) for value in (*scored["recall"].values(), scored["UAR"], scored["WAR"])]


def _span(bounds: list[float | None]) -> str:
    return " … ".join(percent(bound) for bound in bounds)
