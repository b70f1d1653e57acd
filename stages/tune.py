"""``grace tune``: search for settings of a method on the validation clips of a fold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grace.pipeline.messages import percent
from stages._options import Dataset, Params, Set, command_settings
from stages._output import console, print_table, user_errors


@user_errors
def command(
    dataset: Dataset = "demo",
    fold: Annotated[int, typer.Option("--fold", help="The fold on whose training clips to search.")] = 1,
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="Trials in all, those of earlier calls included.")
    ] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", min=0, help="How long this call may go on.")] = None,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Search for settings of train.method by validation clips alone; start it again to go on."""
    settings = command_settings(params, override)
    from grace.trainer.tune import tune

    found = tune(settings.folder(dataset), settings.train, fold, trials, minutes)
    print_table(
        f"tune {settings.train.method}, fold {fold}",
        [
            ("trials", str(found.trials)),
            ("validation UAR as it was", percent(found.default)),
            ("validation UAR of the best", percent(found.score)),
        ],
    )
    if not found.settings:
        console().print("No other settings were better yet.")
        return
    shown = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in found.settings.items()}
    lines = [f"  {name}: {value}" for name, value in shown.items()]
    console().print("The best settings, for params.yaml:\ntrain:\n" + "\n".join(lines), markup=False)
