"""``grace evaluate``: the folds of a method together."""

from __future__ import annotations

from pathlib import Path

from stages._options import Dataset, Params, Runs, Set, load_settings
from stages._output import console, user_errors


@user_errors
def command(
    dataset: Dataset = "demo",
    runs: Runs = None,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Join the folds: UAR, WAR, recall, ambiguous pairs, calibration, intervals, plots; printed as papers print it."""
    settings = load_settings(params, override, "evaluate")
    from grace.trainer.evaluate import evaluate
    from grace.trainer.published import published_rows
    from stages.tables.scores import detail_table, paper_table, published_table

    result = evaluate(
        settings.folder(dataset),
        settings.train.method,
        settings.folds,
        samples=settings.evaluate.bootstrap,
        confidence=settings.evaluate.confidence,
        runs=runs,
        seeds=settings.train.seeds,
    )
    console().print(paper_table(result))
    console().print(detail_table(result))
    if settings.evaluate.published:
        rows = published_rows(Path(settings.evaluate.published), dataset, result)
        console().print(published_table(rows))
