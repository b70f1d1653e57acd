"""The options that commands share, and what they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stages._dvc import PARAMS, remark, unwatched
from stages._output import note

if TYPE_CHECKING:
    from grace.settings import Settings

Dataset = Annotated[str, typer.Option("--dataset", "-d", help="Name of the data set: its folder under data/.")]
DatasetOrFolder = Annotated[
    str | None,
    typer.Option("--dataset", "-d", help="Name of the data set; the name of FOLDER, or demo, when not given."),
]
ClipsFolder = Annotated[
    Path | None,
    typer.Argument(
        metavar="[FOLDER]", help="Any folder of clips; the data set's root when not given.", show_default=False
    ),
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Write the texts to this .parquet, .csv, .json or .jsonl file too.")
]
Params = Annotated[Path, typer.Option("--params", help="Settings file.")]
Set = Annotated[list[str], typer.Option("--set", "-S", help="Override a setting: section.key=value. Repeatable.")]
Root = Annotated[str | None, typer.Option("--root", help="Folder of the raw data; roots.<dataset> when not given.")]
Runs = Annotated[
    Path | None,
    typer.Option("--runs", help="Folder of runs, to keep variants apart; data/<dataset>/runs if not given."),
]
_FOLDS = "A fold's number, several as 1,2,3, or all."
Folds = Annotated[str, typer.Option("--fold", help=_FOLDS)]
FoldsOrSettings = Annotated[
    str | None, typer.Option("--fold", help=f"{_FOLDS} Those of params.yaml when not given.", show_default=False)
]
_RETRY = "Redo the shards in which this stage failed clips; models are asked again where no answer was of use."
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help=_RETRY)]


def command_settings(params: Path, overrides: list[str], stage: str = "", clips: Path | None = None) -> Settings:
    """The settings of this run: the file, with ``--set`` applied. A folder of clips may do without a file.

    For a ``stage`` of dvc.yaml, notes say when they are not those that `dvc repro` would use, and what it misses.
    """
    from grace.settings import load_settings

    absent = clips is not None and params == PARAMS and not params.exists()
    settings = load_settings(None if absent else params, overrides)
    if clips is None and stage:
        other = remark(stage, settings) if overrides or params != PARAMS else ""
        for sentence in filter(None, (other, unwatched(stage, settings))):
            note(sentence)
    return settings


def chosen_folds(written: str, dataset_folder: Path) -> list[int]:
    """The folds that ``--fold`` names: a number, several with commas, or ``all`` that the data set has.

    Raises :class:`UserError` when it is none of these.
    """
    from grace.pipeline.errors import UserError

    if written.strip() == "all":
        from grace.pipeline.store import Clips

        if folds := Clips(dataset_folder, ()).folds:
            return folds
        raise UserError(f"{dataset_folder / 'clips.parquet'} has no folds: index.split in params.yaml makes some.")
    numbers = [part.strip() for part in written.split(",")]
    if not all(part.isdecimal() and 0 < int(part) < 10_000 for part in numbers):
        raise UserError(f"--fold is '{written}': give a fold's number, several as 1,2,3, or all.")
    return list(dict.fromkeys(int(part) for part in numbers))


def dataset_of(clips: Path | None, dataset: str | None, settings: Settings) -> str:
    """The data set that a command is about; a folder of clips is remembered as its root."""
    from grace.pipeline.datasets.roots import name_of, remember_root
    from grace.pipeline.errors import UserError

    if clips is None:
        return dataset or "demo"
    if not clips.is_dir():
        raise UserError(f"{clips} is not a folder: name one that holds clips.")
    name = dataset or name_of(clips)
    named = settings.roots.get(name)
    if named is not None and Path(named).resolve() != clips.resolve():
        raise UserError(
            f"roots.{name} in {PARAMS} is {named}, not {clips}: give the folder a name of its own with --dataset."
        )
    remember_root(settings.folder(name), clips)
    return name


def picture_file(out: Path | None, usual: str) -> Path:
    """The file of a picture, checked before the work. Raises :class:`UserError` when its folder is not there."""
    from grace.pipeline.errors import UserError

    if out is not None and not out.parent.is_dir():
        raise UserError(f"{out} cannot be written: there is no folder {out.parent}; make it first.")
    return out or Path(usual)


def run_folder(run: Path | None, settings: Settings, dataset: str) -> Path:
    """The run that ``--run`` names, or the first fold of ``train.method``."""
    from grace.trainer.runs import fold_folder

    return run or fold_folder(settings.folder(dataset) / "runs", settings.train.method, settings.folds[0])
