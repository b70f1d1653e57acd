"""What every command shares: how errors, remarks and tables reach people, and how it runs a step."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec

import typer

from stages.tables.formats import strip_control

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from grace.pipeline.execution.step import Step
    from grace.settings import Settings

P = ParamSpec("P")


def console(stderr: bool = False) -> Console:
    """A rich console; plain text when the output is not a terminal."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def user_errors(function: Callable[P, None]) -> Callable[P, None]:
    """Show errors meant for people as one sentence, with their exit code; a traceback is for our own bugs."""

    @functools.wraps(function)
    def run_guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        from grace.pipeline.errors import GraceError, sentence_of

        _show_start_lines()
        try:
            function(*args, **kwargs)
        except GraceError as error:
            _print_error(str(error))
            raise typer.Exit(error.exit_code) from None
        except BrokenPipeError:
            sys.stderr.close()  # the reader of our output is gone, as in `grace inspect | head`
            raise typer.Exit(0) from None
        except (OSError, MemoryError) as error:
            if (sentence := sentence_of(error)) is None:
                raise
            _print_error(sentence)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            _print_error("Interrupted. What is done is kept: the same command goes on from there.")
            raise typer.Exit(130) from None

    return run_guarded


class _StandardError(logging.Handler):
    """Lines of the log as they are, to whatever the standard error is when they come."""

    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(self.format(record), err=True)


def _show_start_lines() -> None:
    """Print the line with which each stage, and each training, says what is resumed."""
    for name in ("grace.pipeline.execution.progress", "grace.trainer.training_loop"):
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(_StandardError())
            logger.setLevel(logging.INFO)
            logger.propagate = False


def _print_error(sentence: str) -> None:
    from rich.text import Text

    console(stderr=True).print(Text.assemble(("error: ", "bold red"), strip_control(sentence)), soft_wrap=True)


def run_step(step: Step, dataset: str, settings: Settings, retry_failed: bool) -> None:
    """Run a step over a data set with the runner, and print what became of the clips."""
    from grace.pipeline.execution.runner import run
    from grace.pipeline.execution.step import limits
    from grace.pipeline.store import Clips
    from stages.tables.two_columns import summary_table

    folder = settings.folder(dataset)
    for limit in limits(step, Clips(folder, ()).footage) if step.knows_only() else ():
        note(f"{limit}.")
    run(
        step,
        folder,
        size=settings.shards.clips,
        workers=settings.workers,
        clip_timeout=settings.clip_timeout,
        cluster=settings.ray if settings.runner == "ray" else None,
        max_failed=settings.max_failed,
        retry_failed=retry_failed,
        report=lambda summary: console().print(summary_table(summary)),
    )


def print_table(title: str, rows: list[tuple[str, str]]) -> None:
    """Print a table of two columns, what and how much."""
    from stages.tables.two_columns import two_columns

    console().print(two_columns(title, rows))


def note(sentence: str) -> None:
    """Print a remark to the standard error."""
    from rich.text import Text

    console(stderr=True).print(Text.assemble(("note: ", "yellow"), strip_control(sentence)), soft_wrap=True)


def note_outdated(folder: Path, *names: str, clip: str = "") -> None:
    """Say it in one note when what a command shows is incomplete, or not of the clips and crops that there are now.

    Args:
        folder: ``data/<dataset>``.
        names: The stores that are shown.
        clip: The clip that is shown; all of them when not given.
    """
    from grace.pipeline.errors import GraceError
    from grace.pipeline.store.verify import clip_problem, first_problem

    try:
        sentence = clip_problem(folder, clip, *names) if clip else first_problem(folder, *names)
    except GraceError as error:  # of a file that need not be read to be shown
        sentence = str(error)
    if sentence:
        note(sentence)
