"""The curves of a face, displaced by action units (FACS: Ekman, Friesen & Hager 2002).

Face units: x to image right, y down, the origin between the eyes and the nose tip, the chin near y = 1.
"""

from __future__ import annotations

import numpy as np

from grace.pipeline.world.actions import ACTIONS
from grace.pipeline.world.curves import smooth
from grace.pipeline.world.identity import Identity
from grace.pipeline.world.pose import Pose, Sketch

UNITS = tuple(action.unit for action in ACTIONS)
SIDES = ((-1, "left"), (1, "right"))  # as they appear in the picture

Units = dict[int, float]
"""Intensity of every action unit by its FACS number."""


def face(identity: Identity, pose: Pose) -> tuple[Sketch, Units]:
    """All curves of the face in one frame, and the intensities by FACS number."""
    units: Units = dict(zip(UNITS, (float(value) for value in pose.actions), strict=True))
    sketch = Sketch()
    jaw = _jaw_drop(units, pose)
    _outline(sketch, identity, units, jaw)
    for side, name in SIDES:
        _eye(sketch, identity, units, pose, side, name)
        _brow(sketch, identity, units, side, name)
    _nose(sketch, identity, units)
    _mouth(sketch, identity, units, pose, jaw)
    return sketch, units


def _jaw_drop(units: Units, pose: Pose) -> float:
    return 0.19 * units[26] + 0.08 * pose.speech


def _outline(sketch: Sketch, identity: Identity, units: Units, jaw: float) -> None:
    width, jaw_width = identity.width, identity.width * identity.jaw
    chin = identity.chin_length + jaw - 0.06 * units[17]
    cheek = 0.015 * units[12] + 0.015 * units[6]
    right = np.array(
        [
            [0.0, -1.14],
            [width * 0.55, -1.05],
            [width * 0.93, -0.70],
            [width * 1.02, -0.25],
            [width + cheek, 0.14],
            [jaw_width * 0.98 + cheek, 0.48 + jaw * 0.2],
            [jaw_width * (0.46 + 0.46 * identity.chin), 0.80 + jaw * 0.7],
            [jaw_width * identity.chin * 0.62, chin - 0.045],
        ]
    )
    left = right[:0:-1] * (-1, 1)
    controls = np.concatenate([right, [[0.0, chin]], left])
    sketch.add("face", smooth(controls, 64, closed=True), flat=0.0)
    sketch.add("hairline", np.array([[0.0, -identity.hairline]]), lift=0.0)
    for side, name in SIDES:
        ear = np.array([[0.97, -0.22], [1.13, -0.25], [1.17, -0.08], [1.09, 0.16], [0.97, 0.20]]) * (width * side, 1.0)
        sketch.add(f"ear {name}", smooth(ear, 16), flat=-0.10)
        sketch.add(
            f"ear fold {name}", smooth((ear - (side * width, 0)) * 0.6 + (side * width * 1.02, 0), 10), flat=-0.08
        )


def _eye(sketch: Sketch, identity: Identity, units: Units, pose: Pose, side: int, name: str) -> None:
    lid = (1.0 - min(1.0, units[43])) * (1.0 - min(1.0, pose.blink))
    upper = 0.60 * identity.eye_opening + 0.085 * units[5] - 0.032 * units[7] - 0.012 * units[4] - 0.016 * units[9]
    lower = 0.40 * identity.eye_opening - 0.040 * units[7] - 0.036 * units[6] - 0.016 * units[9] + 0.012 * units[5]
    upper, lower = max(upper, 0.035), max(lower, 0.004)
    rest = 0.45 * 0.40 * identity.eye_opening  # where the lids meet when closed
    upper_y, lower_y = rest + (-upper - rest) * lid, rest + (lower - rest) * lid
    width, slant = identity.eye_width, identity.eye_slant
    middle = np.array([side * identity.eye_spacing, identity.eye_height])
    x = np.array([-1.0, -0.62, 0.0, 0.60, 1.0]) * width
    tilt = -slant * x / width
    ends = np.array([0.012, 0, 0, 0, -0.004])
    flat_upper = 0.74 + 0.12 * units[7]  # a tightened lid is straighter
    top = tilt + ends + upper_y * np.array([0.0, flat_upper, 1.0, flat_upper + 0.08, 0.0])
    bottom = tilt + ends + lower_y * np.array([0.0, 0.66, 1.0, 0.86, 0.0])
    outward = np.array([side, 1.0])
    sketch.add(f"upper lid {name}", smooth(np.stack([x, top], 1) * outward + middle, 17), lift=-0.03)
    sketch.add(f"lower lid {name}", smooth(np.stack([x, bottom], 1) * outward + middle, 17), lift=-0.03)
    brow = 0.035 * (units[1] + units[2]) - 0.030 * units[4] - 0.012 * units[9]
    fold = np.stack(
        [x * 1.04, tilt - np.array([0.02, 0.80, 1.0, 0.84, 0.06]) * (0.60 * identity.eye_opening + 0.048)], 1
    )
    fold[:, 1] -= np.array([0.2, 1, 1, 1, 0.4]) * (0.35 * brow + 0.045 * units[5])
    sketch.add(f"lid fold {name}", smooth(fold * outward + middle, 13), lift=-0.03)
    bag = np.stack([x[[0, 2, 4]] * 0.95, np.array([0.045, 0.105, 0.05]) - 0.025 * units[6] - 0.012 * units[7]], 1)
    sketch.add(f"eye bag {name}", smooth(bag * outward + middle, 11), lift=-0.02)
    look_at = middle + np.array([0.055 * pose.gaze[0], -0.012 + 0.035 * pose.gaze[1]])
    rim = look_at + np.array([[0.0, 0.0], [identity.iris_size, 0.0]])
    sketch.add(f"iris {name}", rim, lift=-0.03)


def _brow(sketch: Sketch, identity: Identity, units: Units, side: int, name: str) -> None:
    spacing, width, arch = identity.eye_spacing, identity.eye_width, identity.brow_arch
    x = spacing + np.array([-1.10, -0.50, 0.15, 0.80, 1.42]) * width
    y = identity.eye_height - identity.brow_height + np.array([0.02, -0.25 * arch, -0.85 * arch, -0.9 * arch, 0.035])
    x -= units[4] * np.array([0.055, 0.04, 0.02, 0.01, 0.0]) + units[1] * np.array([0.012, 0.01, 0, 0, 0])
    y -= units[1] * np.array([0.150, 0.115, 0.045, 0.01, 0.0]) + units[2] * np.array([0.0, 0.045, 0.125, 0.155, 0.105])
    y += units[4] * np.array([0.115, 0.10, 0.07, 0.04, 0.02]) + units[9] * np.array([0.05, 0.035, 0.015, 0, 0])
    y += units[6] * np.array([0, 0, 0, 0.012, 0.018])
    thick = identity.brow_thickness * np.array([0.72, 1.0, 0.92, 0.66, 0.16]) * 0.5
    upper, lower = np.stack([x, y - thick], 1), np.stack([x, y + thick], 1)
    outline = np.concatenate([smooth(upper, 15), smooth(lower, 15)[::-1]]) * (side, 1.0)
    sketch.add(f"brow {name}", outline, lift=0.01)
    above = np.stack([x, y - 0.09], 1) * (side, 1.0)
    sketch.add(f"above brow {name}", smooth(above, 11))


def _nose(sketch: Sketch, identity: Identity, units: Units) -> None:
    width, top = identity.nose_width, identity.eye_height
    tip = top + identity.nose_length - 0.02 * units[9]
    lift = 0.050 * units[9] + 0.022 * units[10]
    flare = 0.012 * units[9] + 0.010 * units[10] + 0.012 * units[12]
    for side, name in SIDES:
        wing = np.array(
            [
                [width * 0.78, tip - 0.115 - lift],
                [width * 1.04 + flare, tip - 0.045 - lift],
                [width * 0.98 + flare, tip + 0.035 - lift],
                [width * 0.70, tip + 0.050 - lift * 0.8],
            ]
        )
        sketch.add(f"wing {name}", smooth(wing * (side, 1.0), 11), lift=0.03)
        hole = np.array([[width * 0.48, tip + 0.052 - lift * 0.7], [width * 0.82, tip + 0.048 - lift * 0.7]])
        sketch.add(f"nostril {name}", hole * (side, 1.0), lift=0.06)
        ridge = np.array([[width * 0.62, top - 0.06], [width * 0.42, top + 0.12], [width * 0.50, tip - 0.08]])
        sketch.add(f"ridge {name}", smooth(ridge * (side, 1.0), 9), lift=0.06)
    under = np.array([[-width * 0.42, tip + 0.055], [0.0, tip + 0.085], [width * 0.42, tip + 0.055]])
    sketch.add("nose base", smooth(under - (0, lift * 0.4), 9), lift=0.12)
    sketch.add("nose bridge", np.array([[0.0, top - 0.1], [0.0, top + 0.12], [0.0, tip - 0.02]]), lift=0.14)


def _mouth(sketch: Sketch, identity: Identity, units: Units, pose: Pose, jaw: float) -> None:
    half = identity.mouth_width * (1 + 0.30 * units[12] + 0.34 * units[20] - 0.10 * units[23] - 0.25 * pose.rounding)
    half *= 1 - 0.06 * units[17] - 0.35 * jaw
    middle = identity.mouth_height
    corner_y = middle - 0.135 * units[12] + 0.115 * units[15] + 0.020 * units[20] + 0.45 * jaw - 0.015 * units[10]
    corners = np.array([[-half, corner_y], [half, corner_y]])
    dimple = (identity.dimple_side + 1) // 2
    corners[dimple] += units[14] * np.array([identity.dimple_side * 0.055, -0.045])

    thin = (1 - 0.72 * units[23]) * (1 - 0.18 * units[20])
    upper_lip = identity.upper_lip * thin * (1 - 0.28 * units[12]) * (1 - 0.2 * units[10])
    lower_lip = identity.lower_lip * thin * (1 - 0.12 * units[12]) * (1 + 0.08 * units[17])
    seam = middle + 0.012 * units[12] - 0.010 * units[15] - 0.024 * units[17] - 0.03 * units[10]
    parted = min(1.0, units[25] + 0.6 * units[26] + pose.speech)
    rise = 0.022 * parted + 0.055 * units[10] + 0.02 * units[12] * units[25]
    gap = 0.065 * units[25] + 0.035 * units[20] * units[25] + jaw * (0.85 + 0.35 * units[25]) + 0.085 * units[16]
    gap = max(0.0, (gap + 0.4 * rise + 0.05 * pose.speech) * (1 - 0.8 * units[17]) * (1 - 0.75 * units[23]))

    x = np.array([-1.0, -0.80, -0.52, -0.22, 0.0, 0.22, 0.52, 0.80, 1.0])
    across = np.where(x < 0, -corners[0, 0] * x, corners[1, 0] * x)
    bend = np.abs(x) ** 1.7
    rest = seam + (np.where(x < 0, corners[0, 1], corners[1, 1]) - seam) * bend
    square = np.array([0.0, 0.55, 0.95, 1.0, 0.85, 1.0, 0.95, 0.55, 0.0])  # AU10 lifts the lip squarely
    inner_top = rest - rise * square
    open_at = np.array([0.0, 0.55, 0.86, 0.98, 1.0, 0.98, 0.86, 0.55, 0.0])
    inner_bottom = rest + gap * open_at
    inner_bottom += 0.030 * units[16] * np.array([0, 0.3, 0.9, 0.6, 0.5, 0.6, 0.9, 0.3, 0])
    bow = np.array([0.0, 0.36, 0.72, 1.0, 0.80, 1.0, 0.72, 0.36, 0.0])
    full = np.array([0.0, 0.42, 0.80, 0.97, 1.0, 0.97, 0.80, 0.42, 0.0])
    top = inner_top - upper_lip * bow - 0.030 * units[10] * square
    bottom = np.maximum(inner_bottom, inner_top + 0.002) + lower_lip * full
    for name, y in (("lip top", top), ("seam top", inner_top), ("seam bottom", inner_bottom), ("lip bottom", bottom)):
        sketch.add(name, smooth(np.stack([across, y], 1), 25), lift=0.04)
