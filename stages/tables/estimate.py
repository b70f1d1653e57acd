"""The tables of ``grace estimate``: hours, disk and GPU memory per stage, and the size of tokens in other settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.tables.formats import duration, size

if TYPE_CHECKING:
    from rich.table import Table

    from grace.pipeline.estimate import Estimate, StageCost, TokenShape
    from grace.settings import Settings


def stage_table(made: Estimate, settings: Settings, dataset: str) -> Table:
    """One stage per row, then the sum."""
    from rich.table import Table

    table = Table(
        title=f"{dataset}: {made.clips} clips, from {made.tried} that were tried on this machine", title_justify="left"
    )
    table.add_column("stage")
    for name in ("per clip", "parallel", "all clips", "per clip", "on disk", "GPU memory"):
        table.add_column(name, justify="right")
    hours, disk = 0.0, 0.0
    for cost in made.costs:
        taken, kept = cost.hours(made.clips), stored(cost, made.shape, settings)
        whole = None if kept is None else kept * made.clips
        table.add_row(
            cost.stage,
            duration(cost.seconds_per_clip),
            str(cost.processes),
            duration(taken and 3600 * taken),
            size(kept),
            size(whole),
            _gpu(cost),
        )
        hours, disk = hours + (taken or 0.0), disk + (whole or 0.0)
    if made.shape is not None:
        pace = _training(made.shape, settings)
        training = training_hours(pace, made.clips, settings)
        table.add_row("train", duration(pace), "1", duration(3600 * training))
        hours += training
    table.add_section()
    more = "> " if any(cost.seconds_per_clip is None for cost in made.costs) else ""
    table.add_row("together", "", "", more + duration(3600 * hours), "", more + size(disk))
    table.caption = ("– could not be tried, see below. " if more else "") + "Training: at most, if no fold stops early."
    table.caption_justify = "left"
    return table


def storage_table(shape: TokenShape, clips: int, settings: Settings) -> Table:
    """What tokens would take in other settings of tokens.storage and tokens.patches."""
    from rich.table import Table

    table = Table(title="tokens on disk", title_justify="left")
    table.add_column("tokens.storage")
    table.add_column("tokens.patches")
    for name in ("per clip", "on disk", "of float16"):
        table.add_column(name, justify="right")
    whole = shape.bytes("float16")
    quarter = max(1, shape.patches // 4)
    kept = sorted({quarter, settings.tokens.patches or quarter}, reverse=True)
    for keep in (None, *kept):
        for storage in ("float16", "int8"):
            taken = shape.bytes(storage, keep)
            mark = " ←" if (storage, keep) == (settings.tokens.storage, settings.tokens.patches) else ""
            share = f"{taken / whole:.0%}"
            patches = f"{keep or f'all {shape.patches}'}{mark}"
            table.add_row(storage, patches, size(taken), size(taken * clips), share)
    return table


def stored(cost: StageCost, shape: TokenShape | None, settings: Settings) -> float | None:
    """Bytes per clip that a stage keeps, in these settings."""
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
    sizes = Sizes(7, shape.instants, patches, shape.width, shape.text_width)
    return seconds_per_clip(settings.train, sizes, words=shape.length)


def _gpu(cost: StageCost) -> str:
    if cost.gpu_bytes:
        return size(cost.gpu_bytes)
    return f"> {size(cost.weight_bytes)}" if cost.weight_bytes else ""
