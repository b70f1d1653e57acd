"""Rigid motion of a head between two frames: the similarity transform that most of the face follows.

Everything here takes the pairs of a clip together, as stacks [pair, side, side]: small pictures one by one would cost
more in calls than in sums.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float

Greys = Float[np.ndarray, "pair side side"]
Window = Float[np.ndarray, "side side"]
Similarities = Float[np.ndarray, "pair 4"]
"""(dx, dy, rotation, log scale): dx and dy as shares of the side, rotation in radians, about the picture's centre."""

LEVELS = ((32, 3), (64, 2))
"""Sides of the pyramid, in pixels, with the steps taken at each, coarse to fine."""
WIDEST = 0.2
"""A first guess beyond this share of the side is a mistake, not a jerk of the head."""
TUKEY = 4.685
"""Cut-off of Tukey's biweight in robust deviations, for 95 % efficiency (Huber 1981): what lies beyond has no say."""


def similarity(frames: Greys, neighbours: Greys, window: Window) -> Similarities:
    """The motion of the face from each frame to its neighbour, normalised for light, weighted by ``window``.

    A first guess by phase correlation, for jerks too wide to be descended to; then Gauss–Newton on the brightness
    residual (Lucas & Kanade 1981) with Tukey weights from coarse to fine: the mouth that opens is an outlier and does
    not drag the head along. No motion where the fit explains no more than none does.
    """
    motions = np.zeros((len(frames), 4))
    for level, (side, steps) in enumerate(LEVELS):
        a, b, w = at_side(frames, side), at_side(neighbours, side), at_side(window[None], side)[0]
        if level == 0:
            motions = _better(phase_shift(a, b, w), a, b, w)
        motions = _refine(a, b, w, motions, steps)
    return _better(motions, frames, neighbours, window)


def phase_shift(frames: Greys, neighbours: Greys, window: Window) -> Similarities:
    """Translation by phase correlation (Kuglin & Hines 1975), to whole pixels; none where it is wider than a jerk."""
    side = frames.shape[1]
    cross = np.conj(np.fft.rfft2(frames * window)) * np.fft.rfft2(neighbours * window)
    peaks = np.fft.irfft2(cross / (np.abs(cross) + 1e-6), s=(side, side)).reshape(len(frames), -1).argmax(axis=1)
    down, right = np.divmod(peaks, side)
    motions = np.zeros((len(frames), 4))
    motions[:, 0] = np.where(right > side // 2, right - side, right) / side
    motions[:, 1] = np.where(down > side // 2, down - side, down) / side
    motions[np.abs(motions).max(axis=1) > WIDEST] = 0.0
    return motions


def matrices(motions: Similarities, side: int) -> Float[np.ndarray, "pair 2 3"]:
    """The 2×3 matrices that take pixels of a frame to those of its neighbour, pictures ``side`` pixels wide."""
    dx, dy, rotation, log_scale = np.asarray(motions, dtype=np.float64).T
    c, s = np.exp(log_scale) * np.cos(rotation), np.exp(log_scale) * np.sin(rotation)
    middle = (side - 1) / 2
    across = np.stack([c, -s, dx * side + middle - c * middle + s * middle], axis=1)
    down = np.stack([s, c, dy * side + middle - s * middle - c * middle], axis=1)
    return np.stack([across, down], axis=1)


def warp_back(neighbours: Greys, motions: Similarities, flags: int = cv2.INTER_CUBIC) -> Greys:
    """The neighbours as they would look had the head not moved; cubic, since a linear warp blurs: a difference."""
    side = neighbours.shape[1]
    warped = np.empty_like(neighbours)
    for at, turn in enumerate(matrices(motions, side)):
        warped[at] = cv2.warpAffine(
            neighbours[at], turn, (side, side), flags=flags | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
        )
    return warped


def fit_flow(flow: Float[np.ndarray, "side side 2"], window: Window, steps: int = 6) -> Float[np.ndarray, "4"]:
    """The similarity that most of a dense flow (pixels) follows, by reweighted least squares."""
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
    return np.array([tx / side, ty / side, rotation, growth])


def rigid_flow(motion: Float[np.ndarray, "4"], side: int) -> Float[np.ndarray, "side side 2"]:
    """How far each pixel goes when the head moves so, for small motions."""
    x, y = _grid(side)
    dx, dy, rotation, growth = motion
    return np.stack([dx * side - rotation * y + growth * x, dy * side + rotation * x + growth * y], -1)


def at_side(pictures: Greys, side: int) -> Greys:
    """The pictures ``side`` pixels wide."""
    if pictures.shape[1:] == (side, side):
        return pictures
    return np.stack([cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA) for picture in pictures])


def _refine(a: Greys, b: Greys, window: Window, start: Similarities, steps: int) -> Similarities:
    side = a.shape[1]
    x, y = _grid(side)
    used = np.zeros(window.shape, dtype=bool)
    stride = max(side // LEVELS[0][0], 1)  # pixels side by side say the same: as many as the coarsest level has will do
    used[::stride, ::stride] = window[::stride, ::stride] > 0.02
    base = window[used]
    gx = np.stack([cv2.Sobel(picture, cv2.CV_32F, 1, 0, scale=1 / 8) for picture in a])[:, used]
    gy = np.stack([cv2.Sobel(picture, cv2.CV_32F, 0, 1, scale=1 / 8) for picture in a])[:, used]
    x, y = x[used], y[used]
    design = np.stack([gx, gy, gy * x - gx * y, gx * x + gy * y], -1)
    motions = start.copy()
    for _ in range(steps):
        residual = (warp_back(b, motions, cv2.INTER_LINEAR) - a)[:, used]
        step = _solve(design, residual, base * _tukey(residual, base > 0.5))
        motions = np.clip(motions - step / (side, side, 1.0, 1.0), -0.5, 0.5)
    return motions


def _better(motions: Similarities, a: Greys, b: Greys, window: Window) -> Similarities:
    """The motions, none where they leave a larger difference than none does."""
    finite = np.isfinite(motions).all(axis=1)
    safe = np.where(finite[:, None], motions, 0.0)
    explains: Bool[np.ndarray, " pair"] = _error(a, warp_back(b, safe), window) <= _error(a, b, window)
    return np.where((finite & explains)[:, None], safe, 0.0)


def _grid(side: int) -> tuple[Window, Window]:
    at = np.arange(side, dtype=np.float32) - (side - 1) / 2
    x, y = np.meshgrid(at, at)
    return x, y


def _tukey(residual: Float[np.ndarray, "pair n"], core: Bool[np.ndarray, " n"]) -> Float[np.ndarray, "pair n"]:
    deviation = 1.4826 * np.median(np.abs(residual[:, core]), axis=1, keepdims=True)
    ratio = residual / (TUKEY * np.maximum(deviation, 1e-3))
    return np.where(np.abs(ratio) < 1.0, (1.0 - ratio**2) ** 2, 0.0).astype(np.float32)


def _solve(
    design: Float[np.ndarray, "pair n 4"], target: Float[np.ndarray, "pair n"], weights: Float[np.ndarray, "pair n"]
) -> Float[np.ndarray, "pair 4"]:
    weighted = np.swapaxes(design * weights[..., None], 1, 2)
    normal = np.matmul(weighted, design).astype(np.float64)
    aim = np.matmul(weighted, target[..., None]).astype(np.float64)
    ridge = 1e-6 * np.trace(normal, axis1=1, axis2=2) / 4 + 1e-9  # a blank picture has no gradient to follow
    return np.asarray(np.linalg.solve(normal + ridge[:, None, None] * np.eye(4), aim)[..., 0])


def _error(a: Greys, b: Greys, window: Window) -> Float[np.ndarray, " pair"]:
    return np.asarray((np.abs(a - b) * window).sum(axis=(1, 2)) / window.sum())
