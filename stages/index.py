"""``grace index``: list every clip of a data set, and say what does not fit."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stages._options import ClipsFolder, DatasetOrFolder, Params, Root, Set, command_settings, dataset_of
from stages._output import console, note, user_errors
from stages.tables.formats import strip_control

if TYPE_CHECKING:
    from grace.pipeline.index.reconciliation import Reconciliation
    from grace.settings import Settings


@user_errors
def command(
    clips: ClipsFolder = None,
    dataset: DatasetOrFolder = None,
    root: Root = None,
    strict: Annotated[bool, typer.Option("--strict", help="Make everything that does not fit an error.")] = False,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Read the official split files, or any folder; count real frames, and say in one table what does not fit."""
    settings = command_settings(params, override, "index", clips)
    run_index(dataset_of(clips, dataset, settings), settings, root, strict)


def run_index(dataset: str, settings: Settings, root: str | None = None, strict: bool = False) -> None:
    """List the clips of a data set, and print what does not fit."""
    from grace.pipeline.datasets import root_of
    from grace.pipeline.datasets.roots import remembered_root
    from grace.pipeline.index.index import index

    folder = settings.folder(dataset)
    accepted = settings.index.accept.get(dataset, [])
    index(
        dataset,
        root_of(settings.roots, dataset, root, folder),
        folder,
        clips_folder=settings.index.folders.get(dataset),
        links=settings.index.links.get(dataset, []),
        lists=settings.lists.get(dataset),
        labels=settings.index.labels.get(dataset),
        split=settings.index.split.get(dataset),
        workers=settings.workers,
        clip_timeout=settings.clip_timeout,
        hash_images=settings.index.hash,
        strict=strict or settings.index.strict,
        accept=accepted,
        any_folder=not root and dataset not in settings.roots and remembered_root(folder) is not None,
        marks=Path(settings.refine.overrides) / f"{dataset}.clips.csv",
        report=lambda found: _show(found, dataset, folder, accepted),
    )


def _show(found: Reconciliation, dataset: str, folder: Path, accepted: Collection[str] = ()) -> None:
    from rich.text import Text

    from grace.pipeline.index.reconciliation import FILE
    from stages.tables.reconciliation import reconciliation_table

    screen = console()
    screen.print(reconciliation_table(found, dataset, screen.width, accepted))
    if any(found.findings.values()):
        screen.print(Text(strip_control(f"Every finding, clip by clip: {folder / FILE}")), soft_wrap=True)
    for sentence in found.notes:
        note(sentence)
