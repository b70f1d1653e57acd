"""``grace evaluate``: the folds of a method together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stages._dvc import remark
from stages._options import Dataset, FoldsOrSettings, Params, Runs, Set, chosen_folds, command_settings
from stages._output import console, note, user_errors

if TYPE_CHECKING:
    from grace.settings import Settings


@user_errors
def command(
    dataset: Dataset = "demo",
    on: Annotated[
        str | None, typer.Option("--on", metavar="OTHER", help="Score the runs on this data set's clips instead.")
    ] = None,
    fold: FoldsOrSettings = None,
    runs: Runs = None,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Join the folds: UAR, WAR, recall, ambiguous pairs, calibration, intervals, plots; printed as papers print it.

    With --on the runs of DATASET are scored on OTHER's clips of the classes that both have, and OTHER's on DATASET's.
    """
    settings = command_settings(params, override, "evaluate" if fold is None and on is None else "")
    folder = settings.folder(dataset)
    if fold is not None:
        settings = settings.model_copy(update={"folds": chosen_folds(fold, folder)})
    if on is not None:
        _on_other(settings, dataset, on, runs)
        return
    if fold is not None and (sentence := remark("evaluate", settings)):
        note(sentence)
    from grace.trainer.evaluate import evaluate
    from grace.trainer.published import none_published, published_rows, row_of
    from stages.tables.scores import detail_table, paper_table, published_table, scenes_table

    result = evaluate(
        folder,
        settings.train.method,
        settings.folds,
        samples=settings.evaluate.bootstrap,
        confidence=settings.evaluate.confidence,
        runs=runs,
        seeds=settings.train.seeds,
    )
    for limit in result["limits"]:
        note(f"{limit}.")
    console().print(paper_table(result))
    console().print(detail_table(result))
    if (by_scene := scenes_table(result)) is not None:
        console().print(by_scene)
    if rows := published_rows(dataset, [row_of(result)], settings.evaluate.published):
        console().print(published_table(rows))
    elif sentence := none_published(dataset, settings.evaluate.published):
        note(sentence)


def _on_other(settings: Settings, dataset: str, other: str, runs: Path | None) -> None:
    from grace.trainer.cross_dataset import FOLDER, both_directions, evaluate_on
    from stages.tables.cross_dataset import cross_dataset_table, sentences

    here, there = settings.folder(dataset), settings.folder(other)
    asked: dict[str, Any] = {
        "samples": settings.evaluate.bootstrap,
        "confidence": settings.evaluate.confidence,
        "device": settings.train.device,
    }
    forward = evaluate_on(here, there, settings.train.method, settings.folds, runs=runs, **asked)
    backward = both_directions(forward, here, there, **asked)
    found = [forward] if isinstance(backward, str) else [forward, backward]
    console().print(cross_dataset_table(found))
    for each in found:
        for sentence in sentences(each):
            console().print(sentence, markup=False)
        folder = settings.folder(each.trained_on) / FOLDER / each.tested_on / each.method
        console().print(f"Every prediction: {folder / 'predictions.parquet'}", markup=False, soft_wrap=True)
    if isinstance(backward, str):
        note(backward)
