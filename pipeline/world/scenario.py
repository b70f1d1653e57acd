"""Everything random about a clip, drawn before the first frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grace.pipeline.world.emotions import sample_timeline
from grace.pipeline.world.identity import Identity
from grace.pipeline.world.layouts import LAYOUTS
from grace.pipeline.world.settings import WorldSettings
from grace.pipeline.world.timeline import Timeline

CHANCES = {
    "yaw": 0.50,
    "pitch": 0.35,
    "roll": 0.35,
    "shift": 0.35,
    "gaze": 0.45,
    "speech": 0.30,
    "shake": 0.25,
    "flicker": 0.15,
    "light": 0.25,
    "subtitle": 0.22,
    "hand": 0.08,
    "hair": 0.08,
    "background": 0.25,
    "cut": 0.12,
}
"""Probability of each distractor per clip at difficulty 1, whatever the label. Blinks have a rate of their own."""

_BLINKS_PER_SECOND = 0.35
_BLINK = 0.26  # seconds


@dataclass(frozen=True)
class Distractor:
    """Something that changes the picture and carries no emotion. Times in seconds, strength in [0, 1]."""

    kind: str
    start: float
    end: float
    strength: float


@dataclass(frozen=True)
class Scene:
    """One camera position, from ``start`` (seconds) until the next scene."""

    start: float
    x: float  # the head's centre, shares of the picture
    y: float
    scale: float  # a face unit, share of the picture's side
    yaw: float
    pitch: float
    roll: float
    light: float  # from which side, -1 to 1
    gain: float
    warmth: float
    blur: float  # of the camera, pixels in a picture of 224
    noise: float  # standard deviation, grey levels
    background: int  # seed


@dataclass(frozen=True)
class Scenario:
    """Everything about a clip but its person. A frame depends on the person, the scenario and the frame's time only."""

    clip_id: str
    identity: int
    label: str
    timeline: Timeline
    scenes: tuple[Scene, ...]
    distractors: tuple[Distractor, ...]
    seed: int

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.timeline.duration


def sample_scenario(
    rng: np.random.Generator, identity: Identity, label: str, settings: WorldSettings, clip_id: str = ""
) -> Scenario:
    """Draw one clip of a person who shows an emotion.

    Args:
        rng: source of everything random about the clip.
        identity: the person.
        label: one of ``emotions.WORLD_LABELS``.
        settings: section ``world`` of ``params.yaml``; difficulty and layout count here.
        clip_id: id of the clip.

    Returns:
        The expression over time (``timeline``), camera positions and distractors. Distractors do not depend on the
        label.

    Example:
        >>> from grace.pipeline.world.identity import sample_identity
        >>> rng = np.random.default_rng(0)
        >>> scenario = sample_scenario(rng, sample_identity(rng), "surprise", WorldSettings(), "00001")
        >>> scenario.label, 1.6 <= scenario.duration <= 2.6
        ('surprise', True)
    """
    duration = round(float(rng.uniform(1.6, 2.6)), 2)
    timeline = sample_timeline(rng, label, duration, settings.difficulty)
    # Distractors and scenes have a generator of their own, so that nothing about the expression can leak into them.
    nuisance = np.random.default_rng(rng.integers(2**63))
    cropped = LAYOUTS[settings.layout].cropped
    distractors = _distractors(nuisance, duration, settings.difficulty)
    scenes = [_scene(nuisance, 0.0, cropped)]
    scenes += [_scene(nuisance, item.start, cropped) for item in distractors if item.kind == "cut"]
    seed = int(nuisance.integers(2**31))
    return Scenario(clip_id, identity.index, label, timeline, tuple(scenes), distractors, seed)


def _distractors(rng: np.random.Generator, duration: float, difficulty: float) -> tuple[Distractor, ...]:
    found = []
    for kind, chance in CHANCES.items():
        appears, strength = rng.random() < min(0.95, chance * difficulty), float(rng.uniform(0.3, 1.0))
        start = float(rng.uniform(0.0, 0.5)) * duration
        end = min(duration, start + float(rng.uniform(0.4, 1.0)) * duration)
        if kind in ("shake", "flicker", "light", "subtitle", "background"):
            start, end = 0.0, duration
        if kind == "cut":
            start = end = float(rng.uniform(0.3, 0.7)) * duration
        if appears:
            found.append(Distractor(kind, round(start, 3), round(end, 3), round(strength, 3)))
    for _ in range(rng.poisson(_BLINKS_PER_SECOND * duration)):
        start = float(rng.uniform(0.0, duration - _BLINK))
        found.append(Distractor("blink", round(start, 3), round(start + _BLINK, 3), 1.0))
    return tuple(found)


def _scene(rng: np.random.Generator, start: float, cropped: bool) -> Scene:
    scale = float(rng.uniform(0.40, 0.44) if cropped else rng.uniform(0.25, 0.35))
    slack = 0.02 if cropped else 0.42 - 0.92 * scale
    return Scene(
        start=start,
        x=0.5 + float(rng.uniform(-slack, slack)),
        y=0.50 + 0.10 * (0.35 - scale) + float(rng.uniform(-0.4, 0.4)) * slack,
        scale=scale,
        yaw=float(np.clip(rng.normal(0, 0.10), -0.25, 0.25)),
        pitch=float(np.clip(rng.normal(0, 0.05), -0.12, 0.12)),
        roll=float(np.clip(rng.normal(0, 0.05), -0.15, 0.15)),
        light=float(rng.uniform(-1, 1)),
        gain=float(rng.uniform(0.80, 1.12)),
        warmth=float(rng.normal(0, 0.05)),
        blur=float(rng.choice([0.0, 0.0, 0.5, 0.8])),
        noise=float(rng.uniform(0.5, 4.0)),
        background=int(rng.integers(2**31)),
    )
