"""The pose of a head in one frame, and the projection of its points to the picture."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from grace.pipeline.world.actions import ACTIONS

Points = Float[np.ndarray, "_ 2"]

_DEPTH = 0.52  # how far the face bulges towards the viewer, face units


@dataclass(frozen=True)
class Pose:
    """Everything about a face that changes from frame to frame. Angles in radians, ``centre`` in pixels."""

    actions: Float[np.ndarray, " actions"] = field(default_factory=lambda: np.zeros(len(ACTIONS)))
    yaw: float = 0.0  # to image right
    pitch: float = 0.0  # downward
    roll: float = 0.0  # clockwise
    centre: tuple[float, float] = (112.0, 112.0)
    scale: float = 62.0  # pixels per face unit
    gaze: tuple[float, float] = (0.0, 0.0)  # right and down, -1 to 1
    blink: float = 0.0
    speech: float = 0.0  # how far talking opens the mouth, 0 to 1
    rounding: float = 0.0  # how far talking rounds the lips, 0 to 1
    body: tuple[float, float] | None = None  # what the shoulders are attached to, pixels; the head's centre if None


def depth(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distance towards the viewer of the point of the face's surface at (x, y), face units."""
    return _DEPTH * np.sqrt(np.clip(1.0 - (x / 0.86) ** 2 - (y / 1.35) ** 2, 0.0, 1.0))


class Sketch:
    """Named curves of one face in face units; :meth:`project` turns them into pixels in one batch."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._points: list[np.ndarray] = []
        self._lifts: list[float] = []
        self._flat: list[bool] = []

    def add(self, name: str, points: np.ndarray, lift: float = 0.0, flat: float | None = None) -> None:
        """Add a curve [n, 2] lying ``lift`` above the face's surface, or at the constant depth ``flat``.

        Args:
            name: What it is found by, such as ``brow left``.
            points: Right and down from the middle of the head, face units.
            lift: Towards the viewer, face units.
            flat: A depth towards the viewer, face units, in the place of the surface and ``lift``.
        """
        self._names.append(name)
        self._points.append(points)
        self._lifts.append(lift if flat is None else flat)
        self._flat.append(flat is not None)

    def project(self, pose: Pose) -> dict[str, Points]:
        """Every curve in pixels: turned by yaw and pitch about the head's middle, rolled, scaled and shifted."""
        lengths = [len(points) for points in self._points]
        points = np.concatenate(self._points)
        depths = np.repeat(self._lifts, lengths)
        depths += np.where(np.repeat(self._flat, lengths), 0.0, depth(points[:, 0], points[:, 1]))
        pixels = project(points, depths, pose)
        curves, start = {}, 0
        for name, length in zip(self._names, lengths, strict=True):
            curves[name] = pixels[start : start + length]
            start += length
        return curves


def project(points: np.ndarray, depths: np.ndarray, pose: Pose) -> Points:
    """Pixels of points [n, 2] at ``depths`` [n], both in face units.

    Args:
        points: Right and down from the middle of the head.
        depths: Towards the viewer.
        pose: Angles, centre and scale of the head.

    Returns:
        Right and down [n, 2], pixels.

    Example:
        >>> project(np.array([[0.0, 0.0], [1.0, 0.0]]), np.zeros(2), Pose(centre=(50.0, 50.0), scale=20.0)).tolist()
        [[50.0, 50.0], [70.0, 50.0]]
    """
    sin_yaw, cos_yaw = np.sin(pose.yaw), np.cos(pose.yaw)
    sin_pitch, cos_pitch = np.sin(pose.pitch), np.cos(pose.pitch)
    x = points[:, 0] * cos_yaw + depths * sin_yaw
    z = depths * cos_yaw - points[:, 0] * sin_yaw
    y = points[:, 1] * cos_pitch + z * sin_pitch
    sin_roll, cos_roll = np.sin(pose.roll) * pose.scale, np.cos(pose.roll) * pose.scale
    return np.stack(
        [pose.centre[0] + x * cos_roll - y * sin_roll, pose.centre[1] + x * sin_roll + y * cos_roll], axis=1
    )
