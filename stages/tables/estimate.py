"""The tables of ``grace estimate``: hours, disk and GPU memory per stage, and the size of tokens in other settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grace.pipeline.messages import byte_size
from stages.tables.formats import count, duration

if TYPE_CHECKING:
    from rich.table import Table

    from grace.pipeline.estimate.costs import Estimate, Span, StageCost, TokenShape
    from grace.settings import Settings


def stage_table(made: Estimate, settings: Settings, dataset: str) -> Table:
    """One stage per row, then the sum."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    title = f"{dataset}: {made.clips:,} clips, from {made.tried} that were tried on this machine"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("stage", no_wrap=True)
    for name in ("per clip", "×", "all clips", "from", "to", "disk", "GPU", "tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    disk = tokens = 0.0
    for cost in made.costs:
        span, kept = cost.seconds(made.clips), stored(cost, made.shape, settings)
        whole, read = (None if kept is None else kept * made.clips), (cost.tokens_in + cost.tokens_out) * made.clips
        spans = [duration(None)] * 3 if span is None else _durations(span)
        per_clip, at_once = duration(cost.seconds_per_clip), str(cost.processes)
        table.add_row(cost.stage, per_clip, at_once, *spans, byte_size(whole), _gpu(cost), count(read) if read else "")
        disk, tokens = disk + (whole or 0.0), tokens + read
    together = made.seconds()
    training = train_span(made, settings)
    if training is not None:
        table.add_row("train", "", "1", *_durations(training), "", "", "")
        together += training
    table.add_section()
    more = "> " if any(cost.seconds_per_clip is None for cost in made.costs) else ""
    spans = _durations(together)
    table.add_row(
        "together", "", "", more + spans[0], *spans[1:], more + byte_size(disk), "", count(tokens) if tokens else ""
    )
    untried = "– could not be tried, see below. " if more else ""
    table.caption = untried + ("Training: at most, if no fold stops early." if training is not None else "")
    table.caption_justify = "left"
    return table


def train_span(made: Estimate, settings: Settings) -> Span | None:
    """Training of all folds and seeds: at most all epochs, at least those that patience waits for.

    None where nothing can be trained, or the tokens are not known.
    """
    from grace.pipeline.estimate.costs import Span

    if made.shape is None or not made.trainable:
        return None
    most = 3600 * training_hours(_training(made.shape, settings), made.clips, settings) * settings.train.seeds
    least = most * min(1.0, (settings.train.patience + 1) / settings.train.epochs)
    return Span(least, most, most)


def machine_sentences(made: Estimate, settings: Settings) -> list[str]:
    """What the figures rest on: GPUs, workers, and whether other work slows the machine down."""
    machine, said = made.machine, []
    if machine.ray_workers is not None:
        said.append(f"On {machine.ray_workers} Ray workers, each as fast as this machine.")
    if machine.gpus:
        names = ", ".join(sorted(set(machine.gpus)))
        said.append(f"{len(machine.gpus)} GPUs here ({names}); a stage uses what was tried, training one per fold.")
    if machine.is_busy:
        said.append(
            f"This machine is busy: other work takes {machine.busy:.1f} of {machine.cores} cores. 'all clips' holds "
            "while it goes on, 'from' once it has ended."
        )
    return said


def price_sentences(made: Estimate, settings: Settings) -> list[str]:
    """What it costs, where estimate.hour or the prices of tokens are set."""
    prices = settings.estimate
    span = made.seconds()
    if (training := train_span(made, settings)) is not None:
        span += training
    tokens = sum(cost.token_price(made.clips, prices) for cost in made.costs)
    if prices.hour is None and not tokens:
        return []
    low, high = ((prices.hour or 0.0) * seconds / 3600 + tokens for seconds in (span.low, span.high))
    parts = f" ({prices.currency} {tokens:,.2f} of it for tokens)" if tokens else ""
    return [f"Cost: {prices.currency} {low:,.2f} to {high:,.2f}{parts}."]


def _durations(span: Span) -> list[str]:
    return [duration(span.expected), duration(span.low), duration(span.high)]


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
            table.add_row(storage, patches, byte_size(taken), byte_size(taken * clips), share)
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
        return byte_size(cost.gpu_bytes)
    return f"> {byte_size(cost.weight_bytes)}" if cost.weight_bytes else ""
