"""Motion maps: where a face moves by itself, not with the head, the light or the camera.

The pairs of a clip, a crop and the crop one frame later, are normalised for light; the head's motion is found and
undone; what still changes is pooled to G × G patches and scaled per clip. The default method also compares the
instants before each with those after it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float

from grace.pipeline.motion.registration import (
    GreyImages,
    HeadMotions,
    Window,
    at_side,
    fit_flow,
    head_flow,
    head_motion,
    warp_back,
)

SIDE = 64
"""Crops are compared at this side, in pixels, whatever the size they are stored at."""
NORM_WINDOW = 9
"""Side, in pixels, of the box filter (applied twice) whose mean and contrast are removed."""
CONTRAST = 12.0
"""Grey levels added to the local contrast before it divides: skin noise must not become texture."""
MAX_GAIN = 4.0
"""A picture is amplified at most by this factor to match the contrast of the clip's others: a flash, not a blank."""
CUT, SAME = 0.4, 0.8
"""Pictures that correlate less than ``CUT`` are of two shots, unless they correlate more than ``SAME`` once the
head's motion is undone: a quick head movement, not another camera."""
MAX_HEAD_MOTION = (0.10, 0.06)
"""Largest shift (share of the crop's side) and scaling (log) of a head between two frames of one shot; tested only
where the pictures are unlike."""
OVERLAP = 2.0
"""Standard deviation, in pixels of ``SIDE``, of the blur before pooling: what moves on the border of two patches
belongs to both."""
LOW, HIGH = 0.2, 0.95
"""Quantiles of a clip's patch values that become 0 and 1: an expression lasts for part of a clip in a few patches."""
MIN_RANGE = {"plain_difference": 10.0, "temporal_registered_difference": 0.1, "flow_beyond_rigid": 0.2}
"""The smallest range between the quantiles that is stretched to [0, 1], by method, so that the noise of a still clip
stays small: grey levels for plain differences, local contrasts for registered ones, pixels for flow."""

Patches = Float[np.ndarray, "T G G"]
"""How much moves in each of the G × G patches of a crop, at each instant."""


class Pairs(NamedTuple):
    """The crops of a clip and the crops one frame later, each [T, ``SIDE``, ``SIDE``].

    ``frames`` and ``neighbours`` are grey levels, the normalised ones have light and flicker removed.
    """

    frames: GreyImages
    neighbours: GreyImages
    normalised_frames: GreyImages
    normalised_neighbours: GreyImages


Method = Callable[[Pairs, int], tuple[Patches, HeadMotions]]
"""From the pairs of a clip and the grid G to how much each patch moves, and the head motion that was undone."""


def patch_motion(
    pairs: list[tuple[np.ndarray, np.ndarray]], grid: int, method: str | Method
) -> tuple[Patches, Float[np.ndarray, "T 4"], Bool[np.ndarray, " T"]]:
    """Motion of every patch of a clip's crops, before scaling.

    Args:
        pairs: T grey crops of any size, values from 0 to 255, each with the crop one frame later, in order of time.
        grid: G, patches per side.
        method: a key of ``MOTION_METHODS``, or a function of their signature.

    Returns:
        The motion of each patch (0 in a cut), in the method's unit (see ``MIN_RANGE``); the similarity of the head
        that was undone, as in the first four columns of ``HeadMotions``; and the pairs between which a cut lies.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> face = cv2.resize(rng.integers(0, 256, (12, 12), np.uint8), (64, 64))
        >>> smiling = face.copy()
        >>> smiling[40:48, 24:40] = 255 - smiling[40:48, 24:40]
        >>> motion, head, cut = patch_motion([(face, smiling), (face, face)], 8, "plain_difference")
        >>> motion.shape, [int(number) for number in np.argwhere(motion[0] > 0)[0]]
        ((2, 8, 8), [5, 3])
        >>> motion[1].max().item(), cut.tolist()
        (0.0, [False, False])
    """
    frames, neighbours = resize_crops([a for a, _ in pairs]), resize_crops([b for _, b in pairs])
    even = normalised(np.concatenate([frames, neighbours]))
    clip = Pairs(frames, neighbours, even[: len(frames)], even[len(frames) :])
    values, motions = MOTION_METHODS[method](clip, grid) if isinstance(method, str) else method(clip, grid)
    cut = are_cuts(clip.normalised_frames, clip.normalised_neighbours, motions)
    return np.where(cut[:, None, None], 0.0, values), np.where(cut[:, None], 0.0, motions[:, :4]), cut


def resize_crops(crops: list[np.ndarray]) -> GreyImages:
    """Grey crops of any size as [T, ``SIDE``, ``SIDE``]."""
    small = [cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for crop in crops]
    return np.stack(small).astype(np.float32)


def normalised(images: GreyImages) -> GreyImages:
    """Subtract the local mean from the crops of one clip and divide by the local contrast: light and flicker vanish.

    Args:
        images: grey levels, of side ``SIDE``.

    Returns:
        Local contrasts, about -2 to 2.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> face = cv2.resize(rng.uniform(60, 180, (12, 12)).astype(np.float32), (SIDE, SIDE))
        >>> bright, dark = normalised(np.stack([1.3 * face, 0.8 * face]))
        >>> bool(np.abs(bright - dark).max() < 0.01)
        True
    """
    # JPEG noise is of single pixels.
    pictures = np.stack([cv2.GaussianBlur(image, (0, 0), 0.8) for image in images])
    spread = pictures[:, face_window() > 0.5].std(axis=1)
    usual = np.median(spread)
    pictures *= (usual / np.maximum(spread, max(usual / MAX_GAIN, 1e-6)))[:, None, None]  # a lamp, the camera's gain
    for picture in pictures:
        mean = _local_mean(picture)
        deviation = np.sqrt(np.maximum(_local_mean(picture**2) - mean**2, 0.0))
        picture[...] = (picture - mean) / (deviation + CONTRAST)
    return pictures


def plain_difference(pairs: Pairs, grid: int) -> tuple[Patches, HeadMotions]:
    """Frame differencing, the baseline: what changes from frame to neighbour, whatever moved.

    Args:
        pairs: of one clip.
        grid: G, patches per side.

    Returns:
        Root mean square change of each patch, grey levels; no head motion.
    """
    return pooled(np.abs(pairs.neighbours - pairs.frames), grid), np.zeros((len(pairs.frames), 6))


def registered_difference(
    pairs: Pairs, grid: int, register: Callable[[GreyImages, GreyImages, Window], HeadMotions] = head_motion
) -> tuple[Patches, HeadMotions]:
    """What changes from frame to neighbour both as they are and with the head's motion undone.

    Skin that moves with the head does not change once the head's motion is undone; the background, and a subtitle in
    front of the face, do not change as long as it is not. An expression changes both: the smaller change counts.

    Args:
        pairs: of one clip.
        grid: G, patches per side.
        register: finds the head's motion between pictures that are normalised for light.

    Returns:
        Root mean square change of each patch, local contrasts; the head's motion.
    """
    a, b = pairs.normalised_frames, pairs.normalised_neighbours
    motions = register(a, b, face_window())
    return _pool_blurred(np.minimum(_change(b - a), _change(warp_back(b, motions) - a)), grid), motions


def temporal_registered_difference(pairs: Pairs, grid: int) -> tuple[Patches, HeadMotions]:
    """The registered difference where the face also changes from the instant before to the instant after.

    A movement of the face goes on for several frames, and its effect is still visible at the next instant; noise,
    flicker and errors of registration are gone by then.

    Args:
        pairs: of one clip.
        grid: G, patches per side.

    Returns:
        The geometric mean of the two changes for each patch, local contrasts; the head's motion from frame to
        neighbour.
    """
    change, motions = registered_difference(pairs, grid)
    surrounding, known = _surrounding_change(pairs.normalised_frames)
    lasting = _pool_blurred(_change(surrounding), grid)
    return np.sqrt(change * np.where(known[:, None, None], lasting, change)), motions


def flow_beyond_rigid(pairs: Pairs, grid: int) -> tuple[Patches, HeadMotions]:
    """Dense optical flow (DIS, Kroeger et al. 2016) minus the similarity that most of the face follows.

    Args:
        pairs: of one clip.
        grid: G, patches per side.

    Returns:
        Root mean square flow of each patch, pixels of ``SIDE``; the similarity as head motion, without yaw and pitch.
    """
    moved, motions = np.empty_like(pairs.frames), np.zeros((len(pairs.frames), 6))
    for at, (a, b) in enumerate(zip(_bytes(pairs.normalised_frames), _bytes(pairs.normalised_neighbours), strict=True)):
        flow = _dis().calc(a, b, None)
        motions[at] = fit_flow(flow, face_window())
        beyond = np.linalg.norm(flow - head_flow(motions[at : at + 1], SIDE)[0], axis=-1)
        moved[at] = np.minimum(np.linalg.norm(flow, axis=-1), beyond) * face_window()
    return pooled(moved, grid), motions


MOTION_METHODS: dict[str, Method] = {
    "plain_difference": plain_difference,
    "temporal_registered_difference": temporal_registered_difference,
    "flow_beyond_rigid": flow_beyond_rigid,
}
"""The methods by their name in ``motion.method``."""


def pooled(change: GreyImages, grid: int) -> Patches:
    """Root mean square of each patch.

    Example:
        >>> pooled(np.full((1, SIDE, SIDE), -3.0, np.float32), grid=2).tolist()
        [[[3.0, 3.0], [3.0, 3.0]]]
    """
    return np.sqrt(np.stack([cv2.resize(square, (grid, grid), interpolation=cv2.INTER_AREA) for square in change**2]))


def are_cuts(a: GreyImages, b: GreyImages, motions: HeadMotions) -> Bool[np.ndarray, " T"]:
    """Whether the two normalised pictures of each pair are of different shots.

    Args:
        a: the first picture of each pair.
        b: the second.
        motions: the head's motion from the first to the second.

    Returns:
        True for a cut: the pictures are unlike, and the head's motion is too large or does not explain it.
    """
    unlike = _correlation(a, b) < CUT
    too_far = (np.hypot(motions[:, 0], motions[:, 1]) > MAX_HEAD_MOTION[0]) | (
        np.abs(motions[:, 3]) > MAX_HEAD_MOTION[1]
    )
    if unlike.any():
        unlike[unlike] = too_far[unlike] | (_correlation(a[unlike], warp_back(b[unlike], motions[unlike])) < SAME)
    return np.asarray(unlike)


def scaled(values: Patches, min_range: float) -> Patches:
    """Scale the patch values of one clip to [0, 1] between its quantiles ``LOW`` and ``HIGH``.

    Args:
        values: of one clip, as :func:`patch_motion` gives them.
        min_range: quantiles nearer to each other than this are taken to be this far apart: ``MIN_RANGE`` of the method.

    Returns:
        The motion maps of the ``motion`` store.

    Example:
        >>> values = np.arange(100.0).reshape(1, 10, 10)
        >>> scaled(values, min_range=0.1).round(2)[0, :, 0].tolist()
        [0.0, 0.0, 0.0, 0.14, 0.27, 0.41, 0.54, 0.68, 0.81, 0.95]
        >>> scaled(values / 1000, min_range=0.1).max().round(2).item()  # a still clip stays near 0
        0.79
    """
    low, high = np.quantile(values, (LOW, HIGH))
    return np.asarray(np.clip((values - low) / max(high - low, min_range), 0.0, 1.0))


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
    """The mean around each pixel: a box filter applied twice is nearly a Gaussian, and costs the same at any size."""
    once = cv2.blur(picture, (NORM_WINDOW, NORM_WINDOW), borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.blur(once, (NORM_WINDOW, NORM_WINDOW), borderType=cv2.BORDER_REFLECT))


def _change(difference: GreyImages) -> GreyImages:
    """Absolute difference, less its median over the face: noise, and an imperfect registration."""
    change = np.stack([cv2.GaussianBlur(picture, (0, 0), 0.6) for picture in np.abs(difference)])
    usual = np.median(change[:, face_window() > 0.5], axis=1)
    return np.maximum(change - usual[:, None, None], 0.0)


def _pool_blurred(change: GreyImages, grid: int) -> Patches:
    """Patches of the change within the face, each with some of its neighbourhood."""
    power = [cv2.GaussianBlur(square, (0, 0), OVERLAP) for square in (change * face_window()) ** 2]
    return pooled(np.sqrt(np.stack(power)), grid)


def _surrounding_change(frames: GreyImages) -> tuple[GreyImages, Bool[np.ndarray, " T"]]:
    """How the face changes from the instant before each to the one after, and whether there is either in its shot.

    The head's motion is undone. Where a shot begins or ends, the instant itself takes the missing one's place.
    """
    if len(frames) == 1:
        return np.zeros_like(frames), np.zeros(1, dtype=bool)
    motions = head_motion(frames[:-1], frames[1:], face_window())
    cut = are_cuts(frames[:-1], frames[1:], motions)
    keep = ~cut[:, None, None]
    change = np.zeros_like(frames)
    change[:-1] += np.where(keep, warp_back(frames[1:], motions) - frames[:-1], 0.0)
    # Undone by the opposite motion, the inverse to first order: near enough, since the crops move with the head.
    change[1:] += np.where(keep, frames[1:] - warp_back(frames[:-1], -motions), 0.0)
    return change, ~np.pad(cut, (1, 0), constant_values=True) | ~np.pad(cut, (0, 1), constant_values=True)


def _correlation(a: GreyImages, b: GreyImages) -> Float[np.ndarray, " T"]:
    """Correlation of the two pictures of each pair, seen coarsely; 1 where one of them is blank."""
    a, b = at_side(a, SIDE // 4).reshape(len(a), -1), at_side(b, SIDE // 4).reshape(len(b), -1)
    spread = a.std(axis=1) * b.std(axis=1)
    common = ((a - a.mean(axis=1, keepdims=True)) * (b - b.mean(axis=1, keepdims=True))).mean(axis=1)
    return np.where(spread > 1e-4, common / np.maximum(spread, 1e-4), 1.0)


def _bytes(pictures: GreyImages) -> np.ndarray:
    return np.clip(pictures * 50 + 128, 0, 255).astype(np.uint8)
