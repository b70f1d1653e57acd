"""Registration: the rigid motion of a head between two pictures, whatever moves within the face.

All pairs of a clip are registered together, as stacks [pair, side, side]: called one by one, small pictures would
cost more in calls than in arithmetic.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from jaxtyping import Bool, Float

GreyImages = Float[np.ndarray, "pair side side"]
Window = Float[np.ndarray, "side side"]
"""The weight of each pixel, 0 to 1."""
HeadMotions = Float[np.ndarray, "pair 6"]
"""dx, dy, rotation, log scale, yaw, pitch. dx and dy move the picture's centre, as shares of its side, right and down;
the rotation is in radians about that centre, clockwise. Yaw and pitch are how much further the centre moves, right and
down, than the rim, which is nearer the axis about which the head rotates."""

LEVELS = ((32, 3), (64, 2))
"""Sides of the pyramid, in pixels, and the Gauss–Newton steps at each, coarse to fine."""
MAX_SHIFT = 0.2
"""A first guess beyond this share of the side is a mistake, not a movement of the head."""
HEAD = (0.85, 1.2)
"""Half width and half height, in half sides of the crop, of the ellipsoid that stands for the head."""
TUKEY = 4.685
"""Cut-off of Tukey's biweight in robust deviations, for 95 % efficiency (Huber 1981); beyond it the weight is 0."""


def head_motion(frames: GreyImages, neighbours: GreyImages, window: Window) -> HeadMotions:
    """The motion of the head from each frame to its neighbour.

    The model is a similarity, plus the yaw and pitch of an ellipsoid (after Basu, Essa & Pentland 1996). The first
    guess is a phase correlation, for movements too wide for a descent; then come Gauss–Newton steps on the
    brightness residual (Lucas & Kanade 1981), from coarse to fine. Tukey's weights make an opening mouth an outlier,
    so that it does not drag the head along.

    Args:
        frames: pictures normalised for light, as :func:`grace.pipeline.motion.maps.normalised` gives them.
        neighbours: the picture one frame later for each.
        window: where the face is.

    Returns:
        The motion of each pair; 0 where the fit explains no more than no motion does.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> face = cv2.resize(rng.normal(0, 1, (12, 12)).astype(np.float32), (64, 64), interpolation=cv2.INTER_CUBIC)
        >>> moved = np.roll(face, 2, axis=1)  # to the right by 2 of 64 pixels
        >>> motion = head_motion(face[None], moved[None], np.ones((64, 64), np.float32))
        >>> bool(abs(motion[0, 0] - 2 / 64) < 0.003), bool(abs(motion[0, 1:]).max() < 0.01)
        (True, True)
    """
    motions = np.zeros((len(frames), 6))
    for level, (side, steps) in enumerate(LEVELS):
        a, b, w = at_side(frames, side), at_side(neighbours, side), at_side(window[None], side)[0]
        if level == 0:
            motions = _better(phase_shift(a, b, w), a, b, w)
        motions = _refine(a, b, w, motions, steps)
    return _better(motions, frames, neighbours, window)


def phase_shift(frames: GreyImages, neighbours: GreyImages, window: Window) -> HeadMotions:
    """Translation by phase correlation (Kuglin & Hines 1975), in whole pixels; 0 where it exceeds ``MAX_SHIFT``.

    Args:
        frames: pictures [pair, side, side].
        neighbours: the picture one frame later for each.
        window: where the face is [side, side].

    Returns:
        The motion of each pair [pair, 6]; all but dx and dy is 0.

    Example:
        >>> picture = np.random.default_rng(0).normal(0, 1, (1, 32, 32)).astype(np.float32)
        >>> moved = np.roll(picture, 4, axis=2)  # to the right by 4 of 32 pixels
        >>> phase_shift(picture, moved, np.ones((32, 32), np.float32))[0, :2].tolist()
        [0.125, 0.0]
    """
    side = frames.shape[1]
    cross = np.conj(np.fft.rfft2(frames * window)) * np.fft.rfft2(neighbours * window)
    peaks = np.fft.irfft2(cross / (np.abs(cross) + 1e-6), s=(side, side)).reshape(len(frames), -1).argmax(axis=1)
    down, right = np.divmod(peaks, side)
    motions = np.zeros((len(frames), 6))
    motions[:, 0] = np.where(right > side // 2, right - side, right) / side
    motions[:, 1] = np.where(down > side // 2, down - side, down) / side
    motions[np.abs(motions).max(axis=1) > MAX_SHIFT] = 0.0
    return motions


def head_flow(motions: HeadMotions, side: int) -> Float[np.ndarray, "pair {side} {side} 2"]:
    """How far each pixel moves when the head does.

    Args:
        motions: of each pair.
        side: of the pictures, pixels.

    Returns:
        Pixels to the right and down.

    Example:
        >>> head_flow(np.array([[0.25, 0.0, 0.0, 0.0, 0.0, 0.0]]), side=8)[0, 3, 3].tolist()
        [2.0, 0.0]
    """
    return _flow(motions, side, _motion_basis(side).reshape(6, -1)).reshape(-1, side, side, 2)


def warp_back(neighbours: GreyImages, motions: HeadMotions, interpolation: int = cv2.INTER_CUBIC) -> GreyImages:
    """The neighbours as they would look had the head not moved.

    Args:
        neighbours: the second picture of each pair.
        motions: the head's motion from the first to the second.
        interpolation: OpenCV's; cubic, since a linear warp blurs, and blur shows as a difference.

    Returns:
        Pictures to be compared with the first ones.

    Example:
        >>> ramp = np.tile(np.arange(8, dtype=np.float32), (1, 8, 1))
        >>> warp_back(ramp, np.array([[0.25, 0.0, 0.0, 0.0, 0.0, 0.0]]))[0, 0, :4].tolist()  # 2 pixels to the left
        [2.0, 3.0, 4.0, 5.0]
    """
    side = neighbours.shape[1]
    origins = head_flow(motions, side) + _pixel_positions(side)
    return np.stack(
        [
            cv2.remap(neighbour, origin, None, interpolation, borderMode=cv2.BORDER_REPLICATE)
            for neighbour, origin in zip(neighbours, origins, strict=True)
        ]
    )


def fit_flow(flow: Float[np.ndarray, "side side 2"], window: Window, steps: int = 6) -> Float[np.ndarray, "6"]:
    """The similarity that most of a dense flow (pixels) follows, by reweighted least squares; yaw and pitch are 0.

    Args:
        flow: how far each pixel moves to the right and down [side, side, 2], pixels.
        window: where the face is [side, side].
        steps: solutions, each with the weights that the last one's residuals give.

    Returns:
        The motion [6], as one of ``HeadMotions``.

    Example:
        >>> flow = np.zeros((16, 16, 2), np.float32)
        >>> flow[..., 0] = 2.0
        >>> np.abs(fit_flow(flow, np.ones((16, 16), np.float32))).round(3).tolist()  # to the right by 2 of 16 pixels
        [0.125, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    side = flow.shape[0]
    x, y = _centred_positions(side)
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


def at_side(pictures: GreyImages, side: int) -> Float[np.ndarray, "pair {side} {side}"]:
    """The pictures resized to ``side`` × ``side`` pixels."""
    if pictures.shape[1:] == (side, side):
        return pictures
    return np.stack([cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA) for picture in pictures])


def _refine(a: GreyImages, b: GreyImages, window: Window, start: HeadMotions, steps: int) -> HeadMotions:
    """Gauss–Newton steps from the motions ``start``, at the side of the pictures."""
    side = a.shape[1]
    used = np.zeros(window.shape, dtype=bool)
    stride = max(side // LEVELS[0][0], 1)  # adjacent pixels say the same: as many as the coarsest level has suffice
    used[::stride, ::stride] = window[::stride, ::stride] > 0.02
    base, target = window[used], a[:, used]
    basis, positions = np.ascontiguousarray(_motion_basis(side)[:, used]), _pixel_positions(side)[used][None]
    gx = np.stack([cv2.Sobel(picture, cv2.CV_32F, 1, 0, scale=1 / 8) for picture in a])[:, used]
    gy = np.stack([cv2.Sobel(picture, cv2.CV_32F, 0, 1, scale=1 / 8) for picture in a])[:, used]
    design = np.stack([gx * flow[:, 0] + gy * flow[:, 1] for flow in basis], -1)
    motions = start.copy()
    for _ in range(steps):
        origins = _flow(motions, side, basis.reshape(6, -1)).reshape(len(a), 1, -1, 2) + positions
        warped = [
            cv2.remap(picture, origin, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
            for picture, origin in zip(b, origins, strict=True)
        ]
        residual = np.stack(warped) - target
        step = _solve(design, residual, base * _tukey(residual, base > 0.5))
        motions = np.clip(motions - step / (side, side, 1.0, 1.0, side, side), -0.5, 0.5)
    return motions


def _flow(motions: HeadMotions, side: int, basis: Float[np.ndarray, "6 n"]) -> Float[np.ndarray, "pair n"]:
    """The motions' flow in pixels, given that of each unit motion."""
    dx, dy, rotation, log_scale, yaw, pitch = np.asarray(motions, dtype=np.float64).T
    c, s = np.exp(log_scale) * np.cos(rotation) - 1.0, np.exp(log_scale) * np.sin(rotation)
    amounts = np.stack([dx * side, dy * side, s, c, yaw * side, pitch * side], axis=1)
    return np.matmul(amounts.astype(np.float32), basis)


def _better(motions: HeadMotions, a: GreyImages, b: GreyImages, window: Window) -> HeadMotions:
    """The motions; 0 where they are not finite or leave a larger difference than no motion does."""
    finite = np.isfinite(motions).all(axis=1)
    safe = np.where(finite[:, None], motions, 0.0)
    explains: Bool[np.ndarray, " pair"] = _error(a, warp_back(b, safe), window) <= _error(a, b, window)
    return np.where((finite & explains)[:, None], safe, 0.0)


@cache
def _centred_positions(side: int) -> tuple[Window, Window]:
    """The column and row of each pixel, from the picture's centre."""
    at = np.arange(side, dtype=np.float32) - (side - 1) / 2
    x, y = np.meshgrid(at, at)
    return x, y


@cache
def _pixel_positions(side: int) -> Float[np.ndarray, "{side} {side} 2"]:
    """The column and row of each pixel."""
    at = np.arange(side, dtype=np.float32)
    return np.stack(np.meshgrid(at, at), axis=-1)


@cache
def _motion_basis(side: int) -> Float[np.ndarray, "6 {side} {side} 2"]:
    """Flow, right and down, of each of the six components of a head's motion.

    That of yaw and pitch depends on how near the camera the head is there: 0 in its centre, -1 at its rim and beyond.
    """
    x, y = _centred_positions(side)
    one, none = np.ones_like(x), np.zeros_like(x)
    near = 1.0 - (2 * x / side / HEAD[0]) ** 2 - (2 * y / side / HEAD[1]) ** 2
    relief = np.sqrt(np.maximum(near, 0.0)) - 1.0
    basis = ((one, none), (none, one), (-y, x), (x, y), (relief, none), (none, relief))
    return np.stack([np.stack(flow, axis=-1) for flow in basis]).astype(np.float32)


def _tukey(residual: Float[np.ndarray, "pair n"], core: Bool[np.ndarray, " n"]) -> Float[np.ndarray, "pair n"]:
    """Tukey's biweight of each residual; the deviation is estimated from the median over ``core``."""
    deviation = 1.4826 * np.median(np.abs(residual[:, core]), axis=1, keepdims=True)
    ratio = residual / (TUKEY * np.maximum(deviation, 1e-3))
    return np.where(np.abs(ratio) < 1.0, (1.0 - ratio**2) ** 2, 0.0).astype(np.float32)


def _solve(
    design: Float[np.ndarray, "pair n k"], target: Float[np.ndarray, "pair n"], weights: Float[np.ndarray, "pair n"]
) -> Float[np.ndarray, "pair k"]:
    """Weighted least squares for each pair, slightly regularised."""
    weighted = np.swapaxes(design * weights[..., None], 1, 2)
    normal = np.matmul(weighted, design).astype(np.float64)
    right = np.matmul(weighted, target[..., None]).astype(np.float64)
    unknowns = normal.shape[-1]
    ridge = 1e-6 * np.trace(normal, axis1=1, axis2=2) / unknowns + 1e-9  # a blank picture has no gradient
    return np.asarray(np.linalg.solve(normal + ridge[:, None, None] * np.eye(unknowns), right)[..., 0])


def _error(a: GreyImages, b: GreyImages, window: Window) -> Float[np.ndarray, " pair"]:
    """Mean absolute difference within the window."""
    return np.asarray((np.abs(a - b) * window).sum(axis=(1, 2)) / window.sum())
