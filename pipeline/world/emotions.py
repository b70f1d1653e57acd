"""From an emotion to action units over time: noisy mixtures after the EMFACS prototypes (Friesen & Ekman 1983)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grace.pipeline.datasets.labels import SEVEN
from grace.pipeline.world.actions import BY_UNIT
from grace.pipeline.world.timeline import Event, Timeline

LABELS = SEVEN
SHARES = (0.209, 0.162, 0.229, 0.186, 0.126, 0.012, 0.077)
"""DFEW's long tail (Jiang et al. 2020), in the order of ``LABELS``; sums to 1.001 as published."""


@dataclass(frozen=True)
class Part:
    """One action unit of a prototype."""

    unit: int
    chance: float  # of being shown at all
    strength: float  # mean apex intensity
    lag: float = 0.0  # seconds after the expression begins


PROTOTYPES: dict[str, tuple[Part, ...]] = {
    "happiness": (
        Part(12, 0.96, 0.78), Part(6, 0.72, 0.70, 0.10), Part(25, 0.58, 0.65, 0.15), Part(26, 0.10, 0.40, 0.25),
        Part(7, 0.12, 0.40, 0.10), Part(2, 0.08, 0.40), Part(14, 0.05, 0.45),
    ),
    "sadness": (
        Part(1, 0.74, 0.66), Part(4, 0.62, 0.55, 0.15), Part(15, 0.78, 0.68, 0.35), Part(17, 0.46, 0.58, 0.45),
        Part(43, 0.12, 0.45, 0.20), Part(7, 0.14, 0.40, 0.10), Part(25, 0.10, 0.40, 0.40), Part(20, 0.06, 0.40, 0.40),
    ),
    "neutral": (),
    "anger": (
        Part(4, 0.88, 0.74), Part(7, 0.62, 0.62, 0.08), Part(5, 0.42, 0.52, 0.12), Part(23, 0.58, 0.68, 0.30),
        Part(17, 0.28, 0.50, 0.35), Part(10, 0.26, 0.52, 0.30), Part(25, 0.18, 0.50, 0.40), Part(16, 0.12, 0.45, 0.40),
        Part(9, 0.10, 0.40, 0.25),
    ),
    "surprise": (
        Part(1, 0.84, 0.72), Part(2, 0.88, 0.76), Part(5, 0.72, 0.66, 0.04), Part(25, 0.78, 0.66, 0.08),
        Part(26, 0.72, 0.68, 0.12), Part(4, 0.06, 0.35), Part(20, 0.06, 0.35, 0.20),
    ),
    "disgust": (
        Part(9, 0.78, 0.70), Part(10, 0.78, 0.68, 0.08), Part(4, 0.42, 0.50, 0.20), Part(7, 0.28, 0.45, 0.15),
        Part(15, 0.30, 0.52, 0.30), Part(16, 0.26, 0.50, 0.30), Part(17, 0.34, 0.55, 0.35), Part(25, 0.26, 0.50, 0.25),
    ),
    "fear": (
        Part(5, 0.74, 0.68), Part(1, 0.78, 0.68, 0.10), Part(4, 0.58, 0.55, 0.15), Part(2, 0.52, 0.58, 0.12),
        Part(20, 0.66, 0.66, 0.35), Part(25, 0.60, 0.60, 0.30), Part(26, 0.36, 0.52, 0.35), Part(7, 0.26, 0.42, 0.10),
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
    """Draw the expression of one clip; ``difficulty`` scales how weak, brief, incomplete and mixed it gets."""
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
    chosen = {part.unit: (part.strength, part.lag) for part in PROTOTYPES[label] if rng.random() < part.chance * keep}
    if PROTOTYPES[label] and not chosen:
        first = PROTOTYPES[label][0]
        chosen[first.unit] = (first.strength, first.lag)
    if label == "neutral" and rng.random() < 0.35 + 0.15 * difficulty:
        for unit in rng.choice(_NEUTRAL_UNITS, size=rng.integers(1, 3), replace=False):
            chosen[int(unit)] = (float(rng.uniform(0.28, 0.42)), float(rng.uniform(0.0, 0.5)))
    if rng.random() < 0.26 * difficulty:
        _blend_in(rng, chosen, label)
    if rng.random() < 0.22 * difficulty:
        unit = int(rng.choice(_NEUTRAL_UNITS))
        chosen.setdefault(unit, (float(rng.uniform(0.30, 0.50)), float(rng.uniform(0.0, 0.5))))
    return chosen


def _blend_in(rng: np.random.Generator, chosen: dict[int, tuple[float, float]], label: str) -> None:
    """Add one to three weak parts of an emotion that is easily confused with ``label``."""
    others = CONFUSED[label]
    weights = np.arange(len(others), 0, -1, dtype=float)
    other = others[rng.choice(len(others), p=weights / weights.sum())]
    parts = PROTOTYPES[other]
    if not parts:
        return
    chances = np.array([part.chance for part in parts])
    count = min(len(parts), int(rng.integers(1, 4)))
    ceiling = 0.42 if label == "neutral" else 0.60
    for index in sorted(rng.choice(len(parts), size=count, replace=False, p=chances / chances.sum())):
        part = parts[index]
        chosen.setdefault(part.unit, (float(rng.uniform(0.30, ceiling)), part.lag + float(rng.uniform(0.1, 0.6))))


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
