"""Motion maps: where a face moves by itself, not with the head, the light or the camera.

Each instant is compared with the frame one later. What moves with the face, and what stands still behind or before it,
is taken away; what is left is pooled to G × G patches and scaled per clip.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

import cv2
import numpy as np
from jaxtyping import Bool, Float

from pipeline.register import Grey, Similarity, fit_flow, rigid_flow, similarity, warp_back
from pipeline.settings import Motion
from pipeline.step import ClipStep
from pipeline.store import Row
from pipeline.store.schema import Schema
from pipeline.store.schemas import MOTION
from pipeline.video import decode

SIDE = 96
"""Crops are compared at this side, in pixels, whatever the size they are stored at."""
LIGHT = 6.0
"""Standard deviation, in pixels, of the neighbourhood whose mean and contrast are taken away."""
CONTRAST = 12.0
"""Grey levels of contrast below which a neighbourhood is not stretched: skin noise must not become texture."""
USUAL = 40.0
"""Standard deviation of a face's grey levels to which every picture is brought, a dark one by four times at most."""
CUT, SAME = 0.4, 0.8
"""Pictures that correlate less than the first are of two shots, unless they correlate more than the second once the
head's motion is undone: a quick turn, not another camera."""
QUICKEST = (0.10, 0.06)
"""A head does not move further (share of the crop) nor grow more (log scale) between two frames; in a cut it may."""
LOW, HIGH = 0.2, 0.98
"""Quantiles of a clip's patch values that become 0 and 1."""
LEAST = {"difference": 10.0, "registered": 0.08, "flow": 0.25}
"""The least range that is stretched to [0, 1], so that in a still clip the noise stays small: grey levels for plain
difference, local contrasts for the registered one, pixels for flow."""


class MotionStep(ClipStep):
    """The motion stage: reads face crops and their neighbours, writes motion maps and the rigid motion taken away."""

    name: ClassVar[str] = "motion"
    version: ClassVar[int] = 1
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
        pairs = [(_grey(a), _grey(b)) for a, b in zip(row["frames"], row["neighbours"], strict=True)]
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


def patch_motion(
    pairs: list[tuple[Grey, Grey]], grid: int, method: str
) -> tuple[Float[np.ndarray, "T G G"], Float[np.ndarray, "T 4"], Bool[np.ndarray, " T"]]:
    """Motion of every patch before scaling, rigid motion taken away, and cuts (whose motion is zero).

    ``pairs`` are grey crops of any size, 0 to 255, with their neighbours; ``method`` is ``difference``, ``registered``
    or ``flow``.
    """
    values = np.zeros((len(pairs), grid, grid))
    rigid = np.zeros((len(pairs), 4))
    cut = np.zeros(len(pairs), dtype=bool)
    for at, (frame, neighbour) in enumerate(pairs):
        before, after = at_side(frame), at_side(neighbour)
        moved, rigid[at] = METHODS[method](before, after)
        cut[at] = is_cut(normalised(before), normalised(after), rigid[at])
        if cut[at]:
            rigid[at] = 0.0
        else:
            values[at] = np.sqrt(cv2.resize(moved**2, (grid, grid), interpolation=cv2.INTER_AREA))
    return values, rigid, cut


def at_side(grey: Float[np.ndarray, "height width"]) -> Grey:
    """The crop at the working side."""
    return np.asarray(cv2.resize(np.asarray(grey, dtype=np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA))


def normalised(grey: Grey) -> Grey:
    """The picture less its local mean, over its local contrast: light and flicker are gone."""
    spread = float(grey[face_window() > 0.5].std())
    image = cv2.GaussianBlur(grey, (0, 0), 0.8)  # JPEG noise lives in single pixels
    image = (image - float(image.mean())) * (USUAL / max(spread, USUAL / 4))  # the lamp's strength, the camera's gain
    mean = cv2.GaussianBlur(image, (0, 0), LIGHT)
    deviation = np.sqrt(np.maximum(cv2.GaussianBlur(image**2, (0, 0), LIGHT) - mean**2, 0.0))
    return np.asarray((image - mean) / (deviation + CONTRAST), dtype=np.float32)


def plain_difference(frame: Grey, neighbour: Grey) -> tuple[Grey, Similarity]:
    """What changes from frame to neighbour, in grey levels, whatever moved: plain frame differencing, the baseline."""
    return np.abs(neighbour - frame), np.zeros(4)


def registered_difference(frame: Grey, neighbour: Grey) -> tuple[Grey, Similarity]:
    """What changes both as the picture stands and with the head held still, in local contrasts.

    Skin that moves with the head vanishes when the head's motion is undone; the background, and a subtitle before the
    face, vanish when it is not. An expression does neither.
    """
    a, b = normalised(frame), normalised(neighbour)
    motion = similarity(a, b, face_window())
    return np.minimum(_change(a, b), _change(a, warp_back(b, motion))) * face_window(), motion


def flow_beyond_rigid(frame: Grey, neighbour: Grey) -> tuple[Grey, Similarity]:
    """Dense optical flow (DIS, Kroeger et al. 2016) less the similarity that most of the face follows, in pixels."""
    flow = _dis().calc(_bytes(normalised(frame)), _bytes(normalised(neighbour)), None)
    motion = fit_flow(flow, face_window())
    moved = np.minimum(np.linalg.norm(flow, axis=-1), np.linalg.norm(flow - rigid_flow(motion, SIDE), axis=-1))
    return np.asarray(moved * face_window(), dtype=np.float32), motion


METHODS: dict[str, Callable[[Grey, Grey], tuple[Grey, Similarity]]] = {
    "difference": plain_difference,
    "registered": registered_difference,
    "flow": flow_beyond_rigid,
}


def is_cut(a: Grey, b: Grey, motion: Similarity) -> bool:
    """Whether two normalised pictures are of different shots; ``motion`` is the head's between them."""
    if _correlation(a, b) >= CUT:
        return False
    if np.hypot(*motion[:2]) > QUICKEST[0] or abs(motion[3]) > QUICKEST[1]:
        return True
    return _correlation(a, warp_back(b, motion)) < SAME


def scaled(values: Float[np.ndarray, "T G G"], least: float) -> Float[np.ndarray, "T G G"]:
    """Patch values of one clip to [0, 1] between robust quantiles, a range of at least ``least``."""
    low, high = np.quantile(values, (LOW, HIGH))
    return np.asarray(np.clip((values - low) / max(high - low, least), 0.0, 1.0))


@cache
def face_window() -> Grey:
    """Where the face is in a crop: 1 in an ellipse upright in the middle, falling to 0 towards the corners."""
    at = (np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2) / (SIDE / 2)
    x, y = np.meshgrid(at, at)
    distance = np.sqrt((x / 0.65) ** 2 + (y / 0.84) ** 2)
    window = np.clip((1.15 - distance) / 0.30, 0.0, 1.0).astype(np.float32)
    window.setflags(write=False)
    return window


@cache
def _dis() -> Any:
    return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)


def _change(a: Grey, b: Grey) -> Grey:
    """Absolute difference, where it stands out from what the whole face shows (noise, an imperfect registration)."""
    change = cv2.GaussianBlur(np.abs(b - a), (0, 0), 1.0)
    usual = float(np.median(change[face_window() > 0.5]))
    return np.maximum(change - usual, 0.0)


def _correlation(a: Grey, b: Grey) -> float:
    """Correlation of the layouts of two pictures; 1 when neither has any."""
    a, b = cv2.GaussianBlur(a, (0, 0), 2.0), cv2.GaussianBlur(b, (0, 0), 2.0)
    spread = float(a.std() * b.std())
    return float(((a - a.mean()) * (b - b.mean())).mean()) / spread if spread > 1e-4 else 1.0


def _bytes(image: Grey) -> np.ndarray:
    return np.clip(image * 50 + 128, 0, 255).astype(np.uint8)


def _grey(encoded: bytes) -> Grey:
    return decode(encoded, grey=True).astype(np.float32)
