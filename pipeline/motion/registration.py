"""Rigid motion of a head between two frames: how the face goes as a whole, whatever moves within it.

Everything here takes the pairs of a clip together, as stacks [pair, side, side]: small pictures one by one would cost
more in calls than in sums.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from jaxtyping import Bool, Float

Greys = Float[np.ndarray, "pair side side"]
Window = Float[np.ndarray, "side side"]
HeadMotions = Float[np.ndarray, "pair 6"]
"""(dx, dy, rotation, log scale, turn, nod): dx and dy of the face's middle as shares of the side, rotation in radians
about the picture's centre; turn and nod are how much further the middle goes, right and down, than the rim, which is
nearer the axis of a head that turns out of the picture's plane."""

LEVELS = ((32, 3), (64, 2))
"""Sides of the pyramid, in pixels, with the steps taken at each, coarse to fine."""
MAX_SHIFT = 0.2
"""A first guess beyond this share of the side is a mistake, not a jerk of the head."""
HEAD = (0.85, 1.2)
"""Half width and half height, in half sides of the crop, of the ellipsoid that a head is taken for."""
TUKEY = 4.685
"""Cut-off of Tukey's biweight in robust deviations, for 95 % efficiency (Huber 1981): what lies beyond has no say."""


def head_motion(frames: Greys, neighbours: Greys, window: Window) -> HeadMotions:
    """The motion of the head from each frame to its neighbour, normalised for light, weighted by ``window``.

    A similarity, and the turn and nod of an ellipsoid (after Basu, Essa & Pentland 1996). A first guess by phase
    correlation, for jerks too wide to be descended to; then Gauss–Newton on the brightness residual (Lucas & Kanade
    1981) with Tukey weights from coarse to fine: the mouth that opens is an outlier and does not drag the head along.
    No motion where the fit explains no more than none does.
    """
    motions = np.zeros((len(frames), 6))
    for level, (side, steps) in enumerate(LEVELS):
        a, b, w = at_side(frames, side), at_side(neighbours, side), at_side(window[None], side)[0]
        if level == 0:
            motions = _better(phase_shift(a, b, w), a, b, w)
        motions = _refine(a, b, w, motions, steps)
    return _better(motions, frames, neighbours, window)


def phase_shift(frames: Greys, neighbours: Greys, window: Window) -> HeadMotions:
    """Translation by phase correlation (Kuglin & Hines 1975), to whole pixels; none where it is wider than a jerk."""
    side = frames.shape[1]
    cross = np.conj(np.fft.rfft2(frames * window)) * np.fft.rfft2(neighbours * window)
    peaks = np.fft.irfft2(cross / (np.abs(cross) + 1e-6), s=(side, side)).reshape(len(frames), -1).argmax(axis=1)
    down, right = np.divmod(peaks, side)
    motions = np.zeros((len(frames), 6))
    motions[:, 0] = np.where(right > side // 2, right - side, right) / side
    motions[:, 1] = np.where(down > side // 2, down - side, down) / side
    motions[np.abs(motions).max(axis=1) > MAX_SHIFT] = 0.0
    return motions


def head_flow(motions: HeadMotions, side: int) -> Float[np.ndarray, "pair side side 2"]:
    """How far each pixel of a picture ``side`` pixels wide goes, right and down, when the head moves so."""
    return _flow(motions, side, _motion_basis(side).reshape(6, -1)).reshape(-1, side, side, 2)


def warp_back(neighbours: Greys, motions: HeadMotions, how: int = cv2.INTER_CUBIC) -> Greys:
    """The neighbours as they would look had the head not moved; cubic, since a linear warp blurs: a difference."""
    side = neighbours.shape[1]
    places = head_flow(motions, side) + _places(side)
    return np.stack(
        [
            cv2.remap(neighbour, place, None, how, borderMode=cv2.BORDER_REPLICATE)
            for neighbour, place in zip(neighbours, places, strict=True)
        ]
    )


def fit_flow(flow: Float[np.ndarray, "side side 2"], window: Window, steps: int = 6) -> Float[np.ndarray, "6"]:
    """The similarity that most of a dense flow (pixels) follows, by reweighted least squares; no turn, no nod."""
    side = flow.shape[0]
    x, y = _grid(side)
    # u = tx + s x - r y, v = ty + r x + s y, for small motions
    zero, one = np.zeros_like(x), np.ones_like(x)
    design = np.concatenate([np.stack([one, zero, -y, x], -1), np.stack([zero, one, x, y], -1)]).reshape(1, -1, 4)
    target = np.concatenate([flow[..., 0].ravel(), flow[..., 1].ravel()])[None]
    base = np.tile(window.ravel(), 2)
    weights = np.broadcast_to(base, target.shape)
    solution = np.zeros((1, 4))
    for _ in range(steps):
        solution = _solve(design, target, weights)
        weights = base * _tukey(target - np.matmul(design, solution[..., None])[..., 0], base > 0.5)
    tx, ty, rotation, growth = solution[0]
    return np.array([tx / side, ty / side, rotation, growth, 0.0, 0.0])


def at_side(pictures: Greys, side: int) -> Greys:
    """The pictures ``side`` pixels wide."""
    if pictures.shape[1:] == (side, side):
        return pictures
    return np.stack([cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA) for picture in pictures])


def _refine(a: Greys, b: Greys, window: Window, start: HeadMotions, steps: int) -> HeadMotions:
    side = a.shape[1]
    used = np.zeros(window.shape, dtype=bool)
    stride = max(side // LEVELS[0][0], 1)  # pixels side by side say the same: as many as the coarsest level has will do
    used[::stride, ::stride] = window[::stride, ::stride] > 0.02
    base, seen = window[used], a[:, used]
    basis, places = np.ascontiguousarray(_motion_basis(side)[:, used]), _places(side)[used][None]
    gx = np.stack([cv2.Sobel(picture, cv2.CV_32F, 1, 0, scale=1 / 8) for picture in a])[:, used]
    gy = np.stack([cv2.Sobel(picture, cv2.CV_32F, 0, 1, scale=1 / 8) for picture in a])[:, used]
    design = np.stack([gx * way[:, 0] + gy * way[:, 1] for way in basis], -1)
    motions = start.copy()
    for _ in range(steps):
        there = _flow(motions, side, basis.reshape(6, -1)).reshape(len(a), 1, -1, 2) + places
        found = [
            cv2.remap(picture, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
            for picture, at in zip(b, there, strict=True)
        ]
        residual = np.stack(found) - seen
        step = _solve(design, residual, base * _tukey(residual, base > 0.5))
        motions = np.clip(motions - step / (side, side, 1.0, 1.0, side, side), -0.5, 0.5)
    return motions


def _flow(motions: HeadMotions, side: int, basis: Float[np.ndarray, "6 n"]) -> Float[np.ndarray, "pair n"]:
    dx, dy, rotation, log_scale, yaw, pitch = np.asarray(motions, dtype=np.float64).T
    c, s = np.exp(log_scale) * np.cos(rotation) - 1.0, np.exp(log_scale) * np.sin(rotation)
    far = np.stack([dx * side, dy * side, s, c, yaw * side, pitch * side], axis=1)
    return np.matmul(far.astype(np.float32), basis)


def _better(motions: HeadMotions, a: Greys, b: Greys, window: Window) -> HeadMotions:
    """The motions, none where they leave a larger difference than none does."""
    finite = np.isfinite(motions).all(axis=1)
    safe = np.where(finite[:, None], motions, 0.0)
    explains: Bool[np.ndarray, " pair"] = _error(a, warp_back(b, safe), window) <= _error(a, b, window)
    return np.where((finite & explains)[:, None], safe, 0.0)


@cache
def _grid(side: int) -> tuple[Window, Window]:
    at = np.arange(side, dtype=np.float32) - (side - 1) / 2
    x, y = np.meshgrid(at, at)
    return x, y


@cache
def _places(side: int) -> Float[np.ndarray, "side side 2"]:
    """The column and row of each pixel."""
    at = np.arange(side, dtype=np.float32)
    return np.stack(np.meshgrid(at, at), axis=-1)


@cache
def _motion_basis(side: int) -> Float[np.ndarray, "6 side side 2"]:
    """Where each pixel goes, right and down, in each of the six ways in which a head moves.

    The last two go with how near the camera the head is there: 0 in its middle, -1 at its rim and beyond.
    """
    x, y = _grid(side)
    one, none = np.ones_like(x), np.zeros_like(x)
    near = 1.0 - (2 * x / side / HEAD[0]) ** 2 - (2 * y / side / HEAD[1]) ** 2
    relief = np.sqrt(np.maximum(near, 0.0)) - 1.0
    basis = ((one, none), (none, one), (-y, x), (x, y), (relief, none), (none, relief))
    return np.stack([np.stack(way, axis=-1) for way in basis]).astype(np.float32)


def _tukey(residual: Float[np.ndarray, "pair n"], core: Bool[np.ndarray, " n"]) -> Float[np.ndarray, "pair n"]:
    deviation = 1.4826 * np.median(np.abs(residual[:, core]), axis=1, keepdims=True)
    ratio = residual / (TUKEY * np.maximum(deviation, 1e-3))
    return np.where(np.abs(ratio) < 1.0, (1.0 - ratio**2) ** 2, 0.0).astype(np.float32)


def _solve(
    design: Float[np.ndarray, "pair n k"], target: Float[np.ndarray, "pair n"], weights: Float[np.ndarray, "pair n"]
) -> Float[np.ndarray, "pair k"]:
    weighted = np.swapaxes(design * weights[..., None], 1, 2)
    normal = np.matmul(weighted, design).astype(np.float64)
    aim = np.matmul(weighted, target[..., None]).astype(np.float64)
    known = normal.shape[-1]
    ridge = 1e-6 * np.trace(normal, axis1=1, axis2=2) / known + 1e-9  # a blank picture has no gradient to follow
    return np.asarray(np.linalg.solve(normal + ridge[:, None, None] * np.eye(known), aim)[..., 0])


def _error(a: Greys, b: Greys, window: Window) -> Float[np.ndarray, " pair"]:
    return np.asarray((np.abs(a - b) * window).sum(axis=(1, 2)) / window.sum())
