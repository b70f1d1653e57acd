"""The way from a folder of clips to texts, for `caption` and `describe`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stages._options import dataset_of
from stages._output import console, run_step

if TYPE_CHECKING:
    from grace.settings import Settings


def write_texts(
    stages: Sequence[str], clips: Path | None, dataset: str | None, settings: Settings, out: Path | None, retry: bool
) -> None:
    """Run text stages over a data set, or first list and crop a folder of clips; write the last texts to ``out``."""
    from grace.pipeline.steps import make_step
    from grace.pipeline.table_files import check_table
    from grace.pipeline.text.export import export_texts
    from stages.index import run_index

    if out is not None:
        check_table(out)  # before hours of work
    name = dataset_of(clips, dataset, settings)
    if clips is not None:
        run_index(name, settings)
        stages = ("faces", *stages)
    for stage in stages:
        run_step(make_step(stage, settings, name), name, settings, retry)
    if out is not None:
        count, failed = export_texts(settings.folder(name), stages[-1], out)
        without = f", {failed:,} of them failed and without a text" if failed else ""
        console().print(f"{count:,} clips{without}: {out}", markup=False)
