"""``grace evaluate``: the folds of a method together."""

from __future__ import annotations

from pathlib import Path

from stages.console import Dataset, Params, Set, console, guarded, settings


@guarded
def command(dataset: Dataset = "demo", params: Params = Path("params.yaml"), override: Set = []) -> None:  # noqa: B006
    """Join the folds: UAR, WAR, recall, ambiguous pairs, intervals, plots; printed as papers print it."""
    chosen = settings(params, override)
    from trainer.evaluate import evaluate, paper_table

    result = evaluate(
        chosen.folder(dataset),
        chosen.train.method,
        chosen.folds,
        samples=chosen.evaluate.bootstrap,
        confidence=chosen.evaluate.confidence,
    )
    console().print(paper_table(result))
