"""What every command shares: its options, how errors reach people, and the table at its end."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from grace.pipeline.execution.runner import Summary
    from grace.pipeline.execution.step import Step
    from grace.settings import Settings

Dataset = Annotated[str, typer.Option("--dataset", "-d", help="Name of the data set: its folder under data/.")]
Params = Annotated[Path, typer.Option("--params", help="Settings file.")]
Set = Annotated[list[str], typer.Option("--set", "-S", help="Override a setting: section.key=value. Repeatable.")]
Root = Annotated[str | None, typer.Option("--root", help="Folder of the raw data; roots.<dataset> when not given.")]
Runs = Annotated[
    Path | None,
    typer.Option("--runs", help="Folder of runs, to keep variants apart; data/<dataset>/runs if not given."),
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Redo the shards in which this stage failed clips.")]

P = ParamSpec("P")


def console(stderr: bool = False) -> Console:
    """A rich console; plain text when the output is not a terminal."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def user_errors(function: Callable[P, None]) -> Callable[P, None]:
    """Show errors meant for people as one sentence, with their exit code; a traceback is for our own bugs."""

    @functools.wraps(function)
    def run_guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        from grace.pipeline.errors import GraceError

        try:
            function(*args, **kwargs)
        except GraceError as error:
            _print_error(str(error))
            raise typer.Exit(error.exit_code) from None
        except BrokenPipeError:
            sys.stderr.close()  # the reader of our output is gone, as in `grace inspect | head`
            raise typer.Exit(0) from None
        except KeyboardInterrupt:
            _print_error("Interrupted. What is done is kept: the same command goes on from there.")
            raise typer.Exit(130) from None

    return run_guarded


def _print_error(sentence: str) -> None:
    from rich.text import Text

    console(stderr=True).print(Text.assemble(("error: ", "bold red"), strip_control(sentence)), soft_wrap=True)


def load_settings(params: Path, overrides: list[str]) -> Settings:
    """The settings of this run."""
    from grace.settings import load_settings

    return load_settings(params, overrides)


def run_step(step: Step, dataset: str, settings: Settings, retry_failed: bool) -> None:
    """Run a step over a data set with the runner, and print what became of the clips."""
    from grace.pipeline.execution.runner import run

    run(
        step,
        settings.folder(dataset),
        size=settings.shards.clips,
        workers=settings.workers,
        clip_seconds=settings.clip_seconds,
        cluster=settings.ray if settings.runner == "ray" else None,
        max_failed=settings.max_failed,
        retry_failed=retry_failed,
        report=print_summary,
    )


def print_summary(summary: Summary) -> None:
    """The table at a stage's end: done, skipped, failed by cause, clips a second."""
    rate = f"{summary.done / summary.seconds:.1f}" if summary.done and summary.seconds else "–"
    rows: list[tuple[str, Any]] = [
        ("clips", summary.clips),
        ("done", summary.done),
        ("skipped (done before)", summary.skipped),
        ("fallback", summary.fallbacks),
        ("failed earlier", summary.carried),
        ("failed here", sum(summary.failed.values())),
        *((f"  {cause}", count) for cause, count in summary.failed.most_common(8)),
        ("clips/s", rate),
    ]
    quiet = {"fallback", "failed earlier"}
    print_table(summary.stage, [(name, str(value)) for name, value in rows if value or name not in quiet])


def strip_control(text: str) -> str:
    """Text from models and files, fit for a terminal: control characters, which could steer it, are dropped."""
    return "".join(character for character in text if character.isprintable() or character in "\n\t")


def print_table(title: str, rows: list[tuple[str, str]]) -> None:
    """Two columns, what and how many; texts are printed as they are, never as markup."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title, "bold"), title_justify="left", show_header=False)
    table.add_column(overflow="fold")
    table.add_column(justify="right")
    for name, value in rows:
        table.add_row(Text(strip_control(name)), Text(strip_control(value)))
    console().print(table)
