"""``grace show``: a picture of what the stages made of one clip."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stages._alignment import cached_alignment, cached_row
from stages._options import Dataset, Params, Root, Set, command_settings, picture_file
from stages._output import console, note_outdated, user_errors
from stages._terminal import show_picture

if TYPE_CHECKING:
    from grace.pipeline.faces.tracking import Track
    from grace.pipeline.media.video import Sample
    from grace.pipeline.store import Row
    from grace.settings import Settings


class What(StrEnum):
    """What can be shown."""

    faces = "faces"
    motion = "motion"
    alignment = "alignment"


SHOWN = {
    What.faces: ("faces",),
    What.motion: ("faces", "motion"),
    What.alignment: ("faces", "motion", "descriptions", "tokens"),
}
"""The stores that a picture is of."""


@user_errors
def command(
    clip: Annotated[str, typer.Argument(help="The clip's id.")],
    what: Annotated[
        What,
        typer.Option(
            "--what",
            help="faces: frames, boxes, crops; motion: maps on crops; alignment: where words' mass goes on them.",
        ),
    ] = What.motion,
    out: Annotated[
        Path | None, typer.Option("--out", help="The picture's file; <clip>-<what>.png if not given.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", help="alignment: the run folder; the first fold of train.method if not given."),
    ] = None,
    dataset: Dataset = "demo",
    root: Root = None,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Write a contact sheet (faces, motion or alignment), and show it where the terminal can show pictures."""
    from grace.pipeline.media.images import write_image
    from grace.pipeline.visualize.contact_sheets import crop_sheet, tracking_sheet

    settings = command_settings(params, override)
    file = picture_file(out, f"{Path(clip).name}-{what.value}.png")
    folder = settings.folder(dataset)
    note_outdated(folder, *SHOWN[what], clip=clip)
    if what is What.alignment:
        sheet = cached_alignment(clip, run, settings, dataset)
    elif what is What.motion:
        sheet = crop_sheet(cached_row(folder, "faces", clip), cached_row(folder, "motion", clip))
    else:
        faces = cached_row(folder, "faces", clip)
        tracked = _retrace(faces, settings, dataset, root)
        sheet = crop_sheet(faces) if tracked is None else tracking_sheet(faces, *tracked)
    write_image(file, sheet)
    show_picture(file)
    console().print(f"Written to {file}.", markup=False)


def _retrace(faces: Row, settings: Settings, dataset: str, root: str | None) -> tuple[Sample, Track] | None:
    """The clip's frames and the face tracked through them; None, and a line that says so, where the clip is gone."""
    from grace.pipeline.datasets import root_of
    from grace.pipeline.errors import ClipError, UserError
    from grace.pipeline.faces.step import FacesStep
    from grace.pipeline.store import Clips

    try:
        row = Clips(settings.folder(dataset)).find(faces["clip_id"])
        if row is None:
            raise UserError(f"clips.parquet does not list '{faces['clip_id']}' any more.")
        sampled = settings.faces.model_copy(update={"instants": len(faces["frames"])})  # as they were when cropped
        step = FacesStep(sampled, root_of(settings.roots, dataset, root, settings.folder(dataset)))
        step.open()
        return step.retrace(row)
    except (ClipError, UserError) as error:
        console().print(f"Crops only, since the clip itself cannot be shown: {error}", markup=False)
        return None
