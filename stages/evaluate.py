"""``grace evaluate``: the folds of a method together."""

from __future__ import annotations

from pathlib import Path

from stages._dvc import remark
from stages._options import Dataset, FoldsOrSettings, Params, Runs, Set, chosen_folds, load_settings
from stages._output import console, note, user_errors


@user_errors
def command(
    dataset: Dataset = "demo",
    fold: FoldsOrSettings = None,
    runs: Runs = None,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Join the folds: UAR, WAR, recall, ambiguous pairs, calibration, intervals, plots; printed as papers print it."""
    settings = load_settings(params, override, "evaluate" if fold is None else "")
    from grace.trainer.evaluate import evaluate
    from grace.trainer.published import published_rows
    from stages.tables.scores import detail_table, paper_table, published_table, scenes_table

    folder = settings.folder(dataset)
    if fold is not None:
        settings = settings.model_copy(update={"folds": chosen_folds(fold, folder)})
        if sentence := remark("evaluate", settings):
            note(sentence)

    result = evaluate(
        folder,
        settings.train.method,
        settings.folds,
        samples=settings.evaluate.bootstrap,
        confidence=settings.evaluate.confidence,
        runs=runs,
        seeds=settings.train.seeds,
    )
    console().print(paper_table(result))
    console().print(detail_table(result))
    if (by_scene := scenes_table(result)) is not None:
        console().print(by_scene)
    if settings.evaluate.published:
        rows = published_rows(Path(settings.evaluate.published), dataset, result)
        console().print(published_table(rows))
