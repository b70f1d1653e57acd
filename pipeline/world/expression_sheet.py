"""A picture of the world's people, each with every expression."""

from __future__ import annotations

import cv2
import numpy as np

from grace.pipeline.world.actions import ACTIONS
from grace.pipeline.world.background import paint_background
from grace.pipeline.world.draw import draw_face
from grace.pipeline.world.identity import Identity
from grace.pipeline.world.paint import Image
from grace.pipeline.world.pose import Pose

EXPRESSIONS: tuple[tuple[str, dict[int, float]], ...] = (
    ("neutral", {}),
    ("happiness", {6: 0.8, 12: 0.85, 25: 0.7}),
    ("sadness", {1: 0.9, 4: 0.5, 15: 0.9, 17: 0.5}),
    ("anger", {4: 0.95, 5: 0.4, 7: 0.6, 23: 0.8}),
    ("surprise", {1: 0.85, 2: 0.9, 5: 0.8, 25: 0.8, 26: 0.8}),
    ("disgust", {9: 0.9, 10: 0.85, 4: 0.3}),
    ("fear", {1: 0.9, 2: 0.5, 4: 0.6, 5: 0.85, 20: 0.8, 25: 0.6}),
)
"""Strong, typical action units of each emotion, by FACS number; clips are weaker and mixed."""


def expression_sheet(identities: list[Identity], size: int = 160) -> Image:
    """Each person (a row) with each of ``EXPRESSIONS`` (a column), uint8 BGR."""
    header = np.full((22, size * len(EXPRESSIONS), 3), 250, np.uint8)
    for column, (name, _) in enumerate(EXPRESSIONS):
        (width, _), _ = cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)
        at = (column * size + (size - width) // 2, 15)
        cv2.putText(header, name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (40, 40, 40), 1, cv2.LINE_AA)
    rows = [
        np.hstack([portrait(identity, units, size, yaw=0.10 * (-1) ** row) for _, units in EXPRESSIONS])
        for row, identity in enumerate(identities)
    ]
    return np.vstack([header, *rows])


def portrait(identity: Identity, units: dict[int, float], size: int, yaw: float = 0.0) -> Image:
    """One person, turned by ``yaw`` radians, with the given intensities of action units (by FACS number).

    Args:
        identity: The person.
        units: FACS number to intensity in [0, 1]; others are at rest.
        size: Side of the picture, pixels.
        yaw: Radians, to image right.

    Returns:
        [size, size, 3], uint8 BGR.
    """
    large = 2 * size
    image = np.empty((large, large, 3), np.uint8)
    paint_background(image, identity.index, (0.0, 0.0), 0.0, 0.0)
    actions = np.array([units.get(action.unit, 0.0) for action in ACTIONS])
    pose = Pose(actions=actions, yaw=yaw, centre=(large / 2, large * 0.53), scale=large * 0.37)
    draw_face(image, identity, pose, light=-0.4)
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
