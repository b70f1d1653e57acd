"""``grace evaluate``: the folds of a method together."""

from __future__ import annotations

from pathlib import Path

from stages._output import Dataset, Params, Runs, Set, console, guarded, settings


@guarded
def command(
    dataset: Dataset = "demo",
    runs: Runs = None,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Join the folds: UAR, WAR, recall, ambiguous pairs, calibration, intervals, plots; printed as papers print it."""
    chosen = settings(params, override)
    from grace.trainer.evaluate import evaluate
    from grace.trainer.tables import detail_table, paper_table, published_rows, published_table

    result = evaluate(
        chosen.folder(dataset),
        chosen.train.method,
        chosen.folds,
        samples=chosen.evaluate.bootstrap,
        confidence=chosen.evaluate.confidence,
        runs=runs,
    )
    console().print(paper_table(result))
    console().print(detail_table(result))
    if chosen.evaluate.published:
        rows = published_rows(Path(chosen.evaluate.published), dataset, result)
        console().print(published_table(rows))
