"""The steps in the order of the road, each built from the settings."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import UserError
from pipeline.settings import Settings
from pipeline.step import Step

STAGES = ("faces", "caption", "refine", "motion", "tokens")
"""The stages that are steps over shards, in an order in which each finds its inputs."""


def root_of(settings: Settings, dataset: str, root: str | None = None) -> Path:
    """The folder of a data set's raw files: ``root`` if given, else ``roots.<dataset>``.

    Raises :class:`UserError` when neither names a folder that exists.
    """
    named = root or settings.roots.get(dataset)
    if named is None:
        known = ", ".join(sorted(settings.roots)) or "none"
        raise UserError(
            f"There is no root for data set '{dataset}' (known: {known}): set roots.{dataset} in params.yaml to the "
            "folder of its files, or give --root."
        )
    path = Path(named)
    if not path.is_dir():
        raise UserError(
            f"The root of data set '{dataset}', {path}, is not a folder: set roots.{dataset} in params.yaml, or give "
            "--root."
        )
    return path


def step(stage: str, settings: Settings, dataset: str, root: str | None = None) -> Step:
    """The step of a stage for a data set. Models are named here and loaded when the step opens."""
    if stage == "faces":
        from pipeline.faces import FacesStep

        return FacesStep(settings.faces, root_of(settings, dataset, root))
    if stage == "caption":
        from pipeline.caption import caption_step

        return caption_step(settings.caption)
    if stage == "refine":
        from pipeline.refine import RefineStep

        return RefineStep(settings.refine)
    if stage == "motion":
        from pipeline.motion import MotionStep

        return MotionStep(settings.motion)
    if stage == "tokens":
        from pipeline.tokens import TokensStep

        return TokensStep(settings.tokens)
    raise ValueError(f"'{stage}' is not a step; the steps are {', '.join(STAGES)}")
