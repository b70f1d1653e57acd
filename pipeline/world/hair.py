"""Hair, beard, glasses and shoulders: curves added to the sketch, then painted behind or in front of the face."""

from __future__ import annotations

import numpy as np

from grace.pipeline.world.curves import smooth
from grace.pipeline.world.geometry import SIDES
from grace.pipeline.world.identity import Colour, Identity
from grace.pipeline.world.paint import Image, disc, fill, mixed, shade, stroke, strokes
from grace.pipeline.world.pose import Points, Pose, Sketch

_BACK = {"bob": 0.80, "long": 1.75}  # how far down hair hangs behind the face


def add_hair(sketch: Sketch, identity: Identity) -> None:
    """Add the curves of hair, beard and glasses, in the order in which they are painted."""
    if identity.hair_style != "bald":
        outer, inner = _front_hair(identity)
        sketch.add("hair outer", smooth(outer, 33), flat=-0.06)
        sketch.add("hair inner", smooth(inner, 33), lift=0.015)
    width, down = identity.width, _BACK.get(identity.hair_style)
    if down:
        right = np.array([[0, -1.24], [0.75, -1.05], [1.16, -0.5], [1.24, 0.1], [1.28, down * 0.7], [1.1, down]]) * (
            width,
            1,
        )
        back = np.concatenate([right, right[:0:-1] * (-1, 1)])
        sketch.add("hair back", smooth(back, 40, closed=True), flat=-0.3)
    if identity.hair_style == "bun":
        angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
        sketch.add("hair back", np.stack([0.27 * np.cos(angles), -1.36 + 0.24 * np.sin(angles)], 1), flat=-0.15)
    if identity.hair_style == "curly":
        angles = np.linspace(np.pi * 0.98, np.pi * 2.02, 13)
        curls = np.stack([width * 1.12 * np.cos(angles), -0.42 + 0.80 * np.sin(angles)], 1)
        sketch.add("curls", curls, flat=-0.05)
    if identity.beard in ("stubble", "full", "goatee"):
        sketch.add("beard line", smooth(_beard_line(identity), 17), lift=0.0)
    if identity.glasses != "none":
        for side, name in SIDES:
            sketch.add(f"glass {name}", _lens(identity) * (side, 1), lift=0.05)
        inner_edge = identity.eye_spacing - identity.eye_width * 1.28
        y = identity.eye_height
        sketch.add("glass bridge", smooth(np.array([[-inner_edge, y], [0, y - 0.035], [inner_edge, y]]), 7), lift=0.12)
        outer_edge = identity.eye_spacing + identity.eye_width * 1.28
        for side, name in SIDES:
            temple = np.array([[outer_edge, y - 0.02], [width * 1.03, y - 0.04]]) * (side, 1)
            sketch.add(f"glass temple {name}", temple, flat=0.12)


def _front_hair(identity: Identity) -> tuple[np.ndarray, np.ndarray]:
    """Outer edge and hairline of the hair in front of the face, both from image left to right."""
    width, line, style = identity.width, -identity.hairline, identity.hair_style
    thick = {"buzz": 0.0, "short": 0.07, "side": 0.12, "quiff": 0.16, "bun": 0.03, "curly": 0.05}.get(style, 0.09)
    ends = {"bob": 0.55, "long": 0.62, "buzz": -0.22, "bun": -0.15}.get(style, -0.06)
    wide = 1.0 + thick * 0.35 + (0.10 if style in _BACK else 0.015)
    right = np.array(
        [
            [width * 0.62, -1.09 - thick],
            [width * wide, -0.74],
            [width * (wide + 0.05), -0.32],
            [width * (wide + 0.03), ends],
        ]
    )
    outer = np.concatenate([right[::-1] * (-1, 1), [[0.0, -1.17 - thick]], right])
    inner = _hairline(style, line, ends) * (width, 1.0)
    if style == "quiff":
        outer[3:6, 1] -= (0.02, 0.05, 0.07)
    return outer, inner


def _hairline(style: str, line: float, ends: float) -> np.ndarray:
    """Lower edge of the hair over the forehead at height ``line``, down to height ``ends``, for a face of width 1."""
    hairlines = {
        "side": [
            [-0.97, ends],
            [-0.93, -0.40],
            [-0.70, line + 0.20],
            [-0.2, line + 0.08],
            [0.36, line - 0.10],
            [0.88, -0.56],
            [0.97, ends],
        ],
        "fringe": [
            [-0.97, ends],
            [-0.92, -0.42],
            [-0.70, -0.60],
            [0.0, -0.655],
            [0.70, -0.60],
            [0.92, -0.42],
            [0.97, ends],
        ],
        "bob": [
            [-0.99, ends],
            [-0.90, -0.20],
            [-0.78, -0.58],
            [-0.15, line + 0.02],
            [0.42, line - 0.06],
            [0.90, -0.30],
            [0.99, ends],
        ],
        "long": [
            [-1.0, ends],
            [-0.92, -0.18],
            [-0.70, -0.62],
            [0.0, line - 0.12],
            [0.70, -0.62],
            [0.92, -0.18],
            [1.0, ends],
        ],
    }
    usual = [
        [-0.99, ends],
        [-0.94, -0.42],
        [-0.74, line + 0.14],
        [0.0, line - 0.01],
        [0.74, line + 0.14],
        [0.94, -0.42],
        [0.99, ends],
    ]
    return np.array(hairlines.get(style, usual))


def _beard_line(identity: Identity) -> np.ndarray:
    """Upper edge of the beard, from image left to right."""
    width, mouth = identity.width, identity.mouth_height
    top = mouth - 0.13
    if identity.beard == "goatee":
        half = identity.mouth_width + 0.07
        return np.array(
            [
                [-half, 0.82],
                [-half, mouth],
                [-half * 0.6, top],
                [0, top + 0.01],
                [half * 0.6, top],
                [half, mouth],
                [half, 0.82],
            ]
        )
    return np.array(
        [
            [-0.99, 0.0],
            [-0.84, 0.24],
            [-0.55, mouth - 0.12],
            [-0.25, top],
            [0, top + 0.02],
            [0.25, top],
            [0.55, mouth - 0.12],
            [0.84, 0.24],
            [0.99, 0.0],
        ]
    ) * (width, 1)


def _lens(identity: Identity) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    power = 1.0 if identity.glasses == "round" else 0.55
    x, y = np.cos(angles), np.sin(angles)
    round_x, round_y = np.sign(x) * np.abs(x) ** power, np.sign(y) * np.abs(y) ** power
    return np.stack(
        [identity.eye_spacing + round_x * identity.eye_width * 1.28, identity.eye_height + 0.02 + round_y * 0.20], 1
    )


def paint_behind(image: Image, identity: Identity, points: dict[str, Points], pose: Pose) -> None:
    """Hair that hangs behind the head, then neck and shoulders.

    Args:
        image: The picture, painted in place.
        identity: The person: colours of hair, skin and clothes.
        points: Curves of the face by name, pixels; hair is painted where they hold it.
        pose: Where head and shoulders are.
    """
    if "hair back" in points:
        fill(image, points["hair back"], shade(identity.hair, 0.72))
    if "curls" in points:
        for curl in points["curls"]:
            disc(image, curl, 0.22 * pose.scale, shade(identity.hair, 0.80))
    _paint_body(image, identity, pose)


def _paint_body(image: Image, identity: Identity, pose: Pose) -> None:
    body = np.array(pose.body if pose.body is not None else pose.centre)
    head = (np.array(pose.centre) - body) / pose.scale  # the neck leans with the head

    def pixels(shape: np.ndarray) -> Points:
        return body + shape * pose.scale

    half = identity.width * 0.56
    neck = np.array(
        [[half, 0.5], [half * 1.02, 1.15], [half * 1.5, 1.45], [-half * 1.5, 1.45], [-half * 1.02, 1.15], [-half, 0.5]]
    )
    neck[[0, -1]] += head
    fill(image, pixels(neck), shade(identity.skin, 0.80))
    collar = np.array([[-half * 1.12, 1.22], [0.0, 1.45], [half * 1.12, 1.22]])
    left = np.array([[-2.3, 2.5], [-1.75, 1.72], [-0.95, 1.42]])
    shoulders = smooth(np.concatenate([left, collar, left[::-1] * (-1, 1)]), 33)
    fill(image, pixels(np.concatenate([shoulders, [[2.4, 4.5], [-2.4, 4.5]]])), identity.clothes)
    stroke(image, pixels(smooth(collar, 11)), shade(identity.clothes, 0.72), 0.06 * pose.scale)


def paint_beard(image: Image, identity: Identity, points: dict[str, Points]) -> None:
    """Flat beard on the unshaded skin.

    Args:
        image: The picture, painted in place.
        identity: The person: kind of beard, colours of hair and skin.
        points: Curves of the face by name, pixels; without ``beard line`` nothing is painted.
    """
    if "beard line" not in points:
        return
    outline, line = points["face"], points["beard line"]
    mix = 0.24 if identity.beard == "stubble" else 0.74
    colour = mixed(identity.skin, identity.hair, mix)
    jaw = outline[18:47]  # from the right ear round the chin to the left ear
    if identity.beard == "goatee":
        jaw = outline[28:37]
    fill(image, np.concatenate([jaw, line]), colour)


def paint_front(image: Image, identity: Identity, points: dict[str, Points], pose: Pose) -> None:
    """Hair in front of the face, then glasses.

    Args:
        image: The picture, painted in place.
        identity: The person: hair style and glasses.
        points: Curves of the face by name, pixels; hair is painted where they hold it.
        pose: Its scale, pixels per face unit, makes sizes pixels.
    """
    if "hair outer" in points:
        outer, inner = points["hair outer"], points["hair inner"]
        base = mixed(identity.skin, identity.hair, 0.72) if identity.hair_style == "buzz" else identity.hair
        fill(image, np.concatenate([outer, inner[::-1]]), base)
        if "curls" in points:
            for index, curl in enumerate(points["curls"]):
                disc(image, curl, 0.17 * pose.scale, shade(base, 1.0 + 0.14 * (-1) ** index))
        elif identity.hair_style != "buzz":
            gloss = (outer * 0.58 + inner * 0.42)[7:26]
            for factor, thickness in ((1.10, 0.15), (1.20, 0.06)):
                stroke(image, gloss, shade(base, factor), thickness * pose.scale)
            _strands(image, outer, inner, base)
    if identity.glasses != "none":
        dark = (40.0, 38.0, 44.0)
        names = ("glass left", "glass right")
        strokes(image, [points[name] for name in names], dark, 0.035 * pose.scale, closed=True)
        strokes(
            image,
            [points[name] for name in ("glass bridge", "glass temple left", "glass temple right")],
            dark,
            0.035 * pose.scale,
        )


def _strands(image: Image, outer: Points, inner: Points, base: Colour) -> None:
    for start, factor in ((2, 1.28), (3, 0.74), (4, 1.16)):
        picks = range(start, len(outer) - 2, 3)
        paths = [outer[i] + (inner[i] - outer[i]) * np.array([[0.12], [0.5], [0.92]]) for i in picks]
        strokes(image, paths, shade(base, factor), 1.0)
