"""The faces stage: a clip's frames at T instants become T face crops and T crops of the frame after each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np

from grace.pipeline.datasets import root_of
from grace.pipeline.errors import ClipError
from grace.pipeline.execution.step import ClipStep
from grace.pipeline.faces.cropping import crop_jpegs, full_frame_boxes, square
from grace.pipeline.faces.detectors import WITH_LANDMARKS, Detector, detector_cache_key, make_detector
from grace.pipeline.faces.settings import FacesSettings
from grace.pipeline.faces.tracking import Boxes, Track, track_face, track_people
from grace.pipeline.media.content import is_content
from grace.pipeline.media.video import Sample, sample_frames
from grace.pipeline.store import Row, fallback
from grace.pipeline.store.schema import Schema
from grace.pipeline.store.schemas import FACES

if TYPE_CHECKING:
    from grace.pipeline.settings import PipelineSettings


class FacesStep(ClipStep):
    """The faces stage: decode, sample, detect, track, crop.

    Args:
        settings: the section ``faces`` of ``params.yaml``.
        root: folder of the data set's raw files, to which the clips' paths are relative.

    Raises:
        UserError: the detector needs a model file that is not there.
    """

    name: ClassVar[str] = "faces"
    version: ClassVar[int] = 3
    schema: ClassVar[Schema] = FACES
    folder: ClassVar[str] = "faces"
    reads: ClassVar[dict[str, tuple[str, ...]]] = {"clips": ("path", "source", "n_frames", "content")}

    def __init__(self, settings: FacesSettings, root: Path) -> None:
        self.settings = settings
        self.root = root
        self._detector_key = detector_cache_key(settings)  # here, so that a missing model is reported before any work
        self._detector: Detector | None = None

    def cache_key(self) -> dict[str, Any]:
        """The sampling, the crop, and the detector with the hash of its model."""
        settings = self.settings.model_dump(include={"instants", "size", "detect_every", "margin", "quality"})
        return {**settings, **self._detector_key}

    def open(self) -> None:
        """Load the detector; one thread, since the stage runs one process per core."""
        cv2.setNumThreads(1)
        self._detector = make_detector(self.settings)

    def clip(self, row: Row) -> Row:
        """The face crops of one clip."""
        settings = self.settings
        if settings.detector == "none":
            sample, problem = self._sample(row), ""
            boxes = full_frame_boxes(sample)
            roll_angles, found = np.zeros(settings.instants), np.ones(settings.instants, dtype=bool)
        else:
            sample, track = self.retrace(row)
            problem = _tracking_problem(track)
            boxes, roll_angles, found = square(track.boxes, settings.margin), track.roll_angles, track.found
        made = self._row(row["clip_id"], sample, boxes, roll_angles, found)
        return fallback(made, problem) if problem else made

    def people(self, row: Row) -> list[Row]:
        """The face crops of everybody whom a clip shows, the most prominent one first.

        An instant at which a person is not there shows the crop of the nearest one at which that person is.

        Raises:
            ClipError: no face is found, or the detector is ``none``.
        """
        if self._detector is None:
            raise RuntimeError("open() comes before people()")
        if self.settings.detector == "none":
            raise ClipError("people are tracked by a detector, and faces.detector is none")
        sample = self._sample(row)
        rows = []
        for number, track in enumerate(track_people(sample.frames, self._detector, self.settings.detect_every)):
            there = np.flatnonzero(track.found if track.found.any() else track.detected)
            near = there[np.abs(np.arange(len(track.found))[:, None] - there).argmin(1)]
            frames = [sample.frames[at] for at in near]
            neighbours = [sample.neighbours[at] for at in near]
            held = replace(sample, frames=frames, neighbours=neighbours)
            boxes = square(track.boxes, self.settings.margin)[near]
            found = np.isin(np.arange(len(near)), there)
            rows.append(self._row(str(number), held, boxes, track.roll_angles[near], found))
        if not rows:
            raise ClipError("no face is found")
        return rows

    def _row(self, clip_id: str, sample: Sample, boxes: Boxes, roll_angles: np.ndarray, found: np.ndarray) -> Row:
        """The crops of one face."""
        settings = self.settings
        made: Row = {
            "clip_id": clip_id,
            "status": "ok",
            "error": "",
            "frames": crop_jpegs(sample.frames, boxes, roll_angles, settings.size, settings.quality),
            "neighbours": crop_jpegs(sample.neighbours, boxes, roll_angles, settings.size, settings.quality),
            "size": np.array(sample.size, dtype=np.int32),
            "boxes": (boxes / sample.scale).astype(np.float32),
            "times": sample.times,
            "found": found,
        }
        if settings.detector in WITH_LANDMARKS:
            made["roll"] = roll_angles.astype(np.float32)
        return made

    def retrace(self, row: Row) -> tuple[Sample, Track]:
        """The frames of a clip at its instants and the face tracked through them, from which :meth:`clip` crops."""
        if self._detector is None:
            raise RuntimeError("open() comes before clip() and retrace()")
        sample = self._sample(row)
        return sample, track_face(sample.frames, self._detector, self.settings.detect_every)

    def _sample(self, row: Row) -> Sample:
        if row.get("content") and not is_content(self.root / row["path"], row["source"], row["content"]):
            raise ClipError("its file is not the one that was indexed: run `grace index` again")
        return sample_frames(self.root / row["path"], row["source"], self.settings.instants, row["n_frames"])


def _tracking_problem(track: Track) -> str:
    """Why the crops of a clip are doubtful; empty where the face was detected in half of the searched instants."""
    searched, detected = int(track.searched.sum()), int(track.detected.sum())
    if not detected:
        return f"no face found in any of the {searched} instants searched: centre crop"
    if 2 * detected < searched:
        return f"the face was found in only {detected} of the {searched} instants searched"
    return ""


def from_settings(settings: PipelineSettings, dataset: str, root: str | None) -> FacesStep:
    """The step of these settings, for :func:`grace.pipeline.steps.make_step`.

    Args:
        settings: All settings, of which the section ``faces`` says what the step does.
        dataset: The data set it is for; empty for single clips.
        root: The folder of the raw files, where it is not ``roots.<dataset>``.

    Raises:
        UserError: The folder of the raw files is not there.
    """
    folder = settings.folder(dataset) if dataset else None
    return FacesStep(settings.faces, root_of(settings.roots, dataset, root, folder))
