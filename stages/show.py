"""``grace show``: a picture of what the stages made of one clip."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stages.console import Dataset, Params, Set, console, guarded, settings


class What(StrEnum):
    """What can be shown."""

    faces = "faces"
    motion = "motion"
    alignment = "alignment"


@guarded
def command(
    clip: Annotated[str, typer.Argument(help="The clip's id.")],
    what: Annotated[
        What,
        typer.Option("--what", help="faces: the crops; motion: the maps on them; alignment: where the words met them."),
    ] = What.motion,
    out: Annotated[
        Path | None, typer.Option("--out", help="The picture's file; <clip>-<what>.png if not given.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", help="alignment: the run folder; the first fold of train.method if not given."),
    ] = None,
    dataset: Dataset = "demo",
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Write a contact sheet of a clip: its face crops, or its motion maps with the removed head motion as arrows."""
    from pipeline.pictures import contact_sheet, save
    from pipeline.store import Store, UserError
    from pipeline.store.schemas import FACES, MOTION

    chosen = settings(params, override)
    file = out or Path(f"{Path(clip).name}-{what.value}.png")
    if what is What.alignment:
        from stages.alignment import draw_cached

        draw_cached(clip, run, chosen, dataset, file)
        console().print(f"Written to {file}.", markup=False)
        return
    folder = chosen.folder(dataset)
    faces = Store(folder / "faces", FACES).find(clip)
    motion = Store(folder / "motion", MOTION).find(clip) if what is What.motion else None
    for stage, row in (("faces", faces), ("motion", motion if what is What.motion else faces)):
        if row is None or row["status"] == "failed":
            cause = row["error"] if row else f"the {stage} stage has no such clip"
            raise UserError(f"There is nothing to show of clip '{clip}' of {dataset}: {cause}.")
    save(contact_sheet(faces, motion), str(file))  # type: ignore[arg-type]
    console().print(f"Written to {file}.", markup=False)
