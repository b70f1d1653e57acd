"""``grace export``: texts and predictions for other tools, and runs for a model hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stages._options import Dataset, Params, Root, Set, command_settings, run_folder
from stages._output import console, note, user_errors

if TYPE_CHECKING:
    from grace.settings import Settings

MODEL = "model"


@user_errors
def command(
    format_name: Annotated[str, typer.Argument(metavar="FORMAT", help="huggingface, fiftyone, label-studio or model.")],
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to; an empty folder, or one that is not there.")],
    dataset: Dataset = "demo",
    run: Annotated[
        Path | None,
        typer.Option("--run", help="A run, or a method's folder of them; those of train.method when not given."),
    ] = None,
    predictions: Annotated[
        bool, typer.Option("--predictions/--no-predictions", help="Whether predictions of runs are exported.")
    ] = True,
    copy: Annotated[
        bool, typer.Option("--copy-clips", help="Copy the clips as well; their owner's terms must allow it.")
    ] = False,
    root: Root = None,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Write captions, descriptions and predictions for another tool, or a run as a folder for a model hub.

    huggingface: Parquet with a data card; fiftyone, label-studio: their JSON; model: weights, config and model card.
    """
    from grace.export import FORMATS, export_dataset
    from grace.export.content import copy_clips, read_content
    from grace.export.folders import claim_export
    from grace.pipeline.errors import UserError

    settings = command_settings(params, override)
    if format_name == MODEL:
        from grace.export.model import export_model

        for model in export_model(run_folder(run, settings, dataset), out, dataset):
            note(f"{model} is a folder of this machine: whoever opens the export needs it at the same place.")
        console().print(f"grace.GraceClassifier.from_pretrained({str(out)!r})", markup=False, soft_wrap=True)
        return
    if format_name not in FORMATS:
        raise UserError(f"There is no format '{format_name}': choose one of {', '.join((*FORMATS, MODEL))}.")
    folder = settings.folder(dataset)
    runs = _runs(run, settings, folder) if predictions else None
    content = read_content(folder, runs, _root(settings, dataset, root, folder))
    claim_export(out, format_name)
    if copy:
        copy_clips(content, out)
    opened = export_dataset(content, format_name, out)
    count, tested = len(content.clips), len(content.predictions)
    console().print(
        f"{count:,} clips, {tested:,} predictions. Open it: {opened}", markup=False, highlight=False, soft_wrap=True
    )
    if content.failed:
        note(f"{len(content.failed):,} clips lack something, and say why in 'error'.")
    if content.unreadable and format_name != "huggingface":
        note(f"{len(content.unreadable):,} clips cannot be opened and are left out.")
    if content.label_visible:
        note(f"The label was in the prompt of {content.label_visible:,} descriptions: score no classifier on them.")


def _runs(run: Path | None, settings: Settings, folder: Path) -> Path | None:
    """The runs that were named, or those of train.method where there are some."""
    from grace.pipeline.store import find_paths

    usual = folder / "runs" / settings.train.method
    return run or (usual if find_paths(usual, "fold-*/config.yaml") else None)


def _root(settings: Settings, dataset: str, root: str | None, folder: Path) -> Path | None:
    from grace.pipeline.datasets import root_of
    from grace.pipeline.errors import UserError

    try:
        return root_of(settings.roots, dataset, root, folder)
    except UserError:
        if root is not None:
            raise
        return None
