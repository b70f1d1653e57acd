"""The command line: a thin file per stage. ``grace …``, ``python -m stages …`` and ``typer stages …`` are the same."""

from stages.application import app, join_running_typer

__all__ = ["app"]

join_running_typer(app)
