"""Lines and furrows: the marks by which FACS distinguishes action units, and those of age."""

from __future__ import annotations

import numpy as np

from grace.pipeline.world.curves import smooth
from grace.pipeline.world.geometry import SIDES, Units
from grace.pipeline.world.identity import Identity
from grace.pipeline.world.pose import Sketch

Creases = list[tuple[str, float, float]]
"""Name of the curve, darkness in [0, 1], thickness in face units."""


_FAINT = 0.04  # a crease lighter than this is not drawn
_DARKEST = 0.85


class _Marks:
    """Collects creases, without those that are too faint to see."""

    def __init__(self, sketch: Sketch) -> None:
        self.sketch = sketch
        self.seen: Creases = []

    def add(self, name: str, points: list[list[float]], darkness: float, thickness: float = 0.022) -> None:
        """Add a crease through points in face units."""
        if darkness > _FAINT:
            self.sketch.add(name, smooth(np.array(points), 9), lift=0.005)
            self.seen.append((name, min(darkness, _DARKEST), thickness))


def add_creases(sketch: Sketch, identity: Identity, units: Units) -> Creases:
    """Add every visible crease to ``sketch``; returns how dark and thick each one is.

    Args:
        sketch: The curves of the face, in face units; changed in place.
        identity: The person: age and where the features are.
        units: Intensities of action units, in [0, 1].
    """
    marks = _Marks(sketch)
    _forehead(marks, identity, units)
    for side, name in SIDES:
        _around_eye(marks, identity, units, side, name)
        _around_nose(marks, identity, units, side, name)
        _around_mouth(marks, identity, units, side, name)
    _chin(marks, identity, units)
    return marks.seen


def _forehead(marks: _Marks, identity: Identity, units: Units) -> None:
    age, brow = identity.age, identity.eye_height - identity.brow_height
    lift = 0.09 * units[1]
    for row, above in enumerate((0.15, 0.24, 0.33)):
        y = brow - above - lift
        central = 0.14 * age + 0.62 * units[1] * (1 - 0.12 * row)
        marks.add(
            f"forehead {row}",
            [[-0.27, y + 0.015], [-0.12, y - 0.015 * units[1]], [0.12, y - 0.015 * units[1]], [0.27, y + 0.015]],
            central,
        )
        for side, name in SIDES:
            rise = y - 0.07 * units[2] + lift
            arch = [[0.24, rise + 0.01], [0.40, rise - 0.035], [0.54, rise + 0.01]]
            marks.add(
                f"forehead {name} {row}",
                [[side * x, at] for x, at in arch],
                0.10 * age + 0.58 * units[2] * (1 - 0.15 * row),
            )
    down = 0.09 * units[4]
    for side, name in SIDES:
        furrow = [[side * 0.075, brow - 0.10 + down], [side * 0.055, brow + down], [side * 0.068, brow + 0.10 + down]]
        marks.add(f"frown {name}", furrow, 0.16 * age + 0.75 * units[4], 0.028)
    marks.add("frown middle", [[0.0, brow - 0.02 + down], [0.004, brow + 0.09 + down]], 0.5 * units[4])


def _around_eye(marks: _Marks, identity: Identity, units: Units, side: int, name: str) -> None:
    outer = identity.eye_spacing + identity.eye_width
    y = identity.eye_height
    strength = 0.16 * identity.age + 0.70 * units[6]
    for row, (start, end) in enumerate(((-0.05, -0.14), (0.01, -0.01), (0.065, 0.11))):
        reach = 0.10 + 0.03 * units[6]
        points = [[side * (outer + 0.035), y + start], [side * (outer + 0.035 + reach), y + end]]
        marks.add(f"crow foot {name} {row}", points, strength * (1.0 - 0.1 * row))
    marks.add(
        f"cheek fold {name}",
        [
            [side * (identity.eye_spacing - 0.16), y + 0.15],
            [side * identity.eye_spacing, y + 0.175 - 0.03 * units[6]],
            [side * (outer + 0.03), y + 0.12 - 0.03 * units[6]],
        ],
        0.08 * identity.age + 0.60 * units[6],
        0.026,
    )


def _around_nose(marks: _Marks, identity: Identity, units: Units, side: int, name: str) -> None:
    width, top = identity.nose_width, identity.eye_height
    for row, y in enumerate((-0.03, 0.045, 0.12)):
        points = [[side * 0.005, top + y - 0.012], [side * (0.09 + 0.012 * row), top + y + 0.016]]
        marks.add(f"nose {name} {row}", points, 0.80 * units[9], 0.028)
    diagonal = [[side * width * 0.75, top + 0.10], [side * width * 1.15, top + 0.21]]
    marks.add(f"nose side {name}", diagonal, 0.72 * units[9], 0.028)
    tip = top + identity.nose_length - 0.05 * units[9]
    half = identity.mouth_width
    out = 0.07 * units[12] + 0.06 * units[20] + 0.02 * units[10]
    fold = [
        [side * (width * 1.10), tip - 0.09 - 0.03 * units[10]],
        [side * (width * 1.30 + 0.07 + 0.5 * out + 0.02 * units[10]), tip + 0.01 - 0.03 * units[10]],
        [side * (half + 0.085 + out), identity.mouth_height - 0.08 - 0.03 * units[12]],
        [side * (half + 0.105 + out), identity.mouth_height + 0.03 * (1 - units[12])],
    ]
    strength = 0.10 + 0.22 * identity.age + 0.42 * units[12] + 0.42 * units[10] + 0.34 * units[9] + 0.10 * units[20]
    marks.add(f"nasolabial {name}", fold, min(strength, 0.66), 0.024 + 0.008 * max(units[12], units[10]))


def _around_mouth(marks: _Marks, identity: Identity, units: Units, side: int, name: str) -> None:
    half, y = identity.mouth_width, identity.mouth_height
    if side == identity.dimple_side:
        x = half + 0.085
        marks.add(
            "dimple",
            [[side * x, y - 0.115], [side * (x + 0.035), y - 0.045], [side * (x + 0.01), y + 0.035]],
            0.85 * units[14],
            0.045,
        )
    drop = [[side * (half + 0.015), y + 0.13], [side * (half + 0.055), y + 0.20], [side * (half + 0.045), y + 0.29]]
    marks.add(f"marionette {name}", drop, 0.14 * identity.age + 0.60 * units[15], 0.026)
    for row in range(2):
        x = half * 1.34 + 0.055 + 0.055 * row
        stretch = [[side * x, y - 0.07], [side * (x + 0.018), y + 0.02], [side * x, y + 0.11]]
        marks.add(f"stretch {name} {row}", stretch, 0.60 * units[20] * (1 - 0.2 * row))
        at = side * (0.05 + 0.085 * row)
        marks.add(f"purse above {name} {row}", [[at, y - 0.105], [at * 0.94, y - 0.04]], 0.46 * units[23])
        marks.add(f"purse below {name} {row}", [[at * 0.94, y + 0.065], [at, y + 0.125]], 0.46 * units[23])


def _chin(marks: _Marks, identity: Identity, units: Units) -> None:
    chin, y = identity.chin_length, identity.mouth_height + identity.lower_lip
    strength = 0.66 * units[17]
    fold = y + 0.085 - 0.02 * units[17]
    marks.add("chin fold", [[-0.17, fold + 0.035], [0.0, fold - 0.02], [0.17, fold + 0.035]], 0.08 + strength, 0.03)
    bumps = (
        (-0.105, -0.15),
        (0.0, -0.165),
        (0.105, -0.15),
        (-0.06, -0.095),
        (0.06, -0.095),
        (0.0, -0.05),
        (-0.12, -0.07),
        (0.12, -0.07),
    )
    for row, (x, up) in enumerate(bumps):
        at = chin + up - 0.02 * units[17]
        marks.add(
            f"chin dimple {row}", [[x - 0.026, at + 0.012], [x, at - 0.010], [x + 0.026, at + 0.012]], strength, 0.026
        )
