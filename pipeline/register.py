"""Rigid motion of a head between two frames: the similarity transform that most of the face follows."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

Grey = Float[np.ndarray, "side side"]
Similarity = Float[np.ndarray, "4"]
"""(dx, dy, rotation, log scale): dx and dy as shares of the side, rotation in radians, about the picture's centre."""

LEVELS = (24, 48, 96)
"""Sides of the pyramid, in pixels, coarse to fine: the coarsest sees a shift of a tenth of the crop as two pixels."""
ITERATIONS = 6
TUKEY = 4.685
"""Cut-off of Tukey's biweight in robust deviations, for 95 % efficiency (Huber 1981): what lies beyond has no say."""


def similarity(frame: Grey, neighbour: Grey, window: Grey) -> Similarity:
    """The motion of the face from ``frame`` to ``neighbour``, both normalised for light, weighted by ``window``.

    Gauss–Newton on the brightness residual (Lucas & Kanade 1981) with Tukey weights from coarse to fine: the mouth
    that opens is an outlier and does not drag the head along. No motion when the fit explains no more than none does.
    """
    motion = _shift(frame, neighbour, window)
    for side in LEVELS:
        a, b, w = (
            cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in (frame, neighbour, window)
        )
        motion = _refine(a, b, w, motion)
    still = _error(frame, neighbour, window)
    if not np.isfinite(motion).all() or _error(frame, warp_back(neighbour, motion), window) > still:
        return np.zeros(4, dtype=np.float64)
    return motion


def matrix(motion: Similarity, side: int) -> Float[np.ndarray, "2 3"]:
    """The 2×3 matrix that takes pixels of a frame to those of its neighbour, pictures ``side`` pixels wide."""
    dx, dy, rotation, log_scale = motion
    c, s = np.exp(log_scale) * np.cos(rotation), np.exp(log_scale) * np.sin(rotation)
    middle = (side - 1) / 2
    return np.array(
        [
            [c, -s, dx * side + middle - c * middle + s * middle],
            [s, c, dy * side + middle - s * middle - c * middle],
        ]
    )


def warp_back(neighbour: Grey, motion: Similarity) -> Grey:
    """The neighbour as it would look had the head not moved."""
    side = neighbour.shape[0]
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP  # a linear warp blurs, and blur is a difference
    return cv2.warpAffine(neighbour, matrix(motion, side), (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def fit_flow(flow: Float[np.ndarray, "side side 2"], window: Grey) -> Similarity:
    """The similarity that most of a dense flow (pixels) follows, by reweighted least squares."""
    side = flow.shape[0]
    x, y = _grid(side)
    # u = tx + s x - r y, v = ty + r x + s y, for small motions
    zero, one = np.zeros_like(x), np.ones_like(x)
    design = np.concatenate([np.stack([one, zero, -y, x], -1), np.stack([zero, one, x, y], -1)]).reshape(-1, 4)
    target = np.concatenate([flow[..., 0].ravel(), flow[..., 1].ravel()]).astype(np.float64)
    base = np.tile(window.ravel(), 2).astype(np.float64)
    weights = base
    solution = np.zeros(4)
    for _ in range(ITERATIONS):
        solution = _solve(design, target, weights)
        weights = base * _tukey(target - design @ solution, base)
    return np.array([solution[0] / side, solution[1] / side, solution[2], solution[3]])


def _shift(frame: Grey, neighbour: Grey, window: Grey) -> Similarity:
    """A first guess by phase correlation (Kuglin & Hines 1975), for jerks too wide to be descended to; or no motion."""
    side = frame.shape[0]
    (dx, dy), _ = cv2.phaseCorrelate(frame * window, neighbour * window)
    guess = np.array([dx / side, dy / side, 0.0, 0.0])
    if np.abs(guess).max() > 0.2 or _error(frame, warp_back(neighbour, guess), window) > _error(
        frame, neighbour, window
    ):
        return np.zeros(4)
    return guess


def rigid_flow(motion: Similarity, side: int) -> Float[np.ndarray, "side side 2"]:
    """How far each pixel goes when the head moves so, for small motions."""
    x, y = _grid(side)
    dx, dy, rotation, growth = motion
    return np.stack([dx * side - rotation * y + growth * x, dy * side + rotation * x + growth * y], -1)


def _refine(a: Grey, b: Grey, window: Grey, start: Similarity) -> Similarity:
    side = a.shape[0]
    x, y = _grid(side)
    base = window.ravel().astype(np.float64)
    gx = cv2.Sobel(a, cv2.CV_32F, 1, 0, scale=1 / 8)
    gy = cv2.Sobel(a, cv2.CV_32F, 0, 1, scale=1 / 8)
    design = np.stack([gx, gy, gy * x - gx * y, gx * x + gy * y], -1).reshape(-1, 4).astype(np.float64)
    motion = start.copy()
    for _ in range(ITERATIONS):
        residual = (warp_back(b, motion) - a).ravel().astype(np.float64)
        step = -_solve(design, residual, base * _tukey(residual, base))
        motion += (step[0] / side, step[1] / side, step[2], step[3])
        if np.abs(step[:2]).max() < 0.005 and np.abs(step[2:]).max() * side < 0.01:
            break
    return np.clip(motion, -0.5, 0.5)


def _grid(side: int) -> tuple[Grey, Grey]:
    at = np.arange(side, dtype=np.float32) - (side - 1) / 2
    x, y = np.meshgrid(at, at)
    return x, y


def _tukey(residual: Float[np.ndarray, " n"], base: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    deviation = 1.4826 * float(np.median(np.abs(residual[base > 0.5]))) if (base > 0.5).any() else 0.0
    ratio = residual / (TUKEY * max(deviation, 1e-3))
    return np.where(np.abs(ratio) < 1.0, (1.0 - ratio**2) ** 2, 0.0)


def _solve(
    design: Float[np.ndarray, "n 4"], target: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "4"]:
    weighted = design * weights[:, None]
    normal = weighted.T @ design
    ridge = 1e-6 * np.trace(normal) / 4 + 1e-9  # a blank picture has no gradient to follow
    return np.asarray(np.linalg.solve(normal + ridge * np.eye(4), weighted.T @ target))


def _error(a: Grey, b: Grey, window: Grey) -> float:
    return float((np.abs(a - b) * window).sum() / window.sum())
