"""``grace plan``: what a data set will cost, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stages.console import Dataset, Params, Set, console, guarded, printable, settings

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.plan import Cost, Plan, Shape
    from pipeline.settings import Settings


@guarded
def command(
    dataset: Dataset = "demo",
    clips: Annotated[int, typer.Option("--clips", min=1, help="Clips to try.")] = 4,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Take a few clips through every stage and print hours, disk and GPU memory for the whole data set."""
    from pipeline.plan import plan

    chosen = settings(params, override)
    made = plan(chosen, dataset, clips)
    console().print(stage_table(made, chosen, dataset))
    if made.shape is not None:
        console().print(storage_table(made.shape, made.clips, chosen))
    for cost in made.costs:
        if cost.note:
            console(stderr=True).print(printable(f"note: {cost.stage}: {cost.note}"), markup=False)
    _warn_of_disk(made, chosen, dataset)


def stage_table(made: Plan, chosen: Settings, dataset: str) -> Table:
    """A row a stage, then the sum."""
    from rich.table import Table

    table = Table(
        title=f"{dataset}: {made.clips} clips, from {made.tried} that were tried on this machine", title_justify="left"
    )
    table.add_column("stage")
    for name in ("s a clip", "at once", "hours", "MB a clip", "GB on disk", "GB of GPU"):
        table.add_column(name, justify="right")
    hours, disk = 0.0, 0.0
    for cost in made.costs:
        size = stored(cost, made.shape, chosen)
        table.add_row(
            cost.stage,
            _number(cost.seconds, 3),
            str(cost.processes),
            _number(cost.hours(made.clips), 2),
            _number(size, 3, 1e6),
            _number(size and size * made.clips, 2, 1e9),
            _gpu(cost),
        )
        hours += cost.hours(made.clips) or 0.0
        disk += (size or 0.0) * made.clips
    if made.shape is not None:
        pace = _training(made.shape, chosen, made.clips)
        table.add_row("train (all folds)", _number(pace, 4), "1", _number(training_hours(pace, made.clips, chosen), 2))
        hours += training_hours(pace, made.clips, chosen)
    table.add_section()
    unknown = any(cost.seconds is None for cost in made.costs)
    table.add_row("together", "", "", f"{'> ' if unknown else ''}{hours:.2f}", "", f"{disk / 1e9:.2f}")
    table.caption = "– could not be tried, see the notes; training: at most, all epochs of all folds in params.yaml"
    return table


def storage_table(shape: Shape, clips: int, chosen: Settings) -> Table:
    """What tokens would take in other settings of tokens.storage and tokens.keep."""
    from rich.table import Table

    table = Table(title="tokens on disk", title_justify="left")
    table.add_column("tokens.storage")
    table.add_column("tokens.keep")
    for name in ("MB a clip", "GB", "of float16"):
        table.add_column(name, justify="right")
    whole = shape.bytes("float16")
    quarter = max(1, shape.patches // 4)
    kept = sorted({quarter, chosen.tokens.keep or quarter}, reverse=True)
    for keep in (None, *kept):
        for storage in ("float16", "int8"):
            size = shape.bytes(storage, keep)
            mark = " ←" if (storage, keep) == (chosen.tokens.storage, chosen.tokens.keep) else ""
            share = f"{size / whole:.0%}"
            patches = f"{keep or f'all {shape.patches}'}{mark}"
            table.add_row(storage, patches, f"{size / 1e6:.3f}", f"{size * clips / 1e9:.2f}", share)
    return table


def stored(cost: Cost, shape: Shape | None, chosen: Settings) -> float | None:
    """Bytes a clip that a stage keeps, in the settings chosen."""
    if cost.stage == "tokens" and shape is not None:
        return shape.bytes(chosen.tokens.storage, chosen.tokens.keep)
    return cost.bytes


def training_hours(seconds: float, clips: int, chosen: Settings) -> float:
    """All epochs of all folds, each on the clips outside its test part, if no fold stops early."""
    share = 1 - 1 / max(2, len(chosen.folds))
    return seconds * clips * share * chosen.train.epochs * len(chosen.folds) / 3600


def _training(shape: Shape, chosen: Settings, clips: int) -> float:
    from trainer.pace import seconds_a_clip
    from trainer.settings import TrainSettings

    return seconds_a_clip(
        TrainSettings.of(chosen.train.model_dump()),
        classes=7,
        instants=shape.instants,
        patches=chosen.tokens.keep or shape.patches,
        length=shape.length,
        width=shape.width,
    )


def _number(value: float | None, digits: int, unit: float = 1.0) -> str:
    return "–" if value is None else f"{value / unit:.{digits}f}"


def _gpu(cost: Cost) -> str:
    if cost.gpu:
        return f"{cost.gpu / 1e9:.2f}"
    return f"> {cost.weights / 1e9:.2f}" if cost.weights else ""


def _warn_of_disk(made: Plan, chosen: Settings, dataset: str) -> None:
    import shutil

    where = next(path for path in (chosen.folder(dataset), *chosen.folder(dataset).parents) if path.exists())
    needed = sum((stored(cost, made.shape, chosen) or 0.0) * made.clips for cost in made.costs)
    free = shutil.disk_usage(where).free
    if needed > free:
        console(stderr=True).print(
            f"note: {needed / 1e9:.1f} GB will not fit into the {free / 1e9:.1f} GB that are free at {where}.",
            markup=False,
            style="yellow",
        )
