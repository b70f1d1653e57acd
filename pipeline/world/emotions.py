"""From an emotion to action units over time: noisy mixtures after the EMFACS prototypes (Friesen & Ekman 1983)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grace.pipeline.datasets.labels import SEVEN
from grace.pipeline.world.actions import BY_UNIT
from grace.pipeline.world.timeline import Event, Timeline

WORLD_LABELS = SEVEN
"""The emotions that the world shows: DFEW's and FERV39k's seven classes, in the canonical order."""

LABEL_SHARES = (0.209, 0.162, 0.229, 0.186, 0.126, 0.012, 0.077)
"""DFEW's long tail (Jiang et al. 2020), in the order of ``WORLD_LABELS``; sums to 1.001 as published."""


@dataclass(frozen=True)
class PrototypeUnit:
    """One action unit of an emotion's prototype."""

    unit: int  # FACS number
    chance: float  # of being shown at all
    strength: float  # mean apex intensity
    lag: float = 0.0  # seconds after the expression begins


PROTOTYPES: dict[str, tuple[PrototypeUnit, ...]] = {
    "happiness": (
        PrototypeUnit(12, 0.96, 0.78), PrototypeUnit(6, 0.72, 0.70, 0.10), PrototypeUnit(25, 0.58, 0.65, 0.15),
        PrototypeUnit(26, 0.10, 0.40, 0.25), PrototypeUnit(7, 0.12, 0.40, 0.10), PrototypeUnit(2, 0.08, 0.40),
        PrototypeUnit(14, 0.05, 0.45),
    ),
    "sadness": (
        PrototypeUnit(1, 0.74, 0.66), PrototypeUnit(4, 0.62, 0.55, 0.15), PrototypeUnit(15, 0.78, 0.68, 0.35),
        PrototypeUnit(17, 0.46, 0.58, 0.45), PrototypeUnit(43, 0.12, 0.45, 0.20), PrototypeUnit(7, 0.14, 0.40, 0.10),
        PrototypeUnit(25, 0.10, 0.40, 0.40), PrototypeUnit(20, 0.06, 0.40, 0.40),
    ),
    "neutral": (),
    "anger": (
        PrototypeUnit(4, 0.88, 0.74), PrototypeUnit(7, 0.62, 0.62, 0.08), PrototypeUnit(5, 0.42, 0.52, 0.12),
        PrototypeUnit(23, 0.58, 0.68, 0.30), PrototypeUnit(17, 0.28, 0.50, 0.35), PrototypeUnit(10, 0.26, 0.52, 0.30),
        PrototypeUnit(25, 0.18, 0.50, 0.40), PrototypeUnit(16, 0.12, 0.45, 0.40), PrototypeUnit(9, 0.10, 0.40, 0.25),
    ),
    "surprise": (
        PrototypeUnit(1, 0.84, 0.72), PrototypeUnit(2, 0.88, 0.76), PrototypeUnit(5, 0.72, 0.66, 0.04),
        PrototypeUnit(25, 0.78, 0.66, 0.08), PrototypeUnit(26, 0.72, 0.68, 0.12), PrototypeUnit(4, 0.06, 0.35),
        PrototypeUnit(20, 0.06, 0.35, 0.20),
    ),
    "disgust": (
        PrototypeUnit(9, 0.78, 0.70), PrototypeUnit(10, 0.78, 0.68, 0.08), PrototypeUnit(4, 0.42, 0.50, 0.20),
        PrototypeUnit(7, 0.28, 0.45, 0.15), PrototypeUnit(15, 0.30, 0.52, 0.30), PrototypeUnit(16, 0.26, 0.50, 0.30),
        PrototypeUnit(17, 0.34, 0.55, 0.35), PrototypeUnit(25, 0.26, 0.50, 0.25),
    ),
    "fear": (
        PrototypeUnit(5, 0.74, 0.68), PrototypeUnit(1, 0.78, 0.68, 0.10), PrototypeUnit(4, 0.58, 0.55, 0.15),
        PrototypeUnit(2, 0.52, 0.58, 0.12), PrototypeUnit(20, 0.66, 0.66, 0.35), PrototypeUnit(25, 0.60, 0.60, 0.30),
        PrototypeUnit(26, 0.36, 0.52, 0.35), PrototypeUnit(7, 0.26, 0.42, 0.10),
    ),
}  # fmt: skip

CONFUSED = {
    "happiness": ("neutral", "surprise", "disgust"),
    "sadness": ("neutral", "fear", "anger"),
    "neutral": ("sadness", "happiness", "anger", "surprise"),
    "anger": ("disgust", "sadness", "neutral"),
    "surprise": ("fear", "happiness", "neutral"),
    "disgust": ("anger", "sadness"),
    "fear": ("surprise", "sadness", "anger"),
}
"""What each emotion is mixed with, most often first."""

_RISE = {"surprise": (0.08, 0.20), "fear": (0.12, 0.28), "anger": (0.14, 0.40), "disgust": (0.14, 0.36)}
_SLOW_RISE = (0.20, 0.55)
_HOLD = {"surprise": 0.30, "fear": 0.70, "anger": 0.62, "disgust": 0.45, "sadness": 0.70, "happiness": 0.55}
_NEUTRAL_UNITS = (1, 2, 4, 6, 7, 12, 14, 15, 17, 23, 25, 26)


def sample_timeline(rng: np.random.Generator, label: str, duration: float, difficulty: float) -> Timeline:
    """Draw the expression of one clip; ``difficulty`` scales how weak, brief, incomplete and mixed it becomes.

    Args:
        rng: Draws everything.
        label: One of ``WORLD_LABELS``.
        duration: Of the clip, seconds.
        difficulty: From 0 up, as ``world.difficulty``.

    Returns:
        Events in order of their onset, with times in seconds and apex intensities in [0.27, 1].
    """
    faint = float(rng.uniform(0.50, 0.72)) if rng.random() < 0.24 * difficulty else 1.0
    brief = rng.random() < 0.18 * difficulty
    start = float(rng.uniform(0.03, 0.30)) * duration
    strengths = _mixture(rng, label, difficulty)
    events = []
    for unit, (strength, lag) in sorted(strengths.items()):
        jittered = strength * faint * float(rng.uniform(1 - 0.28 * difficulty, 1 + 0.22))
        intensity = float(np.clip(jittered, 0.27, 1.0))
        events.append(_event(rng, label, unit, intensity, start + lag, duration, brief))
    events.sort(key=lambda event: (event.onset, event.action))
    return Timeline(tuple(events), duration)


def _mixture(rng: np.random.Generator, label: str, difficulty: float) -> dict[int, tuple[float, float]]:
    """Apex strength and lag by action unit."""
    keep = 1.0 - 0.10 * difficulty
    active = {each.unit: (each.strength, each.lag) for each in PROTOTYPES[label] if rng.random() < each.chance * keep}
    if PROTOTYPES[label] and not active:
        first = PROTOTYPES[label][0]
        active[first.unit] = (first.strength, first.lag)
    if label == "neutral" and rng.random() < 0.35 + 0.15 * difficulty:
        for unit in rng.choice(_NEUTRAL_UNITS, size=rng.integers(1, 3), replace=False):
            active[int(unit)] = (float(rng.uniform(0.28, 0.42)), float(rng.uniform(0.0, 0.5)))
    if rng.random() < 0.26 * difficulty:
        _blend_in(rng, active, label)
    if rng.random() < 0.22 * difficulty:
        unit = int(rng.choice(_NEUTRAL_UNITS))
        active.setdefault(unit, (float(rng.uniform(0.30, 0.50)), float(rng.uniform(0.0, 0.5))))
    return active


def _blend_in(rng: np.random.Generator, active: dict[int, tuple[float, float]], label: str) -> None:
    """Add one to three weak action units of an emotion that is easily confused with ``label``."""
    others = CONFUSED[label]
    weights = np.arange(len(others), 0, -1, dtype=float)
    other = others[rng.choice(len(others), p=weights / weights.sum())]
    prototype = PROTOTYPES[other]
    if not prototype:
        return
    chances = np.array([each.chance for each in prototype])
    count = min(len(prototype), int(rng.integers(1, 4)))
    ceiling = 0.42 if label == "neutral" else 0.60
    for index in sorted(rng.choice(len(prototype), size=count, replace=False, p=chances / chances.sum())):
        lag = prototype[index].lag
        active.setdefault(
            prototype[index].unit, (float(rng.uniform(0.30, ceiling)), lag + float(rng.uniform(0.1, 0.6)))
        )


def _event(
    rng: np.random.Generator, label: str, unit: int, intensity: float, start: float, duration: float, brief: bool
) -> Event:
    rise = float(rng.uniform(*_RISE.get(label, _SLOW_RISE)))
    onset = min(max(0.0, start + float(rng.normal(0, 0.06))), duration - 0.75)
    apex = onset + rise
    held = not brief and rng.random() < _HOLD.get(label, 0.5)
    if held:
        apex_end = offset = duration
    else:
        length = float(rng.uniform(0.22, 0.40) if brief else rng.uniform(0.45, 1.1))
        apex_end = min(apex + length, duration)
        offset = min(apex_end + float(rng.uniform(0.20, 0.55)), duration)
    name = BY_UNIT[unit].name
    return Event(name, *(round(value, 3) for value in (intensity, onset, apex, max(apex, apex_end), offset)))
