"""One face tracked through the instants of a clip: detections in each shot, interpolated and smoothed in time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

from grace.pipeline.faces.detectors import Detection, Detector
from grace.pipeline.media.images import BGRImage

CUT_CORRELATION = 0.45
"""Two consecutive instants whose thumbnails correlate less belong to different shots."""
SAME_FACE = 0.1
"""A detection continues a track if it overlaps more than this (IoU of boxes widened by half) with its last box."""
STILL_BOX = 0.05
"""Positions and sizes that differ by less than this share of the box are averaged: the difference is jitter."""
STILL_ROLL = 0.04
"""Roll angles, radians, that differ by less are averaged."""
SMOOTHING_SIGMA = 3.0
"""Standard deviation of the smoothing in time, in instants."""

Boxes = Float[np.ndarray, "T 4"]
"""x0, y0, x1, y1 in pixels of the frame, at each instant."""


@dataclass(frozen=True)
class Track:
    """One face through the T instants of a clip.

    Attributes:
        boxes: where the face is, or where it most likely is, at each instant.
        roll_angles: slope of its eye line, radians, positive when it falls to the right; 0 without landmarks.
        found: whether the face is there: detected, or between two consecutive searched instants that both have it.
        searched: the instants at which the detector ran.
        detected: those of them at which it detected this face.
        faces: every face that it detected, at each instant.
    """

    boxes: Boxes
    roll_angles: Float[np.ndarray, " T"]
    found: Bool[np.ndarray, " T"]
    searched: Bool[np.ndarray, " T"]
    detected: Bool[np.ndarray, " T"]
    faces: list[list[Detection]]


def track_face(frames: list[BGRImage], detect: Detector, every: int) -> Track:
    """Track the main face (large, central, lasting) of each shot; without any face, take the frames' centre.

    The detector runs at every ``every``-th instant, at the last one, wherever a shot begins or ends, and beside each
    instant at which it detects no face. Boxes in between are interpolated, then smoothed.

    Args:
        frames: the T frames of a clip, of one size.
        detect: finds the faces in one frame, as :func:`grace.pipeline.faces.detectors.make_detector` gives it.
        every: instants from one search to the next; 1 searches all.

    Returns:
        The box of the face at each instant, and whether it is there.

    Example:
        >>> frames = [np.tile(np.arange(160, dtype=np.uint8)[:, None], (90, 1, 3))] * 5
        >>> lefts = iter([40, 46, 52])  # where the face begins at instants 0, 2 and 4
        >>> def detect(frame):
        ...     left = next(lefts)
        ...     return [Detection(np.array([left, 20, left + 30, 50], np.float32), score=1.0)]
        >>> track = track_face(frames, detect, every=2)
        >>> track.searched.tolist(), track.found.all().item()
        ([True, False, True, False, True], True)
        >>> track.boxes[1].round().tolist()
        [43.0, 20.0, 73.0, 50.0]
    """
    shots = _shots(frames)
    faces = _search(frames, shots, detect, every)
    height, width = frames[0].shape[:2]
    main: dict[int, Detection] = {}
    for shot in shots:
        main |= main_track({at: faces[at] for at in shot if at in faces}, width, height)
    count = len(frames)
    searches = (
        _mask(faces, count),
        _mask(main, count),
        [faces.get(at, []) for at in range(count)],
    )
    if not main:
        centre = np.tile(_centre_square(frames[0]), (count, 1))
        return Track(centre, np.zeros(count), _mask((), count), *searches)
    boxes, roll_angles = np.empty((count, 4), dtype=np.float64), np.empty(count, dtype=np.float64)
    found = np.zeros(count, dtype=bool)
    for shot in shots:
        here = slice(shot.start, shot.stop)
        boxes[here], roll_angles[here] = _interpolate(main, shot)
        found[here] = _present([at for at in shot if at in faces], main, shot)
    return Track(boxes, roll_angles, found, *searches)


def track_people(frames: list[BGRImage], detect: Detector, every: int) -> list[Track]:
    """Track every face of every shot, the most prominent one first.

    A person who is seen again after a cut is another track. A face that was detected once where its shot was searched
    more often is taken for a mistake of the detector.

    Args:
        frames: the T frames of a clip, of one size.
        detect: finds the faces in one frame.
        every: instants from one search to the next; 1 searches all.

    Returns:
        One track per person and shot; its boxes outside its shot are those of the nearest instant of it, and ``found``
        is false there. None at all where no face was detected.

    Example:
        >>> frames = [np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)] * 3
        >>> def detect(frame):
        ...     return [Detection(np.array([at, 20, at + 30, 50], np.float32), score=1.0) for at in (10, 100)]
        >>> [track.boxes[0].round().tolist() for track in track_people(frames, detect, every=1)]
        [[100.0, 20.0, 130.0, 50.0], [10.0, 20.0, 40.0, 50.0]]
    """
    shots = _shots(frames)
    faces = _search(frames, shots, detect, every)
    height, width = frames[0].shape[:2]
    weighed: list[tuple[float, Track]] = []
    for shot in shots:
        here = {at: faces[at] for at in shot if at in faces}
        for track in _tracks(here):
            if len(track) > 1 or len(here) == 1:
                weighed.append((_weight(track, width, height), _person(track, shot, here, faces, len(frames))))
    return [track for _, track in sorted(weighed, key=lambda pair: -pair[0])]


def _person(
    track: dict[int, Detection],
    shot: range,
    searched: Collection[int],
    faces: dict[int, list[Detection]],
    count: int,
) -> Track:
    """One face of a shot as a track through all instants of the clip."""
    seen = range(min(track), max(track) + 1)
    boxes, roll_angles = _interpolate(track, seen)
    nearest = np.clip(np.arange(count), seen.start, seen.stop - 1) - seen.start
    found = np.zeros(count, dtype=bool)
    found[shot.start : shot.stop] = _present([at for at in shot if at in searched], track, shot)
    every = [faces.get(at, []) for at in range(count)]
    return Track(boxes[nearest], roll_angles[nearest], found, _mask(searched, count), _mask(track, count), every)


def shot_boundaries(frames: list[BGRImage]) -> list[int]:
    """The instants at which shots begin: 0, and where the picture correlates little with the one before.

    Args:
        frames: the T frames of a clip, of one size.

    Returns:
        Instants, ascending, the first of which is 0.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> kitchen, street = rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
        >>> shot_boundaries([kitchen, kitchen, kitchen, street, street])
        [0, 3]
    """
    starts = [0]
    before = _thumbnail(frames[0])
    for at, frame in enumerate(frames[1:], 1):
        now = _thumbnail(frame)
        if float((before * now).mean()) < CUT_CORRELATION:
            starts.append(at)
        before = now
    return starts


def main_track(found: dict[int, list[Detection]], width: int, height: int) -> dict[int, Detection]:
    """The detections, by instant, of the face that is largest, most central and lasts longest in one shot.

    Args:
        found: every detection at each searched instant, ascending.
        width: of the frames, pixels.
        height: of the frames, pixels.

    Returns:
        One detection for each instant at which the main face was detected; empty if ``found`` holds no detection.

    Example:
        >>> small, large = (Detection(np.array([0, 0, side, side], np.float32), score=1.0) for side in (20, 80))
        >>> main_track({0: [small, large], 2: [large]}, 160, 90) == {0: large, 2: large}
        True
    """
    return max(_tracks(found), key=lambda track: _weight(track, width, height), default={})


def _tracks(found: dict[int, list[Detection]]) -> list[dict[int, Detection]]:
    """Every face of one shot: its detections by instant."""
    tracks: list[dict[int, Detection]] = []
    for at, detections in found.items():
        free = list(tracks)
        for detection in sorted(detections, key=lambda one: -one.score):
            near = [track for track in free if _overlap(track[max(track)].box, detection.box) > SAME_FACE]
            if near:
                track = max(near, key=lambda track: _overlap(track[max(track)].box, detection.box))
                free = [other for other in free if other is not track]  # not remove(): it would compare arrays
                track[at] = detection
            else:
                tracks.append({at: detection})
    return tracks


def _weight(track: dict[int, Detection], width: int, height: int) -> float:
    return sum(_prominence(one, width, height) for one in track.values())


def smooth_boxes(boxes: Boxes) -> Boxes:
    """Average centre and size over the instants at which they are nearly the same: jitter goes, motion stays.

    So a still head gives a still crop, and a moving head is not cut off by a box that lags behind it.

    Args:
        boxes: of one face in one shot.

    Returns:
        Boxes around the smoothed centres, of the smoothed sizes.

    Example:
        >>> jittering = np.tile([100.0, 80.0, 200.0, 180.0], (4, 1)) + [[0], [1], [0], [1]]
        >>> bool(np.ptp(smooth_boxes(jittering), axis=0).max() < 0.2)
        True
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
    """A bilateral filter in time (Tomasi & Manduchi 1998), applied twice to each column.

    Args:
        state: n values at each instant.
        still: standard deviation, in the values' unit, of the weight of two values that differ.

    Returns:
        Each value averaged over near instants (``SMOOTHING_SIGMA``) with similar values.

    Example:
        >>> step = np.array([[0.0], [0.1], [0.0], [9.0], [9.1]])
        >>> bilateral_smooth(step, still=0.5).round(1).ravel().tolist()
        [0.0, 0.0, 0.0, 9.0, 9.1]
    """
    when = np.arange(len(state))
    near = np.exp(-0.5 * ((when[:, None] - when[None, :]) / SMOOTHING_SIGMA) ** 2)
    for _ in range(2):
        apart = (state[:, None, :] - state[None, :, :]) / max(still, 1e-9)
        weights = near[:, :, None] * np.exp(-0.5 * apart**2)
        state = (weights * state[None, :, :]).sum(axis=1) / weights.sum(axis=1)
    return state


def roll_angle(face: Detection) -> float:
    """The slope of the line through the eyes, radians, positive when it falls to the right; 0 without landmarks."""
    if face.landmarks is None:
        return 0.0
    across, down = face.landmarks[1] - face.landmarks[0]
    return float(np.arctan2(down, across))


def _shots(frames: list[BGRImage]) -> list[range]:
    starts = shot_boundaries(frames)
    return [range(start, end) for start, end in zip(starts, [*starts[1:], len(frames)], strict=True)]


def _search(frames: list[BGRImage], shots: list[range], detect: Detector, every: int) -> dict[int, list[Detection]]:
    """Every detection at each searched instant, ascending."""
    planned = {*range(0, len(frames), every), *(shot[0] for shot in shots), *(shot[-1] for shot in shots)}
    faces: dict[int, list[Detection]] = {}
    for shot in shots:
        found = {at: detect(frames[at]) for at in sorted(planned.intersection(shot))}
        beside = {at + step for at, detections in found.items() if not detections for step in (-1, 1)} - found.keys()
        faces |= found | {at: detect(frames[at]) for at in beside if at in shot}
    return dict(sorted(faces.items()))


def _interpolate(main: dict[int, Detection], shot: range) -> tuple[Boxes, Float[np.ndarray, " T"]]:
    """Boxes and roll angles of the main face at every instant of a shot."""
    # A shot without the face keeps the box of the nearest instant that has it.
    known = [at for at in main if at in shot] or [min(main, key=lambda at: abs(at - shot.start))]
    corners = np.array([main[at].box for at in known], dtype=np.float64)
    boxes = np.stack([np.interp(shot, known, corners[:, side]) for side in range(4)], axis=1)
    angles = np.interp(shot, known, [roll_angle(main[at]) for at in known])
    return smooth_boxes(boxes), bilateral_smooth(angles[:, None], STILL_ROLL)[:, 0]


def _present(searched: Sequence[int], detected: Collection[int], shot: range) -> Bool[np.ndarray, " T"]:
    """Whether the face is there at each instant of a shot: detected, or between two searches that both detected it."""
    hits = [float(at in detected) for at in searched]
    return np.interp(shot, searched, hits) == 1.0


def _mask(instants: Iterable[int], count: int) -> Bool[np.ndarray, " T"]:
    mask = np.zeros(count, dtype=bool)
    mask[list(instants)] = True
    return mask


def _thumbnail(frame: BGRImage) -> Float[np.ndarray, "16 16"]:
    """A grey thumbnail of mean 0 and deviation 1: the layout of the picture, whatever its light."""
    small = cv2.resize(frame, (16, 16), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return np.asarray((grey - grey.mean()) / max(float(grey.std()), 1.0))


def _centre_square(frame: BGRImage) -> Float[np.ndarray, "4"]:
    """The largest square in a frame's centre."""
    height, width = frame.shape[:2]
    half = min(height, width) / 2
    return np.array([width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half])


def _prominence(one: Detection, width: int, height: int) -> float:
    """How much a detection looks like the clip's main face: score × side × nearness to the centre."""
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
