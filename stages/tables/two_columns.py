"""A table of two columns, what and how much: the summary of a stage, the fields of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.tables.formats import strip_control

if TYPE_CHECKING:
    from rich.table import Table

    from grace.pipeline.execution.runner import Summary


def two_columns(title: str, rows: list[tuple[str, str]]) -> Table:
    """Names at the left, values at the right; texts are shown as they are, never as markup."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(strip_control(title), "bold"), title_justify="left", show_header=False)
    table.add_column(overflow="fold")
    table.add_column(justify="right")
    for name, value in rows:
        table.add_row(Text(strip_control(name)), Text(strip_control(value)))
    return table


def summary_table(summary: Summary) -> Table:
    """What became of the clips of a stage: done, skipped, failed by cause, clips per second."""
    rate = f"{summary.done / summary.seconds:.1f}" if summary.done and summary.seconds else "–"
    rows: list[tuple[str, Any]] = [
        ("clips", summary.clips),
        ("done", summary.done),
        ("skipped (done before)", summary.skipped),
        ("fallback", summary.fallbacks),
        ("failed earlier", summary.carried),
        ("failed here", sum(summary.failed.values())),
        *((f"  {cause}", count) for cause, count in summary.failed.most_common(8)),
        ("clips/s", rate),
    ]
    only_if_any = {"fallback", "failed earlier"}
    return two_columns(summary.stage, [(name, str(value)) for name, value in rows if value or name not in only_if_any])
