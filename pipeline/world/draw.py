"""Draw one face into a picture, and measure the boxes of its regions."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

from grace.pipeline.vocabulary import REGIONS
from grace.pipeline.world.creases import add_creases
from grace.pipeline.world.features import paint_brows, paint_eyes, paint_mouth, paint_nose
from grace.pipeline.world.geometry import SIDES, face
from grace.pipeline.world.hair import add_hair, paint_beard, paint_behind, paint_front
from grace.pipeline.world.identity import Identity
from grace.pipeline.world.paint import Image, Window, fill, lowered, shade, strokes
from grace.pipeline.world.pose import Points, Pose
from grace.pipeline.world.shading import NEUTRAL, lines, relief

Boxes = Float[np.ndarray, "regions 4"]
"""x0, y0, x1, y1 in pixels: one row for each of ``vocabulary.REGIONS``, then the face's."""


def draw_face(image: Image, identity: Identity, pose: Pose, light: float = 0.0) -> Boxes:
    """Draw a person into ``image`` (uint8 BGR, in place) and return the region boxes.

    Args:
        image: The picture [height, width, 3].
        identity: The person.
        pose: Head, eyes and action units in this frame.
        light: In [-1, 1], from which side the light comes (-1 image left).

    Returns:
        Boxes [regions + 1, 4], x0, y0, x1, y1 in pixels; the last one is the face's.
    """
    sketch, units = face(identity, pose)
    creases = add_creases(sketch, identity, units)
    add_hair(sketch, identity)
    points = sketch.project(pose)
    paint_behind(image, identity, points, pose)
    _paint_skin(image, identity, points)
    window = Window.around(points["face"], image)
    if not window.empty:
        soft = relief(identity, points, units, pose, light, window)
        _apply_light(window.of(image), points["face"] - window.origin, soft, lines(points, creases, pose, window))
    paint_nose(image, identity, points, pose)
    paint_eyes(image, identity, points, pose)
    paint_brows(image, identity, points)
    paint_mouth(image, identity, points, units, pose)
    paint_front(image, identity, points, pose)
    return _boxes(points, pose)


def measure_face(identity: Identity, pose: Pose) -> Boxes:
    """The boxes that :func:`draw_face` returns, without drawing."""
    sketch, _ = face(identity, pose)
    return _boxes(sketch.project(pose), pose)


def _paint_skin(image: Image, identity: Identity, points: dict[str, Points]) -> None:
    for _, name in SIDES:
        fill(image, points[f"ear {name}"], shade(identity.skin, 0.88))
    folds = [points[f"ear fold {name}"] for _, name in SIDES]
    strokes(image, folds, shade(identity.skin, 0.66), 1.0)
    throat, shadow = points["face"][20:45], 0.08 * float(np.ptp(points["face"][:, 1]))
    fill(image, np.concatenate([throat, lowered(throat[::-1], shadow)]), shade(identity.skin, 0.62))
    fill(image, points["face"], identity.skin)
    paint_beard(image, identity, points)


def _apply_light(skin: Image, outline: Points, soft: np.ndarray, creases: np.ndarray) -> None:
    """Multiply light and creases into the part of the picture that holds the face."""
    mask = np.zeros(skin.shape[:2], np.uint8)
    fill(mask, outline, 255.0)
    cv2.multiply(soft, creases, dst=soft, scale=1 / 255)
    layer = np.full_like(soft, NEUTRAL)
    cv2.copyTo(soft, mask, layer)
    cv2.multiply(skin, layer, dst=skin, scale=1 / NEUTRAL)


def _boxes(points: dict[str, Points], pose: Pose) -> Boxes:
    margin = 0.05 * pose.scale
    parts = {
        "brows": [points["above brow left"], points["above brow right"], points["brow left"], points["brow right"]],
        "eyes": [points[f"{part} {name}"] for _, name in SIDES for part in ("upper lid", "lower lid", "lid fold")],
        "nose": [points["wing left"], points["wing right"], points["nose bridge"], points["nose base"]],
        "cheeks": [points["eye bag left"], points["eye bag right"], _cheeks(points)],
        "mouth": [points["lip top"], points["lip bottom"]],
        "jaw": [points["lip bottom"][8:17], points["face"][22:43]],
    }
    boxes = np.empty((len(REGIONS) + 1, 4), np.float32)
    for row, region in enumerate(REGIONS):
        cloud = np.concatenate(parts[region])
        boxes[row] = (*(cloud.min(0) - margin), *(cloud.max(0) + margin))
    boxes[-1] = _face_box(points)
    return boxes


def _cheeks(points: dict[str, Points]) -> Points:
    """Outline points of the face between the ears and the mouth."""
    return np.concatenate([points["face"][16:20], points["face"][45:49]])


def _face_box(points: dict[str, Points]) -> np.ndarray:
    """Tight box: cheek to cheek, hairline to chin."""
    outline = points["face"]
    return np.array([outline[:, 0].min(), points["hairline"][0, 1], outline[:, 0].max(), outline[:, 1].max()])
