"""The options that commands share, and what they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stages._dvc import PARAMS, remark
from stages._output import note

if TYPE_CHECKING:
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


def load_settings(params: Path, overrides: list[str], stage: str = "") -> Settings:
    """The settings of this run: the file, with ``--set`` applied.

    For a ``stage`` of dvc.yaml, a note says when they are not those that `dvc repro` would use.
    """
    from grace.settings import load_settings

    settings = load_settings(params, overrides)
    if stage and (overrides or params != PARAMS) and (sentence := remark(stage, settings)):
        note(sentence)
    return settings


def run_folder(run: Path | None, settings: Settings, dataset: str) -> Path:
    """The run that ``--run`` names, or the first fold of ``train.method``."""
    from grace.trainer.runs import fold_folder

    return run or fold_folder(settings.folder(dataset) / "runs", settings.train.method, settings.folds[0])
