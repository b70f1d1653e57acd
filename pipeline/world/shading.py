"""Light on skin: a soft multiplicative layer that gives the flat drawing volume."""

from __future__ import annotations

import cv2
import numpy as np

from grace.pipeline.world.creases import Creases
from grace.pipeline.world.geometry import SIDES, Units
from grace.pipeline.world.identity import Identity
from grace.pipeline.world.paint import Window, disc, ellipse, fill, stroke
from grace.pipeline.world.pose import Points, Pose, depth, project

NEUTRAL = 200  # value of the layer that leaves skin as it is
_SHADOW = np.array([0.95, 0.88, 0.72])  # skin shadows are warm: blue is lost first
_BLUSH = np.array([0.22, 0.20, -0.02])

_WARM = (255 - (255 - np.arange(256))[:, None] * np.array([1.08, 1.0, 0.78])).clip(0, 255).astype(np.uint8)[:, None]

Spots = list[tuple[float, float, float, float, np.ndarray]]
"""Soft spots: x, y, half width and half height in face units, and tone."""


def relief(
    identity: Identity, points: dict[str, Points], units: Units, pose: Pose, light: float, window: Window
) -> np.ndarray:
    """Soft light over the window, uint8 [height, width, 3] where ``NEUTRAL`` is 1.

    Args:
        identity: The person.
        points: Curves of the face by name, pixels.
        units: Intensities of action units, in [0, 1].
        pose: Where the head is.
        light: In [-1, 1], from which side it comes.
        window: The part of the picture that holds the face.
    """
    width, height = window.size
    layer = np.empty(((height + 1) // 2, (width + 1) // 2, 3), np.uint8)
    layer[:] = _tone(-0.30)
    centre = np.array(pose.centre)
    inner = (points["face"] - centre) * 0.86 + centre + (light * 0.10 * pose.scale, -0.01 * pose.scale)
    fill(layer, window.half(inner), _colour(_tone(0.02)))
    _spots(layer, _blobs(identity, units, pose, light), pose, window)
    _ridges(layer, points, light, pose, window)
    layer = cv2.GaussianBlur(layer, (0, 0), 0.030 * pose.scale)
    return cv2.resize(layer, (width, height), interpolation=cv2.INTER_LINEAR)


def _blobs(identity: Identity, units: Units, pose: Pose, light: float) -> Spots:
    eye_x, eye_y, nose = identity.eye_spacing, identity.eye_height, identity.nose_length
    jaw = 0.19 * units[26] + 0.08 * pose.speech
    mouth, chin = identity.mouth_height, identity.chin_length + jaw
    bulge = 0.5 * units[6] + 0.5 * units[12]
    blush = _BLUSH * -identity.blush
    spots = [(0.0, -0.58, 0.36, 0.16, _tone(0.09))]
    for side in (-1, 1):
        far = -0.05 * side * light
        cheek_y = 0.22 - 0.07 * units[6] - 0.03 * units[12]
        spots += [
            (side * eye_x * 0.92, eye_y - 0.07, 0.23, 0.15, _tone(-0.17 - far)),
            (side * 0.145, eye_y - 0.01, 0.055, 0.10, _tone(-0.20 - far)),
            (side * eye_x, eye_y + 0.11, 0.17, 0.05, _tone(-0.10 - 0.08 * identity.age - far)),
            (side * 0.47, cheek_y + 0.06, 0.20, 0.14, (1 + blush) * (1.04 - 0.5 * far) * NEUTRAL),
            (
                side * 0.42,
                cheek_y,
                0.13 + 0.03 * bulge,
                0.09 + 0.03 * bulge,
                (1 + blush) * (1.10 + 0.12 * bulge - far) * NEUTRAL,
            ),
            (side * 0.43, cheek_y + 0.19, 0.15, 0.035, _tone(-0.04 - 0.28 * bulge - 0.05 * identity.age)),
        ]
    spots += [
        (0.0, eye_y + nose + 0.125, 0.13, 0.030, _tone(-0.24)),
        (0.0, mouth - 0.12, 0.035, 0.04, _tone(-0.10)),
        (0.0, mouth + identity.lower_lip + 0.065 + 0.8 * jaw, 0.15, 0.035, _tone(-0.22 - 0.12 * units[17])),
        (0.0, chin - 0.13 - 0.03 * units[17], 0.12, 0.07 + 0.02 * units[17], _tone(0.08 + 0.06 * units[17])),
    ]
    return spots


def _ridges(layer: np.ndarray, points: dict[str, Points], light: float, pose: Pose, window: Window) -> None:
    """The nose: a dark flank away from the light, then the bright bridge and tip."""
    bridge = window.half(points["nose bridge"])
    for side, name in SIDES:
        flank = np.concatenate([points[f"ridge {name}"], points[f"wing {name}"], points["nose bridge"][::-1]])
        fill(layer, window.half(flank), _colour(_tone(-0.10 + 0.09 * side * light)))
    stroke(layer, bridge, _colour(_tone(0.16)), 0.045 * pose.scale)
    disc(layer, bridge[-1], 0.031 * pose.scale, _colour(_tone(0.18)))


def _spots(layer: np.ndarray, spots: Spots, pose: Pose, window: Window) -> None:
    where = np.array([spot[:4] for spot in spots])  # x, y, half width, half height
    ends = np.concatenate([where[:, :2], where[:, :2] + where[:, 2:] * (1, 0), where[:, :2] + where[:, 2:] * (0, 1)])
    depths = np.tile(depth(where[:, 0], where[:, 1]), 3)
    centres, rights, belows = np.split(window.half(project(ends, depths, pose)), 3)
    across = np.hypot(*(rights - centres).T)
    down = np.hypot(*(belows - centres).T)
    for row, (*_, tone) in enumerate(spots):
        ellipse(layer, centres[row], float(across[row]), float(down[row]), pose.roll, _colour(tone))


def lines(points: dict[str, Points], creases: Creases, pose: Pose, window: Window) -> np.ndarray:
    """Creases as a multiplicative layer over the window, uint8 [height, width, 3], 255 where there is none.

    Args:
        points: Curves of the face by name, pixels.
        creases: Which of them are creases, how dark in [0, 1], and how thick in face units.
        pose: Its scale, pixels per face unit, makes thicknesses pixels.
        window: The part of the picture that holds the face.
    """
    width, height = window.size
    layer = np.full((height, width), 255, np.uint8)
    for name, darkness, thickness in sorted(creases, key=lambda crease: crease[1]):
        pixels = thickness * pose.scale
        value = 255 * (1 - 0.54 * darkness * min(1.0, pixels / max(1, round(pixels))))
        stroke(layer, points[name] - window.origin, value, pixels)
    return cv2.LUT(cv2.cvtColor(cv2.GaussianBlur(layer, (3, 3), 0.6), cv2.COLOR_GRAY2BGR), _WARM)


def _tone(change: float) -> np.ndarray:
    """Layer value for skin made darker (below 0, warm) or brighter (above 0) by that share."""
    return NEUTRAL * (1 + change * (_SHADOW if change < 0 else np.ones(3)))


def _colour(tone: np.ndarray) -> tuple[float, float, float]:
    blue, green, red = (float(min(255.0, value)) for value in tone)
    return blue, green, red
