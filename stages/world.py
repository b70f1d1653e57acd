"""``grace world``: render the world's clips with their ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stages._options import Params, Set, command_settings
from stages._output import print_table, user_errors


@user_errors
def command(
    out: Annotated[Path, typer.Option("--out", help="Folder for clips, splits and truth.")] = Path("raw/demo"),
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Render drawn faces moved by action units, as MP4 files in a data set's official layout."""
    from grace.pipeline.world.world import make_world

    settings = command_settings(params, override)
    counts = make_world(settings.world, out, settings.workers)
    rows: list[tuple[str, str]] = [
        ("clips rendered", str(counts.rendered)),
        ("clips skipped (rendered before)", str(counts.skipped)),
        ("frames rendered", str(counts.frames)),
        ("seconds", f"{counts.seconds:.1f}"),
        ("frames/s", f"{counts.frames / counts.seconds:.0f}" if counts.frames else "–"),
    ]
    print_table(f"world in {out}", rows)
