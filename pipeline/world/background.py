"""What is behind and in front of the person: backgrounds, hands, locks of hair, subtitles."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from grace.pipeline.world.curves import smooth
from grace.pipeline.world.identity import Colour, Identity
from grace.pipeline.world.motion_curves import envelope
from grace.pipeline.world.paint import Image, fill, shade, stroke, strokes
from grace.pipeline.world.pose import Pose, project
from grace.pipeline.world.scenario import Distractor

MARGIN = 0.06  # of the picture's side, so that a shaking camera sees no edge

_WORDS = (
    "i told you",
    "you never said that",
    "wait for me",
    "it is late",
    "where were you",
    "come with me",
    "look at this",
    "not now",
    "we have to go",
    "what did he say",
    "tell me again",
    "nobody knows",
    "it was raining",
    "close the door",
    "i heard it too",
)


@lru_cache(maxsize=8)
def background(seed: int, size: int, busy: bool) -> Image:
    """A blurred room or street, ``MARGIN`` larger than the picture on every side. Read-only, since it is cached.

    Args:
        seed: Decides all of it.
        size: Side of the picture, pixels.
        busy: Whether there are more and smaller things, less blurred.

    Returns:
        [side, side, 3], uint8 BGR, of (1 + 2 ``MARGIN``) × ``size`` pixels per side.

    Example:
        >>> background(0, size=100, busy=False).shape
        (112, 112, 3)
    """
    rng = np.random.default_rng((seed, 7))
    side = round(size * (1 + 2 * MARGIN))
    first, second = np.array(_muted(rng, 60.0, 205.0)), np.array(_muted(rng, 40.0, 190.0))
    ramp = np.linspace(0, 1, side)[:, None, None]
    image = np.broadcast_to(first + (second - first) * ramp, (side, side, 3)).astype(np.uint8)
    image = np.ascontiguousarray(image)
    for _ in range(int(rng.integers(14, 30)) if busy else int(rng.integers(2, 7))):
        colour = _muted(rng, 20.0, 235.0)
        x, y = rng.uniform(0, side, 2)
        width, height = rng.uniform(0.05, 0.35 if busy else 0.6, 2) * side
        corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])
        if rng.random() < 0.6:
            fill(image, corners, colour)
        else:
            centre = (round(x), round(y))
            cv2.circle(image, centre, round(min(width, height)), colour, -1, cv2.LINE_AA)
    blur = size / 224 * (float(rng.uniform(0.6, 2.0)) if busy else float(rng.uniform(3, 8)))
    image = cv2.GaussianBlur(image, (0, 0), blur)
    image.setflags(write=False)
    return image


def _muted(rng: np.random.Generator, low: float, high: float) -> Colour:
    """A random colour near grey."""
    blue, green, red = np.clip(rng.uniform(low, high) + rng.normal(0, 20, 3), 5, 245).tolist()
    return blue, green, red


def paint_background(image: Image, seed: int, camera: tuple[float, float], strength: float, time: float) -> None:
    """Fill the picture; a busy background (``strength`` > 0) also has people who walk past.

    Args:
        image: The square picture, painted in place.
        seed: Of the background.
        camera: How far a shaking camera moves the background to the right and down, pixels.
        strength: In [0, 1], how fast people walk past; 0 for none.
        time: Seconds from the clip's start.
    """
    size = image.shape[0]
    canvas = background(seed, size, strength > 0)
    move = np.array([[1, 0, camera[0] - MARGIN * size], [0, 1, camera[1] - MARGIN * size]], np.float64)
    cv2.warpAffine(canvas, move, (image.shape[1], size), dst=image, flags=cv2.INTER_LINEAR)
    if strength > 0:
        rng = np.random.default_rng((seed, 8))
        for _ in range(1 + int(rng.integers(0, 2))):
            colour = _muted(rng, 20.0, 190.0)
            x = (rng.uniform(-0.3, 1.3) + rng.choice([-1, 1]) * rng.uniform(0.15, 0.5) * strength * time) * size
            width, top = rng.uniform(0.06, 0.14) * size, rng.uniform(0.05, 0.4) * size
            cv2.circle(image, (round(x * 16), round(top * 16)), round(width * 8), colour, -1, cv2.LINE_AA, 4)
            fill(
                image,
                np.array(
                    [
                        [x - width, size],
                        [x - width * 0.8, top + width * 0.5],
                        [x + width * 0.8, top + width * 0.5],
                        [x + width, size],
                    ]
                ),
                colour,
            )


def paint_hand(
    image: Image, identity: Identity, pose: Pose, distractor: Distractor, time: float, rng: np.random.Generator
) -> None:
    """A hand that rises to cheek, chin or brow and sinks again.

    Args:
        image: The picture, painted in place.
        identity: The person, whose skin it has.
        pose: The head's, beside which it rises.
        distractor: When it rises and sinks.
        time: Seconds from the clip's start.
        rng: Chooses side and goal; it must be seeded alike for every frame of a clip.
    """
    side = rng.choice([-1.0, 1.0])
    goal = np.array([(0.62, 0.55), (0.10, 0.98), (0.60, -0.45)][int(rng.integers(3))]) * (side, 1.0)
    here = float(envelope(np.array([time]), distractor.start, distractor.end, 0.35)[0])
    if here <= 0:
        return
    away = np.array([side * 1.6, 2.6])
    wrist = away + (goal - away) * here
    tilt = np.arctan2(*(goal - away)[::-1]) + np.pi / 2
    turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    skin, edge = shade(identity.skin, 0.90), shade(identity.skin, 0.55)

    def at(points: list[list[float]]) -> np.ndarray:
        placed = np.array(points) @ turn.T + wrist
        return project(placed, np.full(len(placed), 0.3), pose)

    palm = at(
        [
            [-0.22, 0.05],
            [-0.24, 0.45],
            [-0.15, 0.65],
            [-0.18, 2.4],
            [0.18, 2.4],
            [0.15, 0.65],
            [0.24, 0.45],
            [0.22, 0.05],
        ]
    )
    outline = smooth(palm, 40, closed=True)
    fill(image, outline, skin)
    stroke(image, outline, edge, 0.02 * pose.scale, closed=True)
    for column, reach in enumerate((0.22, 0.30, 0.28, 0.18)):
        x = -0.165 + 0.11 * column
        finger = at([[x, 0.12], [x * 1.15, 0.12 - reach]])
        stroke(image, finger, edge, 0.135 * pose.scale)
        stroke(image, finger, skin, 0.105 * pose.scale)
    thumb = at([[-0.20, 0.42], [-0.34, 0.20]])
    stroke(image, thumb, edge, 0.14 * pose.scale)
    stroke(image, thumb, skin, 0.11 * pose.scale)


def paint_lock(
    image: Image, identity: Identity, pose: Pose, distractor: Distractor, time: float, rng: np.random.Generator
) -> None:
    """A lock of hair that swings in front of one side of the face.

    Args:
        image: The picture, painted in place.
        identity: The person, whose hair it is.
        pose: The head's, in front of which it swings.
        distractor: Its strength in [0, 1] says how wide the lock is.
        time: Seconds from the clip's start.
        rng: Chooses side and swing; it must be seeded alike for every frame of a clip.
    """
    side, wide = rng.choice([-1.0, 1.0]), 0.5 + 0.5 * distractor.strength
    swing = 0.06 * np.sin(2 * np.pi * rng.uniform(0.5, 1.1) * time + rng.uniform(0, 6.28))
    inner = np.array(
        [[0.10, -1.02], [0.40 - 0.14 * wide, -0.55], [0.56 - 0.12 * wide + swing, 0.05], [0.62 + 1.6 * swing, 0.55]]
    )
    outer = np.array([[0.70, 0.42], [0.84, 0.0], [0.80, -0.60], [0.45, -1.08]])
    shape = np.concatenate([smooth(inner, 12), smooth(outer, 12)]) * (side, 1)
    pixels = project(shape, np.full(len(shape), 0.42), pose)
    fill(image, pixels, identity.hair)
    strands = [pixels[:12] + (pixels[23:11:-1] - pixels[:12]) * share for share in (0.25, 0.5, 0.75)]
    strokes(image, strands, shade(identity.hair, 1.3), 1.0)


def paint_subtitle(image: Image, distractor: Distractor, time: float, rng: np.random.Generator) -> None:
    """Burnt-in words at the bottom, changing about once a second.

    Args:
        image: The picture, painted in place.
        distractor: Its strength in [0, 1] says how large the letters are.
        time: Seconds from the clip's start.
        rng: Chooses words, pace and colour; it must be seeded alike for every frame of a clip.
    """
    size = image.shape[0]
    pace, yellow = float(rng.uniform(0.6, 1.2)), rng.random() < 0.3
    order = rng.permutation(len(_WORDS))
    words = _WORDS[order[int(time / pace) % len(order)]]
    scale = size / 224 * (0.36 + 0.12 * distractor.strength)
    (width, height), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    at = (max(2, (size - width) // 2), round(size * 0.95) - height // 4)
    cv2.putText(image, words, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (12, 12, 12), 3, cv2.LINE_AA)
    colour = (90, 230, 240) if yellow else (245, 245, 245)
    cv2.putText(image, words, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
