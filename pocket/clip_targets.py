"""The texts that the pocket CLIP is trained on, and how well each fits a frame."""

from __future__ import annotations

import numpy as np

from grace.pipeline.vocabulary import INTENSITIES, PHASES
from grace.pipeline.world.actions import ACTIONS
from grace.pipeline.world.sentences import WHEN_FINE, Clause, description_from_clauses, moment_sentence
from grace.pipeline.world.timeline import VISIBLE

CENTRES = dict(zip(INTENSITIES, (0.33, 0.58, 0.86), strict=True))
"""The intensity that each word means."""


def action_sentences(rng: np.random.Generator) -> tuple[list[str], np.ndarray]:
    """A sentence for each action at a random level, as a moment or a description, and the levels' intensities."""
    levels = [INTENSITIES[rng.integers(len(INTENSITIES))] for _ in ACTIONS]
    texts = []
    for action, level in zip(ACTIONS, levels, strict=True):
        if rng.random() < 0.5:
            texts.append(moment_sentence([(action, CENTRES[level])]))
        else:
            clause = Clause(action, level, PHASES[rng.integers(len(PHASES))], int(rng.integers(len(WHEN_FINE))))
            texts.append(description_from_clauses([clause]))
    return texts, np.array([CENTRES[level] for level in levels], dtype=np.float32)


def nearness(intensities: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """How well each action's sentence fits each frame, in [0, 1]: 0 for an action that is not visible."""
    near = np.clip(1 - np.abs(intensities - centres) / 0.45, 0.0, 1.0)
    return np.where(intensities < VISIBLE / 2, 0.0, 0.25 + 0.75 * near).astype(np.float32)


def moment_sentences(truth: np.ndarray) -> list[str]:
    """One sentence per frame with all its visible actions, by FACS number."""
    return [
        moment_sentence(
            [(action, float(value)) for action, value in zip(ACTIONS, row, strict=False) if value >= VISIBLE]
        )
        for row in truth
    ]
