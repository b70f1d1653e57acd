"""``grace index``: list every clip of a data set, and say what does not fit."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stages._output import Dataset, Params, Root, Set, console, load_settings, strip_control, user_errors

if TYPE_CHECKING:
    from grace.pipeline.index.reconciliation import Reconciliation

NAMES = 42
"""Columns of the terminal that the names of findings and their numbers take."""


@user_errors
def command(
    dataset: Dataset = "demo",
    root: Root = None,
    strict: Annotated[bool, typer.Option("--strict", help="Make everything that does not fit an error.")] = False,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Read the official split files, count real frames, and reconcile the two in one table."""
    from grace.pipeline.datasets import root_of
    from grace.pipeline.index.index import index

    settings = load_settings(params, override)
    folder = settings.folder(dataset)
    accepted = settings.index.accept.get(dataset, [])
    index(
        dataset,
        root_of(settings.roots, dataset, root),
        folder,
        clips_folder=settings.index.folders.get(dataset),
        lists=settings.lists.get(dataset),
        workers=settings.workers,
        clip_seconds=settings.clip_seconds,
        strict=strict or settings.index.strict,
        accept=accepted,
        report=lambda found: show(found, dataset, folder, accepted),
    )


def show(found: Reconciliation, dataset: str, folder: Path, accepted: Collection[str] = ()) -> None:
    """Print the reconciliation: what the lists say, what is there, and every kind of finding with an example."""
    from rich.table import Table
    from rich.text import Text

    from grace.pipeline.index.reconciliation import DIFFERS, FILE

    table = Table(title=Text(f"index {strip_control(dataset)}", "bold"), title_justify="left", box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("clips", justify="right", no_wrap=True)
    table.add_column("such as", style="dim")
    screen = console()
    room = max(screen.width - NAMES, 16)  # rich itself would take it from the other columns

    def row(name: str, count: int, example: str = "", style: str = "") -> None:
        shown = Text(strip_control(example))
        shown.truncate(room, overflow="ellipsis")
        table.add_row(Text(name, style), Text(f"{count:,}", style), shown)

    kinds = [(found.videos, "videos"), (found.folders, "folders of frames")]
    row("annotated", found.annotated)
    row("found", found.found, ", ".join(f"{kind}: {count:,}" for count, kind in kinds if count))
    row("usable", found.usable)
    for finding, clips in found.findings.items():
        clip, detail = clips[0] if clips else ("", "")
        style = "bold yellow" if clips and finding not in accepted else "dim"
        row(finding, len(clips), f"{clip}: {detail}" if detail else clip, style)
        if finding == DIFFERS:
            for off, count in found.distribution():
                row(f"  by {off}", count, "█" * max(1, round(24 * count / len(clips))))
    for fold, sides in sorted(found.folds.items()):
        row(f"fold {fold}", sides.total(), f"{sides['train']:,} train, {sides['test']:,} test")
    screen.print(table)
    if any(found.findings.values()):
        screen.print(Text(strip_control(f"Every finding, clip by clip: {folder / FILE}")), soft_wrap=True)
