"""``grace clean``: forget the answers of models, the only thing that no stage makes again for nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grace.pipeline.messages import byte_size
from stages._options import Dataset, Params, Set, command_settings
from stages._output import console, user_errors


@user_errors
def command(
    dataset: Dataset = "demo",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Remove the kept answers of vision-language and language models; captions and descriptions stay."""
    import shutil

    from grace.pipeline.store.listing import find_paths

    folder = command_settings(params, override).folder(dataset) / "responses"
    files = find_paths(folder, "*/*.jsonl")
    if not files:
        console().print(f"{folder} keeps no answers.", markup=False)
        return
    held = byte_size(sum(file.stat().st_size for file in files))
    if not yes:
        typer.confirm(f"Remove {held} of answers in {folder}? Asking for them again costs what they cost.", abort=True)
    shutil.rmtree(folder)
    console().print(f"{held} of answers removed from {folder}.", markup=False)
