"""``grace estimate``: what a data set will cost, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stages._options import Dataset, Params, Set, load_settings
from stages._output import console, note, user_errors

if TYPE_CHECKING:
    from grace.pipeline.estimate import Estimate
    from grace.settings import Settings


@user_errors
def command(
    dataset: Dataset = "demo",
    clips: Annotated[int, typer.Option("--clips", min=1, help="Clips to try.")] = 4,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Take a few clips through every stage and print hours, disk and GPU memory for the whole data set."""
    from grace.pipeline.estimate import estimate
    from stages.tables.estimate import stage_table, storage_table

    settings = load_settings(params, override)
    made = estimate(settings, dataset, clips)
    console().print(stage_table(made, settings, dataset))
    if made.shape is not None:
        console().print(storage_table(made.shape, made.clips, settings))
    for cost in made.costs:
        if cost.note:
            note(f"{cost.stage}: {cost.note}")
    _warn_of_disk(made, settings, dataset)


def _warn_of_disk(made: Estimate, settings: Settings, dataset: str) -> None:
    import shutil

    from stages.tables.estimate import stored
    from stages.tables.formats import size

    where = next(path for path in (settings.folder(dataset), *settings.folder(dataset).parents) if path.exists())
    needed = sum((stored(cost, made.shape, settings) or 0.0) * made.clips for cost in made.costs)
    free = shutil.disk_usage(where).free
    if needed > free:
        note(f"{size(needed)} will not fit into the {size(free)} that are free at {where}.")
