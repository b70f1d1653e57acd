"""All commands in one Typer application, and the short form ``typer stages caption``."""

from __future__ import annotations

from typing import Annotated

import typer

from stages import (
    audit,
    caption,
    clean,
    compare,
    describe,
    doctor,
    estimate,
    evaluate,
    export,
    faces,
    index,
    init,
    inspect,
    models,
    motion,
    predict,
    refine,
    report,
    review,
    show,
    tokens,
    train,
    tune,
    verify,
    world,
)
from stages._output import user_errors

app = typer.Typer(
    name="grace",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    add_completion=False,
)
COMMANDS = (
    init,
    doctor,
    models,
    world,
    index,
    estimate,
    faces,
    caption,
    refine,
    describe,
    audit,
    motion,
    tokens,
    tune,
    train,
    evaluate,
    compare,
    report,
    inspect,
    show,
    review,
    predict,
    export,
    verify,
    clean,
)

RENAMED = {"plan": "estimate"}
"""Old names of commands. Typer suggests the nearest name by letters, which for ``plan`` would be ``clean``: the one
command that removes answers that were paid for."""


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"grace {version('grace-dfer')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """From raw face clips to an honestly evaluated emotion classifier. The stages run in the order listed."""


for module in COMMANDS:
    app.command(module.__name__.rpartition(".")[2])(module.command)


def _refuse_old_name(old: str, new: str) -> None:
    """Answer an old name, whatever follows it, with the new one."""

    @app.command(old, hidden=True, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
    @user_errors
    def refuse() -> None:
        from grace.pipeline.errors import UserError

        raise UserError(f"`grace {old}` is called `grace {new}` now.")


for old, new in RENAMED.items():
    _refuse_old_name(old, new)


def join_running_typer(app: typer.Typer) -> None:
    """Add the commands to the group of Typer's own runner when that is what imports us.

    Typer's runner offers ``typer stages run caption`` by itself; with this ``typer stages caption`` works too. It
    leans on inner names of Typer: should they go, only the short form goes with them.
    """
    try:
        from typer.cli import TyperCLIGroup
        from typer.main import get_command, get_current_context  # type: ignore[attr-defined]

        context = get_current_context(silent=True)
        if context is not None and isinstance(context.command, TyperCLIGroup):
            for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
                context.command.add_command(command, name)
    except (ImportError, AttributeError):
        return
