"""How far raters of texts agree, as tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from grace.pipeline.messages import percent
from stages.tables.formats import strip_control

if TYPE_CHECKING:
    from rich.table import Table


def agreement_tables(found: dict[str, Any]) -> Iterator[Table]:
    """A table per kind of text; one that says that nobody has rated where there is none."""
    from rich.table import Table
    from rich.text import Text

    if not found:
        yield Table(title="Nobody has rated a text yet: open `grace review`, page Agreement.", title_justify="left")
    for kind, each in found.items():
        alpha = "–" if each["alpha"] is None else f"{each['alpha']:.2f}"
        title = f"{kind}s: Krippendorff's alpha {alpha} on {each['texts']} texts rated by two or more"
        table = Table(title=title, title_justify="left")
        for column in ("rater", "texts", "rated true", "same", "Cohen's kappa"):
            table.add_column(column, justify="left" if column == "rater" else "right")
        for name, rater in each["raters"].items():
            table.add_row(Text(strip_control(name)), str(rater["texts"]), percent(rater["true"]), "", "")
        table.add_section()
        for pair in each["pairs"]:
            names = Text(strip_control(f"{pair['first']}, {pair['second']}"))
            same = "" if pair["same"] is None else percent(pair["same"])
            table.add_row(names, str(pair["texts"]), "", same, "–" if pair["kappa"] is None else f"{pair['kappa']:.2f}")
        yield table
