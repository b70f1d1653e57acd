"""Motion maps: where a face moves by itself, not with the head, the light or the camera.

Each instant is compared with the frame one later. What moves with the face, and what stands still behind or before it,
is taken away; what is left is pooled to G × G patches and scaled per clip.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float

from pipeline.jpeg import decode_crop
from pipeline.register import (
    Greys,
    Similarities,
    Window,
    at_side,
    fit_flow,
    rigid_flow,
    similarity,
    warp_back,
)
from pipeline.settings import Motion
from pipeline.step import ClipStep
from pipeline.store import Row
from pipeline.store.schema import Schema
from pipeline.store.schemas import MOTION

SIDE = 64
"""Crops are compared at this side, in pixels, whatever the size they are stored at."""
LIGHT = 9
"""Side, in pixels, of the box (passed twice) whose mean and contrast are taken away."""
CONTRAST = 12.0
"""Grey levels of contrast below which a neighbourhood is not stretched: skin noise must not become texture."""
USUAL = 40.0
"""Standard deviation of a face's grey levels to which every picture is brought, a dark one by four times at most."""
CUT, SAME = 0.4, 0.8
"""Pictures that correlate less than the first are of two shots, unless they correlate more than the second once the
head's motion is undone: a quick turn, not another camera."""
QUICKEST = (0.10, 0.06)
"""A head does not move further (share of the crop) nor grow more (log scale) between two frames; in a cut it may."""
LOW, HIGH = 0.2, 0.95
"""Quantiles of a clip's patch values that become 0 and 1: an expression lasts for some of the clip in some patches."""
LEAST = {"difference": 10.0, "registered": 0.08, "flow": 0.2}
"""The least range that is stretched to [0, 1], so that in a still clip the noise stays small: grey levels for plain
difference, local contrasts for the registered one, pixels for flow."""


class MotionStep(ClipStep):
    """The motion stage: reads face crops and their neighbours, writes motion maps and the rigid motion taken away."""

    name: ClassVar[str] = "motion"
    version: ClassVar[int] = 2
    schema: ClassVar[Schema] = MOTION
    folder: ClassVar[str] = "motion"
    reads: ClassVar[dict[str, tuple[str, ...]]] = {"faces": ("frames", "neighbours", "found")}

    def __init__(self, settings: Motion) -> None:
        self.settings = settings

    def identity(self) -> dict[str, Any]:
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
            "motion": scaled(values, LEAST[self.settings.method]).astype(np.float16),
            "rigid": rigid.astype(np.float32),
            "cut": cut,
        }


class Pairs(NamedTuple):
    """The instants of a clip and their neighbours at the working side, as they are and normalised for light."""

    frames: Greys
    neighbours: Greys
    even_frames: Greys
    even_neighbours: Greys


Method = Callable[[Pairs], tuple[Greys, Similarities]]
"""From the pairs of a clip to what moved in each pixel, and the rigid motion undone."""


def patch_motion(
    pairs: list[tuple[np.ndarray, np.ndarray]], grid: int, method: str | Method
) -> tuple[Float[np.ndarray, "T G G"], Float[np.ndarray, "T 4"], Bool[np.ndarray, " T"]]:
    """Motion of every patch before scaling, rigid motion taken away, and cuts (whose motion is zero).

    ``pairs`` are grey crops of any size, 0 to 255, with their neighbours; ``method`` is ``difference``, ``registered``,
    ``flow``, or a function of their shape.
    """
    frames, neighbours = working([a for a, _ in pairs]), working([b for _, b in pairs])
    seen = Pairs(frames, neighbours, normalised(frames), normalised(neighbours))
    moved, rigid = METHODS[method](seen) if isinstance(method, str) else method(seen)
    values = np.stack([cv2.resize(square, (grid, grid), interpolation=cv2.INTER_AREA) for square in moved**2])
    cut = are_cuts(seen.even_frames, seen.even_neighbours, rigid)
    return np.where(cut[:, None, None], 0.0, np.sqrt(values)), np.where(cut[:, None], 0.0, rigid), cut


def working(crops: list[np.ndarray]) -> Greys:
    """Grey crops at the working side, [T, SIDE, SIDE]."""
    small = [cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for crop in crops]
    return np.stack(small).astype(np.float32)


def normalised(greys: Greys) -> Greys:
    """The pictures less their local mean, over their local contrast: light and flicker are gone."""
    # JPEG noise lives in single pixels.
    pictures = np.stack([cv2.GaussianBlur(grey, (0, 0), 0.8) for grey in greys])
    spread = pictures[:, face_window() > 0.5].std(axis=1)[:, None, None]
    mean = pictures.mean(axis=(1, 2), keepdims=True)
    pictures = (pictures - mean) * (USUAL / np.maximum(spread, USUAL / 4))  # the lamp's strength, the camera's gain
    for picture in pictures:
        mean = _around(picture)
        deviation = np.sqrt(np.maximum(_around(picture**2) - mean**2, 0.0))
        picture[...] = (picture - mean) / (deviation + CONTRAST)
    return pictures


def plain_difference(pairs: Pairs) -> tuple[Greys, Similarities]:
    """What changes from frame to neighbour, in grey levels, whatever moved: plain frame differencing, the baseline."""
    return np.abs(pairs.neighbours - pairs.frames), np.zeros((len(pairs.frames), 4))


def registered_difference(
    pairs: Pairs, register: Callable[[Greys, Greys, Window], Similarities] = similarity
) -> tuple[Greys, Similarities]:
    """What changes both as the picture stands and with the head held still, in local contrasts.

    Skin that moves with the head vanishes when the head's motion is undone; the background, and a subtitle before the
    face, vanish when it is not. An expression does neither.
    """
    a, b = pairs.even_frames, pairs.even_neighbours
    motions = register(a, b, face_window())
    return np.minimum(_change(a, b), _change(a, warp_back(b, motions))) * face_window(), motions


def flow_beyond_rigid(pairs: Pairs) -> tuple[Greys, Similarities]:
    """Dense optical flow (DIS, Kroeger et al. 2016) less the similarity that most of the face follows, in pixels."""
    moved, motions = np.empty_like(pairs.frames), np.zeros((len(pairs.frames), 4))
    for at, (a, b) in enumerate(zip(_bytes(pairs.even_frames), _bytes(pairs.even_neighbours), strict=True)):
        flow = _dis().calc(a, b, None)
        motions[at] = fit_flow(flow, face_window())
        beyond = np.linalg.norm(flow - rigid_flow(motions[at], SIDE), axis=-1)
        moved[at] = np.minimum(np.linalg.norm(flow, axis=-1), beyond) * face_window()
    return moved, motions


METHODS: dict[str, Method] = {
    "difference": plain_difference,
    "registered": registered_difference,
    "flow": flow_beyond_rigid,
}


def are_cuts(a: Greys, b: Greys, motions: Similarities) -> Bool[np.ndarray, " T"]:
    """Whether the two normalised pictures of each pair are of different shots; ``motions`` are the head's."""
    unlike = _correlation(a, b) < CUT
    thrown = (np.hypot(motions[:, 0], motions[:, 1]) > QUICKEST[0]) | (np.abs(motions[:, 3]) > QUICKEST[1])
    if unlike.any():
        unlike[unlike] = thrown[unlike] | (_correlation(a[unlike], warp_back(b[unlike], motions[unlike])) < SAME)
    return np.asarray(unlike)


def scaled(values: Float[np.ndarray, "T G G"], least: float) -> Float[np.ndarray, "T G G"]:
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


def _around(picture: Window) -> Window:
    """The mean around each pixel: a box passed twice is nearly a Gaussian, and costs the same whatever its size."""
    once = cv2.blur(picture, (LIGHT, LIGHT), borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.blur(once, (LIGHT, LIGHT), borderType=cv2.BORDER_REFLECT))


def _change(a: Greys, b: Greys) -> Greys:
    """Absolute difference, where it stands out from what the whole face shows (noise, an imperfect registration)."""
    change = np.stack([cv2.GaussianBlur(difference, (0, 0), 1.0) for difference in np.abs(b - a)])
    usual = np.median(change[:, face_window() > 0.5], axis=1)
    return np.maximum(change - usual[:, None, None], 0.0)


def _correlation(a: Greys, b: Greys) -> Float[np.ndarray, " T"]:
    """Correlation of the layouts of two pictures; 1 where neither has any."""
    a, b = at_side(a, SIDE // 4).reshape(len(a), -1), at_side(b, SIDE // 4).reshape(len(b), -1)
    spread = a.std(axis=1) * b.std(axis=1)
    common = ((a - a.mean(axis=1, keepdims=True)) * (b - b.mean(axis=1, keepdims=True))).mean(axis=1)
    return np.where(spread > 1e-4, common / np.maximum(spread, 1e-4), 1.0)


def _bytes(pictures: Greys) -> np.ndarray:
    return np.clip(pictures * 50 + 128, 0, 255).astype(np.uint8)
