"""``grace plan``: what a data set will cost, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stages._options import Dataset, Params, Set, load_settings
from stages._output import console, user_errors
from stages.tables.formats import strip_control

if TYPE_CHECKING:
    from rich.table import Table

    from grace.pipeline.estimate import Estimate, StageCost, TokenShape
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

    settings = load_settings(params, override)
    made = estimate(settings, dataset, clips)
    console().print(stage_table(made, settings, dataset))
    if made.shape is not None:
        console().print(storage_table(made.shape, made.clips, settings))
    for cost in made.costs:
        if cost.note:
            console(stderr=True).print(strip_control(f"note: {cost.stage}: {cost.note}"), markup=False)
    _warn_of_disk(made, settings, dataset)


def stage_table(made: Estimate, settings: Settings, dataset: str) -> Table:
    """A row a stage, then the sum."""
    from rich.table import Table

    table = Table(
        title=f"{dataset}: {made.clips} clips, from {made.tried} that were tried on this machine", title_justify="left"
    )
    table.add_column("stage")
    for name in ("a clip", "at once", "all clips", "a clip", "on disk", "GPU memory"):
        table.add_column(name, justify="right")
    hours, disk = 0.0, 0.0
    for cost in made.costs:
        taken, kept = cost.hours(made.clips), stored(cost, made.shape, settings)
        whole = None if kept is None else kept * made.clips
        table.add_row(
            cost.stage,
            _time(cost.seconds_per_clip),
            str(cost.processes),
            _time(taken and 3600 * taken),
            _size(kept),
            _size(whole),
            _gpu(cost),
        )
        hours, disk = hours + (taken or 0.0), disk + (whole or 0.0)
    if made.shape is not None:
        pace = _training(made.shape, settings)
        training = training_hours(pace, made.clips, settings)
        table.add_row("train", _time(pace), "1", _time(3600 * training))
        hours += training
    table.add_section()
    more = "> " if any(cost.seconds_per_clip is None for cost in made.costs) else ""
    table.add_row("together", "", "", more + _time(3600 * hours), "", more + _size(disk))
    table.caption = ("– could not be tried, see below. " if more else "") + "Training: at most, if no fold stops early."
    table.caption_justify = "left"
    return table


def storage_table(shape: TokenShape, clips: int, settings: Settings) -> Table:
    """What tokens would take in other settings of tokens.storage and tokens.patches."""
    from rich.table import Table

    table = Table(title="tokens on disk", title_justify="left")
    table.add_column("tokens.storage")
    table.add_column("tokens.patches")
    for name in ("a clip", "on disk", "of float16"):
        table.add_column(name, justify="right")
    whole = shape.bytes("float16")
    quarter = max(1, shape.patches // 4)
    kept = sorted({quarter, settings.tokens.patches or quarter}, reverse=True)
    for keep in (None, *kept):
        for storage in ("float16", "int8"):
            size = shape.bytes(storage, keep)
            mark = " ←" if (storage, keep) == (settings.tokens.storage, settings.tokens.patches) else ""
            share = f"{size / whole:.0%}"
            patches = f"{keep or f'all {shape.patches}'}{mark}"
            table.add_row(storage, patches, _size(size), _size(size * clips), share)
    return table


def stored(cost: StageCost, shape: TokenShape | None, settings: Settings) -> float | None:
    """Bytes a clip that a stage keeps, in the settings chosen."""
    if cost.stage == "tokens" and shape is not None:
        return shape.bytes(settings.tokens.storage, settings.tokens.patches)
    return cost.bytes_per_clip


def training_hours(seconds: float, clips: int, settings: Settings) -> float:
    """All epochs of all folds, each on the clips outside its test part, if no fold stops early."""
    share = 1 - 1 / max(2, len(settings.folds))
    return seconds * clips * share * settings.train.epochs * len(settings.folds) / 3600


def _training(shape: TokenShape, settings: Settings) -> float:
    from grace.trainer.batch import Sizes
    from grace.trainer.throughput import seconds_per_clip

    patches = settings.tokens.patches or shape.patches
    return seconds_per_clip(settings.train, Sizes(7, shape.instants, patches, shape.width), words=shape.length)


def _time(seconds: float | None) -> str:
    """In the unit in which it is a number that one can say."""
    if seconds is None:
        return "–"
    for unit, name in ((3600.0, "h"), (60.0, "min"), (1.0, "s")):
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{1000 * seconds:.0f} ms"


def _size(size: float | None) -> str:
    if size is None:
        return "–"
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size / 1e3:.0f} kB"


def _gpu(cost: StageCost) -> str:
    if cost.gpu_bytes:
        return _size(cost.gpu_bytes)
    return f"> {_size(cost.weight_bytes)}" if cost.weight_bytes else ""


def _warn_of_disk(made: Estimate, settings: Settings, dataset: str) -> None:
    import shutil

    where = next(path for path in (settings.folder(dataset), *settings.folder(dataset).parents) if path.exists())
    needed = sum((stored(cost, made.shape, settings) or 0.0) * made.clips for cost in made.costs)
    free = shutil.disk_usage(where).free
    if needed > free:
        console(stderr=True).print(
            f"note: {_size(needed)} will not fit into the {_size(free)} that are free at {where}.",
            markup=False,
            style="yellow",
        )
