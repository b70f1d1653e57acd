"""The motion stage: the face crops of a clip and the crops one frame later become its motion maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np

from grace.pipeline.execution.step import ClipStep
from grace.pipeline.media.images import decode_crop
from grace.pipeline.motion.maps import MIN_RANGE, patch_motion, scaled
from grace.pipeline.motion.settings import MotionSettings
from grace.pipeline.store import Row
from grace.pipeline.store.schema import Schema
from grace.pipeline.store.schemas import MOTION

if TYPE_CHECKING:
    from grace.pipeline.settings import PipelineSettings


class MotionStep(ClipStep):
    """The motion stage: reads face crops and their neighbours, writes motion maps and the head motion left out.

    Args:
        settings: the section ``motion`` of ``params.yaml``.
    """

    name: ClassVar[str] = "motion"
    version: ClassVar[int] = 4
    schema: ClassVar[Schema] = MOTION
    folder: ClassVar[str] = "motion"
    reads: ClassVar[dict[str, tuple[str, ...]]] = {"faces": ("frames", "neighbours", "found")}

    def __init__(self, settings: MotionSettings) -> None:
        self.settings = settings

    def cache_key(self) -> dict[str, Any]:
        """The grid and the method."""
        return {"grid": self.settings.grid, "method": self.settings.method}

    def open(self) -> None:
        """One thread, since the stage runs one process per core."""
        cv2.setNumThreads(1)

    def clip(self, row: Row) -> Row:
        """The motion maps of one clip."""
        pairs = [
            (decode_crop(frame, "grey"), decode_crop(neighbour, "grey"))
            for frame, neighbour in zip(row["frames"], row["neighbours"], strict=True)
        ]
        values, rigid, cut = patch_motion(pairs, self.settings.grid, self.settings.method)
        if row["found"].any():
            values[~row["found"]] = 0.0  # titles and backgrounds move too; without any face, keep all
        return {
            "clip_id": row["clip_id"],
            "status": "ok",
            "error": "",
            "motion": scaled(values, MIN_RANGE[self.settings.method]).astype(np.float16),
            "rigid": rigid.astype(np.float32),
            "cut": cut,
        }


def from_settings(settings: PipelineSettings, dataset: str, root: str | None) -> MotionStep:
    """The step of these settings, for :func:`grace.pipeline.steps.make_step`.

    Args:
        settings: All settings, of which the section ``motion`` says what the step does.
        dataset: Not used: the step is the same for every data set.
        root: Not used: the step reads no raw files.
    """
    return MotionStep(settings.motion)
