"""The people of a world: everything about a face that does not move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]
"""Blue, green, red in [0, 255]."""

HAIR_STYLES = ("bald", "buzz", "short", "side", "quiff", "fringe", "bob", "long", "bun", "curly")
BEARDS = ("none", "stubble", "moustache", "goatee", "full")
GLASSES = ("none", "round", "square")

_SKINS = np.array(  # from pale to deep, BGR
    [[198, 214, 243], [176, 199, 236], [150, 181, 227], [126, 161, 212], [98, 135, 190], [78, 110, 163], [62, 86, 132]],
    dtype=np.float64,
)
_HAIRS = np.array(  # black, dark brown, brown, auburn, blond, grey, white
    [[28, 24, 26], [34, 42, 58], [44, 68, 102], [38, 62, 132], [112, 170, 212], [134, 136, 140], [206, 210, 214]],
    dtype=np.float64,
)
_IRISES = np.array([[38, 62, 96], [28, 42, 62], [168, 128, 86], [92, 130, 96], [120, 118, 106]], dtype=np.float64)
_CLOTHES = np.array(
    [[70, 60, 56], [128, 82, 48], [60, 56, 150], [84, 122, 72], [196, 196, 200], [40, 40, 44], [92, 150, 190]],
    dtype=np.float64,
)


@dataclass(frozen=True)
class Identity:
    """A person. Lengths are in face units (1 = half the height from hairline to chin), colours are BGR."""

    index: int
    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    clothes: Colour
    hair_style: str
    beard: str
    glasses: str
    hairline: float  # height of the hairline above the face's centre
    width: float  # half width at the cheekbones
    jaw: float  # width of the jaw, share of the cheekbones'
    chin: float  # width of the chin, share of the jaw's
    chin_length: float  # how far the chin reaches below the face's centre
    eye_spacing: float  # distance of an eye from the middle
    eye_height: float
    eye_width: float  # half width of an eye
    eye_opening: float  # height of the relaxed opening
    eye_slant: float  # how much higher the outer corner lies
    iris_size: float
    lashes: float  # thickness of the upper lash line
    brow_height: float  # distance of the brow from the eye
    brow_thickness: float
    brow_arch: float
    nose_width: float
    nose_length: float
    mouth_height: float
    mouth_width: float  # half width
    upper_lip: float  # height of the red part
    lower_lip: float
    age: float  # 0 to 1: depth of the lines that stay at rest
    blush: float
    dimple_side: int  # side of the unilateral dimple: -1 image left, 1 image right


def sample_identity(rng: np.random.Generator, index: int = 0) -> Identity:
    """Draw a person at random; ``index`` is only the person's number."""
    tone = rng.uniform(0, len(_SKINS) - 1)
    skin = _between(_SKINS, tone) + rng.normal(0, 3, 3)
    feminine = rng.random() < 0.5
    age = float(np.clip(rng.beta(1.3, 2.2), 0, 1))
    hair_kinds = (0.30, 0.26, 0.18, 0.08, 0.18, 0.0, 0.0) if tone < 3 else (0.66, 0.26, 0.06, 0.02, 0.0, 0.0, 0.0)
    hair = _HAIRS[rng.choice(7, p=hair_kinds)]
    if age > 0.55:
        hair = hair + (_HAIRS[rng.choice([5, 6])] - hair) * rng.uniform(0.3, 1.0)
    hair = np.clip(hair + rng.normal(0, 5, 3), 8, 225)
    styles = (
        (0.0, 0.02, 0.10, 0.10, 0.04, 0.16, 0.17, 0.19, 0.12, 0.10)
        if feminine
        else (0.12, 0.15, 0.22, 0.19, 0.17, 0.05, 0.0, 0.02, 0.0, 0.08)
    )
    beards = (1.0, 0.0, 0.0, 0.0, 0.0) if feminine else (0.52, 0.20, 0.08, 0.08, 0.12)
    redness = rng.uniform(0.28, 0.75) if feminine else rng.uniform(0.18, 0.42)
    lips = skin * (1 - redness) + skin * np.array([0.66, 0.55, 0.92]) * redness
    width = rng.uniform(0.70, 0.83)
    return Identity(
        index=index,
        skin=_colour(skin),
        hair=_colour(hair),
        iris=_colour(_IRISES[rng.choice(5, p=(0.34, 0.3, 0.14, 0.12, 0.1) if tone < 3 else (0.3, 0.7, 0, 0, 0))]),
        lips=_colour(lips),
        clothes=_colour(_CLOTHES[rng.integers(len(_CLOTHES))] + rng.normal(0, 10, 3)),
        hair_style=str(rng.choice(HAIR_STYLES, p=styles)),
        beard=str(rng.choice(BEARDS, p=beards)),
        glasses=str(rng.choice(GLASSES, p=(0.80, 0.10, 0.10))),
        hairline=rng.uniform(0.74, 0.90),
        width=width,
        jaw=rng.uniform(0.76, 0.86) if feminine else rng.uniform(0.82, 0.94),
        chin=rng.uniform(0.40, 0.54) if feminine else rng.uniform(0.46, 0.64),
        chin_length=rng.uniform(0.95, 1.08),
        eye_spacing=width * rng.uniform(0.44, 0.485),
        eye_height=rng.uniform(-0.19, -0.13),
        eye_width=width * rng.uniform(0.225, 0.26),
        eye_opening=rng.uniform(0.125, 0.175),
        eye_slant=rng.uniform(-0.015, 0.03),
        iris_size=rng.uniform(0.080, 0.092),
        lashes=rng.uniform(0.030, 0.042) if feminine else rng.uniform(0.018, 0.028),
        brow_height=rng.uniform(0.225, 0.275),
        brow_thickness=rng.uniform(0.045, 0.065) if feminine else rng.uniform(0.065, 0.10),
        brow_arch=rng.uniform(0.02, 0.07),
        nose_width=rng.uniform(0.13, 0.19),
        nose_length=rng.uniform(0.40, 0.47),
        mouth_height=rng.uniform(0.53, 0.58),
        mouth_width=rng.uniform(0.25, 0.31),
        upper_lip=rng.uniform(0.05, 0.085),
        lower_lip=rng.uniform(0.075, 0.12),
        age=age,
        blush=rng.uniform(0.1, 0.5),
        dimple_side=int(rng.choice([-1, 1])),
    )


def _between(table: np.ndarray, at: float) -> np.ndarray:
    low = min(int(at), len(table) - 2)
    return table[low] + (table[low + 1] - table[low]) * (at - low)


def _colour(values: np.ndarray) -> Colour:
    blue, green, red = (round(float(value), 1) for value in np.clip(values, 0, 255))
    return blue, green, red
