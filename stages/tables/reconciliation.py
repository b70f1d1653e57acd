"""The table of ``grace index``: what the lists say, what is there, and every kind of finding with an example."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from stages.tables.formats import strip_control

if TYPE_CHECKING:
    from rich.table import Table

    from grace.pipeline.index.reconciliation import Reconciliation

SHOWN_FOLDS = 10
NAMES = 42
"""Columns of the terminal that the names of findings and their numbers take."""


def reconciliation_table(found: Reconciliation, dataset: str, width: int, accepted: Collection[str] = ()) -> Table:
    """One finding per row, ``width`` columns wide; faults are highlighted, and ``accepted`` findings are none."""
    from rich.table import Table
    from rich.text import Text

    from grace.pipeline.datasets.base import SPLITS
    from grace.pipeline.index.reconciliation import DIFFERS

    table = Table(title=Text(f"index {strip_control(dataset)}", "bold"), title_justify="left", box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("clips", justify="right", no_wrap=True)
    table.add_column("such as", style="dim")
    example_width = max(width - NAMES, 16)  # rich itself would take it from the other columns

    def row(name: str, count: int, example: str = "", style: str = "") -> None:
        shown = Text(strip_control(example))
        shown.truncate(example_width, overflow="ellipsis")
        table.add_row(Text(name, style), Text(f"{count:,}", style), shown)

    kinds = [(found.videos, "videos"), (found.folders, "folders of frames")]
    row("annotated", found.annotated)
    row("found", found.found, ", ".join(f"{kind}: {count:,}" for count, kind in kinds if count))
    row("usable", found.usable)
    faults = found.faults(accepted)
    for finding, clips in found.findings.items():
        clip, detail = clips[0] if clips else ("", "")
        style = "bold yellow" if finding in faults else "dim"
        row(finding, len(clips), f"{clip}: {detail}" if detail else clip, style)
        if finding == DIFFERS:
            for off, count in found.distribution():
                row(f"  by {off}", count, "█" * max(1, round(24 * count / len(clips))))
    for name, count in found.classes.items():
        row(f"class {strip_control(name)[:24]}", count, style="" if count else "bold yellow")
    for fold, sides in sorted(found.folds.items())[:SHOWN_FOLDS]:
        parts = [part for part in SPLITS if sides[part] or part != "val"]
        row(f"fold {fold}", sides.total(), ", ".join(f"{sides[part]:,} {part}" for part in parts))
    if len(found.folds) > SHOWN_FOLDS:
        row(f"{len(found.folds) - SHOWN_FOLDS} more folds", found.annotated)
    return table
