"""``grace index``: list every clip of a data set, and say what does not fit."""

from __future__ import annotations

from pathlib import Path

from stages.console import Dataset, Params, Root, Set, guarded, settings


@guarded
def command(
    dataset: Dataset = "demo",
    root: Root = None,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Read the official split files, count real frames, and reconcile the two in one table."""
    from pipeline.index import index
    from pipeline.road import root_of

    chosen = settings(params, override)
    index(dataset, root_of(chosen, dataset, root), chosen.folder(dataset), workers=chosen.workers)
