"""Eyes, brows, nostrils and mouth: what is painted onto the shaded skin."""

from __future__ import annotations

import cv2
import numpy as np

from grace.pipeline.world.geometry import SIDES, Units
from grace.pipeline.world.identity import Identity
from grace.pipeline.world.paint import Image, Window, blend, disc, ellipse, fill, lowered, mixed, shade, stroke, strokes
from grace.pipeline.world.pose import Points, Pose

_SCLERA = (226, 228, 232)
_PUPIL = (14.0, 12.0, 12.0)
_MOUTH = (38.0, 26.0, 62.0)
_TEETH = (222.0, 234.0, 240.0)
_TONGUE = (104.0, 92.0, 186.0)


def paint_eyes(image: Image, identity: Identity, points: dict[str, Points], pose: Pose) -> None:
    """Sclera, iris, pupil and highlight inside the opening; then lids and lashes.

    Args:
        image: The picture, painted in place.
        identity: The person: colours and sizes.
        points: Curves of the face by name, pixels.
        pose: Its scale, pixels per face unit, makes sizes pixels.
    """
    skin_line = shade(identity.skin, 0.52)
    for _, name in SIDES:
        upper, lower = points[f"upper lid {name}"], points[f"lower lid {name}"]
        _eyeball(image, identity, np.concatenate([upper, lower[::-1]]), upper, points[f"iris {name}"], pose)
        stroke(image, points[f"lid fold {name}"], skin_line, 0.016 * pose.scale)
        stroke(image, lower, skin_line, 0.018 * pose.scale)
        lash = (26.0, 24.0, 30.0)
        edge = np.concatenate([upper, lowered(upper[::-1], -identity.lashes * pose.scale)])
        fill(image, edge, lash)
        stroke(image, upper, lash, 0.6 * identity.lashes * pose.scale)


def _eyeball(image: Image, identity: Identity, opening: Points, upper: Points, iris: Points, pose: Pose) -> None:
    window = Window.around(opening, image)
    if window.empty:
        return
    patch = np.full((*window.size[::-1], 3), _SCLERA, np.uint8)
    centre, radius = iris[0] - window.origin, identity.iris_size * pose.scale
    disc(patch, centre, radius, shade(identity.iris, 0.55))
    disc(patch, centre, radius * 0.81, identity.iris)
    disc(patch, centre, radius * 0.47, _PUPIL)
    disc(patch, centre - 0.38 * radius, radius * 0.22, (250.0, 250.0, 250.0))
    lid = upper - window.origin
    veil = np.full(patch.shape[:2], 255, np.uint8)
    fill(veil, np.concatenate([lid, lowered(lid[::-1], 0.035 * pose.scale)]), 150.0)
    patch = cv2.multiply(patch, cv2.cvtColor(veil, cv2.COLOR_GRAY2BGR), scale=1 / 255)
    blend(image, patch, opening, window)


def paint_brows(image: Image, identity: Identity, points: dict[str, Points]) -> None:
    """Both brows, darker than the hair.

    Args:
        image: The picture, painted in place.
        identity: The person: colours of hair and skin.
        points: Curves of the face by name, pixels.
    """
    colour = mixed(shade(identity.hair, 0.72), identity.skin, 0.10)
    for _, name in SIDES:
        fill(image, points[f"brow {name}"], colour)


def paint_nose(image: Image, identity: Identity, points: dict[str, Points], pose: Pose) -> None:
    """Wings, nostrils and the line beneath the tip.

    Args:
        image: The picture, painted in place.
        identity: The person: the skin's colour.
        points: Curves of the face by name, pixels.
        pose: Its scale, pixels per face unit, makes sizes pixels; its roll turns the nostrils.
    """
    line = shade(identity.skin, 0.60)
    strokes(image, [points["wing left"][3:], points["wing right"][3:]], line, 0.020 * pose.scale)
    for _, name in SIDES:
        inner, outer = points[f"nostril {name}"]
        half = float(np.hypot(*(outer - inner))) / 2
        ellipse(image, (inner + outer) / 2, half, 0.024 * pose.scale, pose.roll, shade(identity.skin, 0.30))


def paint_mouth(image: Image, identity: Identity, points: dict[str, Points], units: Units, pose: Pose) -> None:
    """Lips, and between them the mouth's inside with teeth and tongue.

    Args:
        image: The picture, painted in place.
        identity: The person: colours of lips and skin.
        points: Curves of the face by name, pixels.
        units: Intensities of action units, in [0, 1]: tightened lips are paler, and some units show the teeth.
        pose: Its scale, pixels per face unit, makes sizes pixels.
    """
    top, bottom = points["lip top"], points["lip bottom"]
    seam_top, seam_bottom = points["seam top"], points["seam bottom"]
    pale = mixed(identity.lips, shade(identity.skin, 0.9), 0.35 * units[23])
    fill(image, np.concatenate([seam_bottom, bottom[::-1]]), pale)
    fill(image, np.concatenate([top, seam_top[::-1]]), shade(pale, 0.84))
    shine = seam_bottom[8:17] * 0.55 + bottom[8:17] * 0.45
    stroke(image, shine, shade(pale, 1.16), 0.030 * pose.scale * (1 - 0.6 * units[23]))
    _inside(image, np.concatenate([seam_top, seam_bottom[::-1]]), seam_top, seam_bottom, units, pose)
    seam = shade(identity.lips, 0.36)
    strokes(image, [seam_top, seam_bottom], seam, 0.016 * pose.scale)


def _inside(image: Image, opening: Points, seam_top: Points, seam_bottom: Points, units: Units, pose: Pose) -> None:
    middle = len(seam_top) // 2
    gap = float(seam_bottom[middle, 1] - seam_top[middle, 1])
    if gap < 1.0:
        return
    window = Window.around(opening, image)
    if window.empty:
        return
    origin = window.origin
    patch = np.full((*window.size[::-1], 3), _MOUTH, np.uint8)
    unit = pose.scale
    tongue = seam_bottom[6:19] - origin
    fill(patch, np.concatenate([lowered(tongue, 0.02 * unit), lowered(tongue[::-1], -0.40 * gap)]), _TONGUE)
    upper_teeth = 0.035 + 0.055 * min(1.0, 0.9 * units[10] + 0.8 * units[12] + 0.3 * units[20])
    teeth = seam_top[3:22] - origin
    fill(patch, np.concatenate([lowered(teeth, -0.03 * unit), lowered(teeth[::-1], upper_teeth * unit)]), _TEETH)
    lower = 0.085 * units[16] + 0.05 * units[20] * units[25]
    if lower > 0.008:
        teeth = seam_bottom[4:21] - origin
        fill(
            patch,
            np.concatenate([lowered(teeth, 0.03 * unit), lowered(teeth[::-1], -lower * unit)]),
            shade(_TEETH, 0.92),
        )
    blend(image, patch, opening, window)
