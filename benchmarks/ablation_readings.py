"""Linear readings of one side at a time: what the levels of the bench are set by, before any method runs."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

from rich.console import Console

from benchmarks.ablation_caches import Caches
from benchmarks.ablation_levels import timelines
from benchmarks.harness import table
from grace.pipeline.store import Store
from grace.pipeline.store.schemas import DESCRIPTIONS
from grace.pipeline.vocabulary import REGIONS
from grace.pipeline.world.sentences import named_actions, named_regions, true_actions

TARGETS = {"video, general": (0.30, 0.50), "actions, noisy": (0.42, 0.48)}
"""From published figures (``bench.md``); the other levels have no knob."""


def readings(caches: Caches, cells: list[tuple[str, str]], folds: int) -> None:
    """Print what can be read from each side, and whether the levels are where they have to be."""
    cells = [cell for cell in cells if cell[1] != "pocket"]  # no knob: its texts are today's
    rows = [
        (f"video, {vision}", _uar(probe(caches, (vision, text), "video", folds)))
        for vision, text in cells
        if text == "true"
    ]
    rows += [(f"text, {vision}, {text}", _uar(probe(caches, (vision, text), "text", folds))) for vision, text in cells]
    rows += [
        (f"actions, {text}", actions_f1(caches.cell(vision, text), caches.folder / "raw"))
        for vision, text in cells
        if vision == cells[0][0]
    ]
    regions = [
        (text, *(f"{100 * share:.1f}" for share in region_rates(caches.cell(vision, text))))
        for vision, text in cells
        if vision == cells[0][0]
    ]
    console = Console(highlight=False, width=150)
    lines = [(name, f"{100 * value:.1f}", _verdict(name, value)) for name, value in rows]
    console.print(table("UAR of a linear probe, and F1 of the actions that texts name, in %", ("side", "", ""), lines))
    console.print(table("share of texts that name a region, in %", ("texts", *REGIONS), regions))


def probe(caches: Caches, cell: tuple[str, str], side: str, folds: int) -> list[Path]:
    """The runs of a probe of one side."""
    from grace.trainer.settings import TrainSettings
    from grace.trainer.train import train

    runs = caches.folder / "runs" / f"{cell[0]}-{cell[1]}-{side}"
    settings = TrainSettings.model_validate({"method": "probe", "probe": side})
    for fold in range(1, folds + 1):
        train(caches.cell(*cell), settings, fold, runs, quiet=True)
    return [runs / "probe" / f"fold-{fold}" for fold in range(1, folds + 1)]


def _uar(runs: list[Path]) -> float:
    from grace.trainer.metrics import uar
    from grace.trainer.runs import class_indices, open_run

    found = [open_run(run) for run in runs]
    names = found[0].config.labels
    return fmean(uar(*class_indices(run.predictions, names), len(names)) for run in found)


def actions_f1(cell: Path, root: Path) -> float:
    """F1 of the actions that descriptions name against those that truly happened, over all clips."""
    truth = timelines(root)
    hits = named = true = 0
    for row in Store(cell / "descriptions", DESCRIPTIONS).rows(["clip_id", "description"]):
        said, real = named_actions(row["description"]), true_actions(truth[row["clip_id"]])
        hits, named, true = hits + len(said & real), named + len(said), true + len(real)
    return 2 * hits / max(1, named + true)


def region_rates(cell: Path) -> list[float]:
    """Of each region, the share of the descriptions that name it."""
    named = [
        named_regions(row["description"]) for row in Store(cell / "descriptions", DESCRIPTIONS).rows(["description"])
    ]
    return [fmean(region in regions for regions in named) for region in REGIONS]


def _verdict(name: str, value: float) -> str:
    if name not in TARGETS:
        return ""
    low, high = TARGETS[name]
    goal = f"goal {100 * low:.0f} to {100 * high:.0f}"
    return goal if low <= value <= high else f"{goal}: missed"
