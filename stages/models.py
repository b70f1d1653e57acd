"""``grace models``: the checkpoints that the settings name, fetched once to the Hugging Face cache or to a folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stages._options import Params, Set, command_settings
from stages._output import console, print_table, user_errors


class Action(StrEnum):
    """What to do with the models."""

    LIST = "list"
    FETCH = "fetch"


@user_errors
def command(
    action: Annotated[
        Action, typer.Argument(help="fetch downloads what is not there.", show_default=False)
    ] = Action.LIST,
    to: Annotated[
        Path | None, typer.Option("--to", help="Download into folders below this one, not into the cache.")
    ] = None,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """List the models that the settings name and whether they are there; fetch them, or say the line that does."""
    from grace.pipeline.errors import UserError
    from grace.pipeline.named_models import fetch_model, models_of

    models = models_of(command_settings(params, override))
    if action is Action.LIST:
        print_table("models", [(f"{model.stage}: {model.name}", model.state()) for model in models])
        lines = [line for model in models if (line := model.download_line())]
        console().print("\n".join(dict.fromkeys(lines)), markup=False, soft_wrap=True)
        return
    failed = []
    for model in {(each.name, each.revision): each for each in models}.values():
        try:
            console().print(f"{model.name}: {fetch_model(model, to)}", markup=False, soft_wrap=True)
        except UserError as error:
            failed.append(str(error))
    if failed:
        raise UserError("\n".join(failed))
