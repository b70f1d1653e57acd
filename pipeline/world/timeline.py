"""When a drawn face does what: events of action units along onset–apex–offset curves.

A :class:`Timeline` holds the whole expression of one rendered clip: the renderer draws it, the ground truth tabulates
it, and the true texts describe it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from grace.pipeline.vocabulary import INTENSITIES, Intensity
from grace.pipeline.world.actions import ACTIONS, BY_NAME

VISIBLE = 0.25
"""An action whose intensity never reaches this share of its full range is not part of the ground truth."""

BOUNDS = (0.45, 0.72, 1.01)
"""Upper bound of the apex intensity for each word of ``INTENSITIES``."""


def intensity_word(intensity: float) -> Intensity:
    """The word for an apex intensity in [0, 1].

    Example:
        >>> intensity_word(0.3), intensity_word(1.0)
        ('slightly', 'strongly')
    """
    return next(word for bound, word in zip(BOUNDS, INTENSITIES, strict=True) if intensity < bound)


@dataclass(frozen=True)
class Event:
    """One action from rest to apex and back. Times in seconds from the clip's start; intensity in [0, 1]."""

    action: str
    intensity: float
    onset: float
    apex_start: float
    apex_end: float
    offset: float

    def at(self, times: Float[np.ndarray, " frames"]) -> Float[np.ndarray, " frames"]:
        """Intensity at each time: a raised-cosine rise, a plateau, a raised-cosine fall."""
        rise = np.clip((times - self.onset) / max(self.apex_start - self.onset, 1e-6), 0.0, 1.0)
        fall = np.clip((self.offset - times) / max(self.offset - self.apex_end, 1e-6), 0.0, 1.0)
        smooth = 0.5 - 0.5 * np.cos(np.pi * np.minimum(rise, fall))
        return self.intensity * smooth

    @property
    def level(self) -> Intensity:
        """The word for the apex intensity."""
        return intensity_word(self.intensity)


@dataclass(frozen=True)
class Timeline:
    """The expression of one clip: its events and its length in seconds.

    Events are expressive actions only; blinks, speech and gaze are distractors of the scenario.
    """

    events: tuple[Event, ...]
    duration: float

    def visible(self) -> tuple[Event, ...]:
        """The visible events, in time order (by onset, then by FACS number)."""
        seen = [event for event in self.events if event.intensity >= VISIBLE]
        return tuple(sorted(seen, key=lambda event: (event.onset, BY_NAME[event.action].unit)))

    def intensities(self, times: Float[np.ndarray, " frames"]) -> Float[np.ndarray, "frames actions"]:
        """Intensity of every action at each time, columns in the order of ``ACTIONS``."""
        table = np.zeros((len(times), len(ACTIONS)), dtype=np.float32)
        for column, action in enumerate(ACTIONS):
            for event in self.events:
                if event.action == action.name:
                    table[:, column] = np.maximum(table[:, column], event.at(times))
        return table
