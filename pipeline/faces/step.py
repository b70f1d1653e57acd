"""Face crops: T instants of a clip, one face followed through them, cropped so that a still head gives a still crop."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from jaxtyping import Bool, Float

from grace.pipeline.errors import ClipError
from grace.pipeline.execution.step import ClipStep
from grace.pipeline.faces.detectors import LANDMARKS, Detection, Detector, cache_key, detector
from grace.pipeline.faces.settings import FacesSettings
from grace.pipeline.media.video import Frame, Sample, sample
from grace.pipeline.store import Row, fallback
from grace.pipeline.store.schema import Schema
from grace.pipeline.store.schemas import FACES

CUT_CORRELATION = 0.45
"""Two instants whose thumbnails correlate less are of different shots."""
STILL_BOX = 0.05
"""Boxes that differ by less than this share of their side are taken for the same place seen with jitter."""
STILL_ROLL = 0.04
"""Slopes of the eye line, radians, that differ by less are taken for the same."""
SMOOTHING_SIGMA = 3.0
"""Standard deviation of the smoothing in time, in instants."""


class FacesStep(ClipStep):
    """The faces stage: decode, sample, find, follow, crop. ``root`` is where the data set's raw files lie."""

    name: ClassVar[str] = "faces"
    version: ClassVar[int] = 2
    schema: ClassVar[Schema] = FACES
    folder: ClassVar[str] = "faces"
    reads: ClassVar[dict[str, tuple[str, ...]]] = {"clips": ("path", "source", "n_frames")}

    def __init__(self, settings: FacesSettings, root: Path) -> None:
        self.settings = settings
        self.root = root
        self._cache_key = cache_key(settings)  # now, so that a missing model is told before any work
        self._detector: Detector | None = None

    def cache_key(self) -> dict[str, Any]:
        """The sampling, the crop, and the detector with the hash of its model."""
        chosen = self.settings.model_dump(include={"instants", "size", "detect_every", "margin", "quality"})
        return {**chosen, **self._cache_key}

    def open(self) -> None:
        """Load the detector; one thread, since the stage runs a process a core."""
        cv2.setNumThreads(1)
        self._detector = detector(self.settings)

    def clip(self, row: Row) -> Row:
        """The face crops of one clip."""
        if self._detector is None:
            raise RuntimeError("open() comes before clip()")
        chosen = self.settings
        taken = sample(self.root / row["path"], row["source"], chosen.instants, row["n_frames"])
        if chosen.detector == "none":
            boxes = full_frame_boxes(taken)
            roll_angles, found = np.zeros(chosen.instants), np.ones(chosen.instants, dtype=bool)
        else:
            track = track_face(taken.frames, self._detector, chosen.detect_every)
            boxes, roll_angles, found = square(track.boxes, chosen.margin), track.roll_angles, track.found
            searched, seen = int(track.searched.sum()), int(track.seen.sum())
        made: Row = {
            "clip_id": row["clip_id"],
            "status": "ok",
            "error": "",
            "frames": _jpegs(taken.frames, boxes, roll_angles, chosen),
            "neighbours": _jpegs(taken.neighbours, boxes, roll_angles, chosen),
            "size": np.array(taken.size, dtype=np.int32),
            "boxes": (boxes / taken.scale).astype(np.float32),
            "times": taken.times,
            "found": found,
        }
        if chosen.detector in LANDMARKS:
            made["turns"] = roll_angles.astype(np.float32)
        if chosen.detector == "none" or 2 * seen >= searched:
            return made
        if not seen:
            return fallback(made, f"no face found in any of the {searched} instants searched: centre crop")
        return fallback(made, f"the face was found in only {seen} of the {searched} instants searched")

    def retrace(self, row: Row) -> tuple[Sample, Track]:
        """The frames of a clip at its instants and the face followed through them, as :meth:`clip` sees them."""
        if self._detector is None:
            raise RuntimeError("open() comes before retrace()")
        taken = sample(self.root / row["path"], row["source"], self.settings.instants, row["n_frames"])
        return taken, track_face(taken.frames, self._detector, self.settings.detect_every)


@dataclass(frozen=True)
class Track:
    """One face through the T instants: its boxes (x0, y0, x1, y1, pixels), and where it was really there.

    ``roll_angles`` are the slopes of its eye line, radians, clockwise as one sees it; 0 without landmarks. ``found`` holds
    for searched instants with the face and for instants between two such; ``searched`` are the instants a detector
    looked at, ``seen`` those where it saw this face, ``faces`` every face that it saw in each.
    """

    boxes: Float[np.ndarray, "T 4"]
    roll_angles: Float[np.ndarray, " T"]
    found: Bool[np.ndarray, " T"]
    searched: Bool[np.ndarray, " T"]
    seen: Bool[np.ndarray, " T"]
    faces: list[list[Detection]]


def track_face(frames: list[Frame], detect: Detector, every: int) -> Track:
    """Follow the main face (large, central, lasting) of each shot; without any face, the frame's centre.

    Faces are searched at every ``every``-th instant, the last one, wherever a shot begins or ends,
    and beside each instant in which none was found.
    """
    starts = shot_boundaries(frames)
    searched = sorted({*range(0, len(frames), every), len(frames) - 1, *starts, *(s - 1 for s in starts if s)})
    seen: dict[int, Detection] = {}
    looked: dict[int, list[Detection]] = {}
    for start, end in zip(starts, [*starts[1:], len(frames)], strict=True):
        found = {at: detect(frames[at]) for at in searched if start <= at < end}
        beside = {at + step for at, faces in found.items() if not faces for step in (-1, 1)} - found.keys()
        found |= {at: detect(frames[at]) for at in beside if start <= at < end}
        looked |= found
        seen |= main_track(dict(sorted(found.items())), frames[0].shape[1], frames[0].shape[0])
    searched = sorted(looked)
    where = (
        _marked(searched, len(frames)),
        _marked(seen, len(frames)),
        [looked.get(at, []) for at in range(len(frames))],
    )
    if not seen:
        middle = np.tile(_centre(frames[0]), (len(frames), 1))
        return Track(middle, np.zeros(len(frames)), _marked((), len(frames)), *where)
    boxes = np.empty((len(frames), 4), dtype=np.float64)
    roll_angles = np.empty(len(frames), dtype=np.float64)
    present = np.zeros(len(frames), dtype=bool)
    for start, end in zip(starts, [*starts[1:], len(frames)], strict=True):
        here = range(start, end)
        # A shot without the face keeps the box of the nearest instant that has it.
        known = [at for at in seen if start <= at < end] or [min(seen, key=lambda at: abs(at - start))]
        values = np.array([seen[at].box for at in known], dtype=np.float64)
        for corner in range(4):
            boxes[start:end, corner] = np.interp(here, known, values[:, corner])
        boxes[start:end] = smooth(boxes[start:end])
        roll_angles[start:end] = bilateral_smooth(
            np.interp(here, known, [roll_angle(seen[at]) for at in known])[:, None], STILL_ROLL
        )[:, 0]
        present[start:end] = _present([at for at in searched if start <= at < end], set(seen), start, end)
    return Track(boxes, roll_angles, present, *where)


def shot_boundaries(frames: list[Frame]) -> list[int]:
    """The instants at which a shot begins (0 is one): the picture before correlates little with it."""
    starts = [0]
    before = _thumbnail(frames[0])
    for at, frame in enumerate(frames[1:], 1):
        now = _thumbnail(frame)
        if float((before * now).mean()) < CUT_CORRELATION:
            starts.append(at)
        before = now
    return starts


def main_track(found: dict[int, list[Detection]], width: int, height: int) -> dict[int, Detection]:
    """The detections, by instant, of the face that is largest, most central and lasts longest in one shot."""
    tracks: list[dict[int, Detection]] = []
    for at, detections in found.items():
        free = list(tracks)
        for detection in sorted(detections, key=lambda one: -one.score):
            near = [track for track in free if _overlap(track[max(track)].box, detection.box) > 0.1]
            if near:
                track = max(near, key=lambda track: _overlap(track[max(track)].box, detection.box))
                free = [other for other in free if other is not track]  # not remove(): it would compare arrays
                track[at] = detection
            else:
                tracks.append({at: detection})

    def weight(track: dict[int, Detection]) -> float:
        return sum(_prominence(one, width, height) for one in track.values())

    return max(tracks, key=weight, default={})


def smooth(boxes: Float[np.ndarray, "T 4"]) -> Float[np.ndarray, "T 4"]:
    """Average centre and size over the instants at which they are nearly the same: jitter goes, motion stays.

    A bilateral filter in time (Tomasi & Manduchi 1998), so that a still head gives a still crop and a moving head
    is not cut off by a box that lags.
    """
    state = np.stack(
        [
            (boxes[:, 0] + boxes[:, 2]) / 2,
            (boxes[:, 1] + boxes[:, 3]) / 2,
            boxes[:, 2] - boxes[:, 0],
            boxes[:, 3] - boxes[:, 1],
        ],
        axis=1,
    )
    state = bilateral_smooth(state, STILL_BOX * float(np.median(state[:, 2:].max(axis=1))))
    half = state[:, 2:] / 2
    return np.concatenate([state[:, :2] - half, state[:, :2] + half], axis=1)


def bilateral_smooth(state: Float[np.ndarray, "T n"], still: float) -> Float[np.ndarray, "T n"]:
    """Each column averaged over the near instants whose values differ by little more than ``still``, twice."""
    when = np.arange(len(state))
    near = np.exp(-0.5 * ((when[:, None] - when[None, :]) / SMOOTHING_SIGMA) ** 2)
    for _ in range(2):
        apart = (state[:, None, :] - state[None, :, :]) / max(still, 1e-9)
        weights = near[:, :, None] * np.exp(-0.5 * apart**2)
        state = (weights * state[None, :, :]).sum(axis=1) / weights.sum(axis=1)
    return state


def roll_angle(face: Detection) -> float:
    """The slope of the line through the eyes, radians, clockwise as one sees it; 0 without landmarks."""
    if face.landmarks is None:
        return 0.0
    across, down = face.landmarks[1] - face.landmarks[0]
    return float(np.arctan2(down, across))


def square(boxes: Float[np.ndarray, "T 4"], margin: float) -> Float[np.ndarray, "T 4"]:
    """Square boxes around the same centres, as wide as the longer side and ``margin`` of it on every side."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) * (0.5 + margin)
    return np.concatenate([centre - half, centre + half], axis=1)


def full_frame_boxes(taken: Sample) -> Float[np.ndarray, "T 4"]:
    """The square around each whole frame of a clip that is a face crop already."""
    height, width = taken.frames[0].shape[:2]
    return square(np.tile(np.array([[0.0, 0.0, width, height]]), (len(taken.frames), 1)), 0.0)


def crop(frame: Frame, box: Float[np.ndarray, "4"], size: int) -> Frame:
    """The square ``box`` of a frame at ``size`` pixels a side; beyond the frame its border is repeated."""
    side = max(round(float(box[2] - box[0])), 1)
    left, top = round(float(box[0])), round(float(box[1]))
    height, width = frame.shape[:2]
    before = (max(-left, 0), max(-top, 0))
    after = (max(left + side - width, 0), max(top + side - height, 0))
    # At least one pixel of the frame must be there for its border to be repeated.
    inside = frame[
        min(max(top, 0), height - 1) : max(min(top + side, height), 1),
        min(max(left, 0), width - 1) : max(min(left + side, width), 1),
    ]
    if any(before) or any(after):
        inside = cv2.copyMakeBorder(inside, before[1], after[1], before[0], after[0], cv2.BORDER_REPLICATE)
    return cv2.resize(inside, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_CUBIC)


def crop_aligned(frame: Frame, box: Float[np.ndarray, "4"], turn: float, size: int) -> Frame:
    """The square ``box`` turned about its middle by ``turn`` radians, at ``size`` pixels a side: eyes level."""
    if turn == 0.0:
        return crop(frame, box, size)
    room = 0.25 * float(box[2] - box[0])  # the corners of a turned square lie up to a fifth outside it
    wide = crop(frame, box + room * np.array([-1.0, -1.0, 1.0, 1.0]), round(1.5 * size))
    middle = (wide.shape[0] - 1) / 2
    turned = cv2.getRotationMatrix2D((middle, middle), float(np.degrees(turn)), 1.0)
    turned[:, 2] -= middle - (size - 1) / 2
    return cv2.warpAffine(wide, turned, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _jpegs(
    frames: list[Frame], boxes: Float[np.ndarray, "T 4"], roll_angles: Float[np.ndarray, " T"], chosen: FacesSettings
) -> list[bytes]:
    made = []
    for frame, box, turn in zip(frames, boxes, roll_angles, strict=True):
        picture = crop_aligned(frame, box, float(turn), chosen.size)
        good, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, chosen.quality])
        if not good:
            raise ClipError("a face crop cannot be encoded as JPEG")
        made.append(encoded.tobytes())
    return made


def _present(searched: list[int], seen: set[int], start: int, end: int) -> Bool[np.ndarray, " T"]:
    """Whether the face is there at each instant of a shot: seen, or between two searches that both saw it."""
    hits = [float(at in seen) for at in searched]
    return np.interp(range(start, end), searched, hits) == 1.0


def _marked(instants: Iterable[int], count: int) -> Bool[np.ndarray, " T"]:
    marks = np.zeros(count, dtype=bool)
    marks[list(instants)] = True
    return marks


def _thumbnail(frame: Frame) -> Float[np.ndarray, "16 16"]:
    """A grey thumbnail of mean 0 and deviation 1: the layout of the picture, not its light."""
    grey = cv2.cvtColor(cv2.resize(frame, (16, 16), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY).astype(
        np.float32
    )
    return np.asarray((grey - grey.mean()) / max(float(grey.std()), 1.0))


def _centre(frame: Frame) -> Float[np.ndarray, "4"]:
    """The largest square in a frame's middle."""
    height, width = frame.shape[:2]
    half = min(height, width) / 2
    return np.array([width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half])


def _prominence(one: Detection, width: int, height: int) -> float:
    """How much a detection looks like the clip's main face: score × side × nearness to the middle."""
    x, y = (one.box[:2] + one.box[2:]) / 2
    off = np.hypot((x - width / 2) / width, (y - height / 2) / height)
    side = float(np.sqrt(max(np.prod(one.box[2:] - one.box[:2]), 0.0)))
    return float(one.score * side * np.exp(-2.0 * off))


def _overlap(a: Float[np.ndarray, "4"], b: Float[np.ndarray, "4"]) -> float:
    """Intersection over union, with boxes widened by half: heads move between instants."""
    grow_a, grow_b = (a[2:] - a[:2]) / 4, (b[2:] - b[:2]) / 4
    low = np.maximum(a[:2] - grow_a, b[:2] - grow_b)
    high = np.minimum(a[2:] + grow_a, b[2:] + grow_b)
    both = float(np.prod(np.maximum(high - low, 0.0)))
    union = 2.25 * float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - both
    return both / max(union, 1e-9)
