"""The steps in the order of the road, each built from the settings."""

from __future__ import annotations

from pathlib import Path

from grace.pipeline.errors import ClipError, UserError
from grace.pipeline.execution.runner import run
from grace.pipeline.execution.step import Step
from grace.pipeline.settings import PipelineSettings
from grace.pipeline.store import Row, Store, write_clips

STAGES = ("faces", "caption", "refine", "motion", "tokens")
"""The stages that are steps over shards, in an order in which each finds its inputs."""


def step(stage: str, settings: PipelineSettings, dataset: str, root: str | None = None) -> Step:
    """The step of a stage for a data set. Models are named here and loaded when the step opens."""
    if stage == "faces":
        from grace.pipeline.datasets import root_of
        from grace.pipeline.faces.step import FacesStep

        return FacesStep(settings.faces, root_of(settings.roots, dataset, root))
    if stage == "caption":
        from grace.pipeline.text.caption import caption_step

        return caption_step(settings.caption)
    if stage == "refine":
        from grace.pipeline.text.overrides import read_overrides
        from grace.pipeline.text.refine import refine_step

        corrections = Path(settings.refine.overrides) / f"{dataset}.csv"
        return refine_step(settings.refine, read_overrides(corrections, settings.folder(dataset)))
    if stage == "motion":
        from grace.pipeline.motion.step import MotionStep

        return MotionStep(settings.motion)
    if stage == "tokens":
        from grace.pipeline.tokens.step import tokens_step

        return tokens_step(settings.tokens)
    raise ValueError(f"'{stage}' is not a step; the steps are {', '.join(STAGES)}")


def one_clip(video: Path, settings: PipelineSettings, folder: Path) -> Row:
    """Take one video file through every step and return all its columns in one row, with what any step remarked.

    ``folder`` receives the stores, as ``data/<dataset>`` does for a data set.
    Raises :class:`UserError` when the file is missing or a step fails on it.
    """
    from grace.pipeline.media.video import probe

    if not video.is_file():
        raise UserError(f"There is no video file {video}.")
    clip: Row = {"clip_id": video.stem, "status": "ok", "error": "", "path": video.name, "source": "video"}
    try:
        held = probe(video, "video")
    except ClipError as error:
        raise UserError(f"{video} cannot be used: {error}.") from None
    clip |= {"n_frames": held.n_frames, "fps": held.fps, "width": held.width, "height": held.height}
    write_clips(folder, [clip], [])
    everything, notes = dict(clip), []
    for stage in STAGES:
        made = step(stage, settings, folder.name, root=str(video.parent))
        run(made, folder, size=1, max_failed=1)
        row = Store(folder / made.folder, made.schema).read(0)[0]
        if row["status"] == "failed":
            raise UserError(f"{video} cannot be used: {row['error']}.")
        if row["status"] == "fallback":
            notes.append(row["error"])
        everything |= row
    return everything | {"status": "fallback" if notes else "ok", "error": "; ".join(notes)}
