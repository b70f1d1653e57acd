"""``grace estimate``: what a data set will cost, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stages._options import ClipsFolder, DatasetOrFolder, Params, Set, command_settings
from stages._output import console, note, user_errors

if TYPE_CHECKING:
    from grace.pipeline.estimate.costs import Estimate
    from grace.settings import Settings


@user_errors
def command(
    clips_folder: ClipsFolder = None,
    dataset: DatasetOrFolder = None,
    clips: Annotated[int, typer.Option("--clips", min=1, help="Clips to try, at least.")] = 8,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Take a few clips through every stage; print hours, disk, GPU memory, tokens and cost for the whole data set.

    Nothing need exist yet: FOLDER, or the data set's root, is listed where there is no index. Nothing is kept.
    """
    from grace.pipeline.datasets.roots import name_of
    from grace.pipeline.errors import UserError
    from grace.pipeline.estimate.trial import estimate
    from stages.tables.estimate import machine_sentences, price_sentences, stage_table, storage_table

    settings = command_settings(params, override, clips=clips_folder)
    name = dataset or "demo"
    if clips_folder is not None:
        if not clips_folder.is_dir():
            raise UserError(f"{clips_folder} is not a folder: name one that holds clips.")
        name = dataset or name_of(clips_folder)
        settings = settings.model_copy(update={"roots": {**settings.roots, name: str(clips_folder)}})
    made = estimate(settings, name, clips, any_folder=clips_folder is not None)
    console().print(stage_table(made, settings, name))
    for sentence in (*machine_sentences(made, settings), *price_sentences(made, settings)):
        console().print(sentence, markup=False)
    if made.shape is not None:
        console().print(storage_table(made.shape, made.clips, settings))
    for cost in made.costs:
        if cost.note:
            note(f"{cost.stage}: {cost.note}")
    if not made.trainable:
        note("train: not counted, since no clip has a label and a fold.")
    for sentence in made.notes:
        note(sentence)
    if made.machine.note:
        note(f"{made.machine.note.rstrip('.')}.")
    _warn_of_disk(made, settings, name)


def _warn_of_disk(made: Estimate, settings: Settings, dataset: str) -> None:
    import shutil

    from grace.pipeline.messages import byte_size
    from stages.tables.estimate import stored

    folder = settings.folder(dataset).absolute()
    where = next(path for path in (folder, *folder.parents) if path.exists())
    needed = sum((stored(cost, made.shape, settings) or 0.0) * made.clips for cost in made.costs)
    free = shutil.disk_usage(where).free
    if needed > free:
        note(f"{byte_size(needed)} will not fit into the {byte_size(free)} that are free at {where}.")
