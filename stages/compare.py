"""``grace compare``: two runs on the same test clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stages._options import Dataset, Params, Set, command_settings
from stages._output import console, note, user_errors

Run = Annotated[str, typer.Argument(help="A method of the data set (grace), or the folder of a run.")]


@user_errors
def command(
    first: Run,
    second: Run,
    dataset: Dataset = "demo",
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Say whether one run leads the other, by paired bootstrap and McNemar's test on the test clips of all folds."""
    settings = command_settings(params, override)
    from grace.trainer.compare import compare
    from grace.trainer.published import none_published, own_row, published_rows
    from stages.tables.scores import comparison_table, published_table

    folder = settings.folder(dataset)
    paths = [_run_path(run, folder / "runs" / run) for run in (first, second)]
    result = compare(paths[0], paths[1], folder, settings.evaluate.bootstrap, settings.evaluate.confidence)
    for limit in result.limits:
        note(f"{limit}.")
    console().print(comparison_table(result))
    uar, war = result.leads["UAR"], result.leads["WAR"]
    own = [
        own_row(Path(result.first).name, uar.first, war.first, result.protocol),
        own_row(Path(result.second).name, uar.second, war.second, result.protocol),
    ]
    if rows := published_rows(dataset, own, settings.evaluate.published):
        console().print(published_table(rows))
    elif sentence := none_published(dataset, settings.evaluate.published):
        note(sentence)


def _run_path(run: str, method: Path) -> Path:
    """A method of the data set before any other folder of that name: the project itself has a folder ``grace``."""
    return Path(run) if Path(run).is_dir() and not method.is_dir() else method
