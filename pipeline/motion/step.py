"""Motion maps: where a face moves by itself, not with the head, the light or the camera.

Each instant is compared with the frame one later, and the instants before it with those after. What moves with the
head, and what stands still behind or before it, is taken away; what is left is pooled to G × G patches and scaled per
clip.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float

from grace.pipeline.execution.step import ClipStep
from grace.pipeline.media.images import decode_crop
from grace.pipeline.motion.registration import (
    Greys,
    HeadMotions,
    Window,
    at_side,
    fit_flow,
    head_flow,
    head_motion,
    warp_back,
)
from grace.pipeline.motion.settings import MotionSettings
from grace.pipeline.store import Row
from grace.pipeline.store.schema import Schema
from grace.pipeline.store.schemas import MOTION

SIDE = 64
"""Crops are compared at this side, in pixels, whatever the size they are stored at."""
NORM_WINDOW = 9
"""Side, in pixels, of the box (passed twice) whose mean and contrast are taken away."""
CONTRAST = 12.0
"""Grey levels of contrast below which a neighbourhood is not stretched: skin noise must not become texture."""
MAX_GAIN = 4.0
"""A picture is made stronger by this factor at most, to be as strong as the clip's others: a flash, not a blank."""
CUT, SAME = 0.4, 0.8
"""Pictures that correlate less than the first are of two shots, unless they correlate more than the second once the
head's motion is undone: a quick turn, not another camera."""
MAX_HEAD_MOTION = (0.10, 0.06)
"""A head does not move further (share of the crop) nor grow more (log scale) between two frames; in a cut it may."""
OVERLAP = 2.0
"""Standard deviation, in pixels of the working side, by which patches reach into each other: what moves on a border
belongs to both."""
LOW, HIGH = 0.2, 0.95
"""Quantiles of a clip's patch values that become 0 and 1: an expression lasts for some of the clip in some patches."""
MIN_RANGE = {"difference": 10.0, "registered": 0.1, "flow": 0.2}
"""The least range that is stretched to [0, 1], so that in a still clip the noise stays small: grey levels for plain
difference, local contrasts for the registered one, pixels for flow."""


class MotionStep(ClipStep):
    """The motion stage: reads face crops and their neighbours, writes motion maps and the rigid motion taken away."""

    name: ClassVar[str] = "motion"
    version: ClassVar[int] = 3
    schema: ClassVar[Schema] = MOTION
    folder: ClassVar[str] = "motion"
    reads: ClassVar[dict[str, tuple[str, ...]]] = {"faces": ("frames", "neighbours", "found")}

    def __init__(self, settings: MotionSettings) -> None:
        self.settings = settings

    def cache_key(self) -> dict[str, Any]:
        """The grid and the method."""
        return {"grid": self.settings.grid, "method": self.settings.method}

    def open(self) -> None:
        """One thread, since the stage runs a process a core."""
        cv2.setNumThreads(1)

    def clip(self, row: Row) -> Row:
        """The motion map of one clip."""
        pairs = [
            (decode_crop(a, "grey"), decode_crop(b, "grey"))
            for a, b in zip(row["frames"], row["neighbours"], strict=True)
        ]
        values, rigid, cut = patch_motion(pairs, self.settings.grid, self.settings.method)
        if row["found"].any():
            values[~row["found"]] = 0.0  # titles and empty rooms move too; a centre crop is all there is to go by
        return {
            "clip_id": row["clip_id"],
            "status": "ok",
            "error": "",
            "motion": scaled(values, MIN_RANGE[self.settings.method]).astype(np.float16),
            "rigid": rigid.astype(np.float32),
            "cut": cut,
        }


class Pairs(NamedTuple):
    """The instants of a clip and their neighbours at the working side, as they are and normalised for light."""

    frames: Greys
    neighbours: Greys
    normalised_frames: Greys
    normalised_neighbours: Greys


Patches = Float[np.ndarray, "T G G"]
Method = Callable[[Pairs, int], tuple[Patches, HeadMotions]]
"""From the pairs of a clip and the grid to what moved in each patch, and the rigid motion undone."""


def patch_motion(
    pairs: list[tuple[np.ndarray, np.ndarray]], grid: int, method: str | Method
) -> tuple[Patches, Float[np.ndarray, "T 4"], Bool[np.ndarray, " T"]]:
    """Motion of every patch before scaling, the similarity taken away, and cuts (whose motion is zero).

    ``pairs`` are grey crops of any size, 0 to 255, with their neighbours, in the order of time; ``method`` is
    ``difference``, ``registered``, ``flow``, or a function of their shape.
    """
    frames, neighbours = resize_crops([a for a, _ in pairs]), resize_crops([b for _, b in pairs])
    even = normalised(np.concatenate([frames, neighbours]))
    seen = Pairs(frames, neighbours, even[: len(frames)], even[len(frames) :])
    values, motions = METHODS[method](seen, grid) if isinstance(method, str) else method(seen, grid)
    cut = are_cuts(seen.normalised_frames, seen.normalised_neighbours, motions)
    return np.where(cut[:, None, None], 0.0, values), np.where(cut[:, None], 0.0, motions[:, :4]), cut


def resize_crops(crops: list[np.ndarray]) -> Greys:
    """Grey crops at the working side, [T, SIDE, SIDE]."""
    small = [cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for crop in crops]
    return np.stack(small).astype(np.float32)


def normalised(greys: Greys) -> Greys:
    """The pictures of a clip less their local mean, over their local contrast: light and flicker are gone."""
    # JPEG noise lives in single pixels.
    pictures = np.stack([cv2.GaussianBlur(grey, (0, 0), 0.8) for grey in greys])
    spread = pictures[:, face_window() > 0.5].std(axis=1)
    usual = np.median(spread)
    pictures *= (usual / np.maximum(spread, max(usual / MAX_GAIN, 1e-6)))[:, None, None]  # a lamp, the camera's gain
    for picture in pictures:
        mean = _local_mean(picture)
        deviation = np.sqrt(np.maximum(_local_mean(picture**2) - mean**2, 0.0))
        picture[...] = (picture - mean) / (deviation + CONTRAST)
    return pictures


def plain_difference(pairs: Pairs, grid: int) -> tuple[Patches, HeadMotions]:
    """What changes from frame to neighbour, in grey levels, whatever moved: plain frame differencing, the baseline."""
    return pooled(np.abs(pairs.neighbours - pairs.frames), grid), np.zeros((len(pairs.frames), 6))


def registered_difference(
    pairs: Pairs, grid: int, register: Callable[[Greys, Greys, Window], HeadMotions] = head_motion
) -> tuple[Patches, HeadMotions]:
    """What changes both as the picture stands and with the head held still, in local contrasts.

    Skin that moves with the head vanishes when the head's motion is undone; the background, and a subtitle before the
    face, vanish when it is not. An expression does neither.
    """
    a, b = pairs.normalised_frames, pairs.normalised_neighbours
    motions = register(a, b, face_window())
    return _pool_blurred(np.minimum(_change(b - a), _change(warp_back(b, motions) - a)), grid), motions


def temporal_registered_difference(pairs: Pairs, grid: int) -> tuple[Patches, HeadMotions]:
    """The registered difference where the face also changes from the instants before to those after.

    A movement of the face goes on for several frames, and what it did is still to be seen at the next instant; noise,
    flicker and the errors of a registration are gone by then. The geometric mean of the two.
    """
    at_once, motions = registered_difference(pairs, grid)
    change, seen = _lasting(pairs.normalised_frames)
    lasting = _pool_blurred(_change(change), grid)
    return np.sqrt(at_once * np.where(seen[:, None, None], lasting, at_once)), motions


def flow_beyond_rigid(pairs: Pairs, grid: int) -> tuple[Patches, HeadMotions]:
    """Dense optical flow (DIS, Kroeger et al. 2016) less the similarity that most of the face follows, in pixels."""
    moved, motions = np.empty_like(pairs.frames), np.zeros((len(pairs.frames), 6))
    for at, (a, b) in enumerate(zip(_bytes(pairs.normalised_frames), _bytes(pairs.normalised_neighbours), strict=True)):
        flow = _dis().calc(a, b, None)
        motions[at] = fit_flow(flow, face_window())
        beyond = np.linalg.norm(flow - head_flow(motions[at : at + 1], SIDE)[0], axis=-1)
        moved[at] = np.minimum(np.linalg.norm(flow, axis=-1), beyond) * face_window()
    return pooled(moved, grid), motions


METHODS: dict[str, Method] = {
    "difference": plain_difference,
    "registered": temporal_registered_difference,
    "flow": flow_beyond_rigid,
}


def pooled(moved: Greys, grid: int) -> Patches:
    """Root mean square of each patch."""
    return np.sqrt(np.stack([cv2.resize(square, (grid, grid), interpolation=cv2.INTER_AREA) for square in moved**2]))


def are_cuts(a: Greys, b: Greys, motions: HeadMotions) -> Bool[np.ndarray, " T"]:
    """Whether the two normalised pictures of each pair are of different shots; ``motions`` are the head's."""
    unlike = _correlation(a, b) < CUT
    thrown = (np.hypot(motions[:, 0], motions[:, 1]) > MAX_HEAD_MOTION[0]) | (
        np.abs(motions[:, 3]) > MAX_HEAD_MOTION[1]
    )
    if unlike.any():
        unlike[unlike] = thrown[unlike] | (_correlation(a[unlike], warp_back(b[unlike], motions[unlike])) < SAME)
    return np.asarray(unlike)


def scaled(values: Patches, least: float) -> Patches:
    """Patch values of one clip to [0, 1] between robust quantiles, a range of at least ``least``."""
    low, high = np.quantile(values, (LOW, HIGH))
    return np.asarray(np.clip((values - low) / max(high - low, least), 0.0, 1.0))


@cache
def face_window() -> Window:
    """Where the face is in a crop: 1 in an ellipse from brows to chin, falling to 0 towards the corners."""
    at = (np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2) / (SIDE / 2)
    x, y = np.meshgrid(at, at)
    distance = np.sqrt((x / 0.65) ** 2 + ((y - 0.05) / 0.95) ** 2)
    window = np.clip((1.15 - distance) / 0.30, 0.0, 1.0).astype(np.float32)
    window.setflags(write=False)
    return window


@cache
def _dis() -> Any:
    return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)


def _local_mean(picture: Window) -> Window:
    """The mean around each pixel: a box passed twice is nearly a Gaussian, and costs the same whatever its size."""
    once = cv2.blur(picture, (NORM_WINDOW, NORM_WINDOW), borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.blur(once, (NORM_WINDOW, NORM_WINDOW), borderType=cv2.BORDER_REFLECT))


def _change(difference: Greys) -> Greys:
    """Absolute difference, where it stands out from what the whole face shows (noise, an imperfect registration)."""
    change = np.stack([cv2.GaussianBlur(picture, (0, 0), 0.6) for picture in np.abs(difference)])
    usual = np.median(change[:, face_window() > 0.5], axis=1)
    return np.maximum(change - usual[:, None, None], 0.0)


def _pool_blurred(change: Greys, grid: int) -> Patches:
    """Patches of what changes within the face, each with a little of its neighbourhood."""
    power = [cv2.GaussianBlur(square, (0, 0), OVERLAP) for square in (change * face_window()) ** 2]
    return pooled(np.sqrt(np.stack(power)), grid)


def _lasting(frames: Greys) -> tuple[Greys, Bool[np.ndarray, " T"]]:
    """How the face changes from the instant before each to the one after, and whether there is either in its shot.

    The head's motion is undone. Where a shot begins or ends, the instant itself is one of the two.
    """
    if len(frames) == 1:
        return np.zeros_like(frames), np.zeros(1, dtype=bool)
    basis = head_motion(frames[:-1], frames[1:], face_window())
    cut = are_cuts(frames[:-1], frames[1:], basis)[:, None, None]
    change = np.zeros_like(frames)
    change[:-1] += np.where(cut, 0.0, warp_back(frames[1:], basis) - frames[:-1])
    # Undone to first order: near enough for heads that the crops follow.
    change[1:] += np.where(cut, 0.0, frames[1:] - warp_back(frames[:-1], -basis))
    return change, ~np.pad(cut[:, 0, 0], (1, 0), constant_values=True) | ~np.pad(
        cut[:, 0, 0], (0, 1), constant_values=True
    )


def _correlation(a: Greys, b: Greys) -> Float[np.ndarray, " T"]:
    """Correlation of the layouts of two pictures; 1 where neither has any."""
    a, b = at_side(a, SIDE // 4).reshape(len(a), -1), at_side(b, SIDE // 4).reshape(len(b), -1)
    spread = a.std(axis=1) * b.std(axis=1)
    common = ((a - a.mean(axis=1, keepdims=True)) * (b - b.mean(axis=1, keepdims=True))).mean(axis=1)
    return np.where(spread > 1e-4, common / np.maximum(spread, 1e-4), 1.0)


def _bytes(pictures: Greys) -> np.ndarray:
    return np.clip(pictures * 50 + 128, 0, 255).astype(np.uint8)
