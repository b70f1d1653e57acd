"""Runs of one data set on another one's clips, both directions in one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stages.tables.scores import new_table, percent, short

if TYPE_CHECKING:
    from rich.table import Table

    from grace.trainer.cross_dataset import Transfer


def cross_dataset_table(found: Sequence[Transfer]) -> Table:
    """One row per direction, its interval below, and above it the same runs on their own test clips."""
    from rich.text import Text

    first = found[0]
    best = " (test folds chose the epochs)" if any(each.protocol == "best-test" for each in found) else ""
    table = new_table(f"{first.method} on another data set{best}, {len(first.labels)} shared classes, recall in %")
    for name in ("trained", "tested", *(short(label) for label in first.labels), "UAR", "WAR", "n", "lost"):
        table.add_column(name, justify="left" if name in ("trained", "tested") else "right", no_wrap=True)
    for each in found:
        table.add_row(Text(each.trained_on), Text(each.trained_on), *_cells(each.own, first.labels))
        table.add_row(Text(each.trained_on), Text(each.tested_on), *_cells(each.scores, first.labels))
        spans = each.scores["interval"]
        bounds = [*(spans["recall"][label] for label in first.labels), spans["UAR"], spans["WAR"]]
        for side, name in enumerate(("from", "to")):
            table.add_row("", f"{spans['confidence']:.0%} {name}", *(percent(bound[side]) for bound in bounds), "", "")
        table.add_section()
    return table


def sentences(found: Transfer) -> list[str]:
    """What must be known to read the scores of one direction."""
    scored = found.scores
    runs = len(scored["folds"])
    said = [
        f"{found.trained_on} → {found.tested_on}: {scored['clips']:,} clips, each scored by {runs} "
        f"run{'s' if runs > 1 else ''}; means over the runs, intervals over {scored['interval']['over']}."
    ]
    if found.unused:
        lacking = ", ".join(found.unused)
        said.append(f"{found.tested_on} lacks {lacking}: the probabilities of the shared classes were renormalised.")
    if found.left_out:
        causes = ", ".join(f"{count:,} {cause}" for cause, count in sorted(found.left_out.items()))
        said.append(f"Left out of {found.tested_on}: {causes}.")
    if scored["missing"]:
        said.append(f"{scored['missing']:,} clips of {found.tested_on} could not be scored and count as wrong.")
    return [*said, *(f"{remark.rstrip('.')}." for remark in found.remarks)]


def _cells(scored: dict[str, Any], labels: Sequence[str]) -> list[str]:
    recall = [percent(scored["recall"][label]) for label in labels]
    return [*recall, percent(scored["UAR"]), percent(scored["WAR"]), str(scored["clips"]), str(scored["missing"])]
