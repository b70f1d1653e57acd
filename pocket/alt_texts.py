"""Alternative texts of rendered pictures, as the web has them: who is seen and where, rarely what the face does.

CLIP's own training texts name people, hair, clothes, light and scene. An expression is one word if it is there at all,
and the word is often wrong. ``EXPRESSION_SHARE`` and ``WRONG_SHARE`` are the bench's knobs (``benchmarks/bench.md``).
"""

from __future__ import annotations

import numpy as np

from grace.pipeline.world.emotions import WORLD_LABELS
from grace.pipeline.world.identity import Identity
from grace.pipeline.world.scenario import Scenario, Scene
from grace.pipeline.world.timeline import VISIBLE

EXPRESSION_SHARE = 0.50
"""Share of the texts with a word for the expression: of what shows in the picture, which is calm before an onset."""
WRONG_SHARE = 0.15
"""Share of those words that belong to another, random label."""

EXPRESSIONS = {
    "happiness": ("smiling", "happy", "laughing"),
    "sadness": ("sad", "unhappy", "crying"),
    "neutral": ("serious", "calm", "quiet"),
    "anger": ("angry", "furious", "shouting"),
    "surprise": ("surprised", "astonished", "amazed"),
    "disgust": ("disgusted", "annoyed", "sickened"),
    "fear": ("scared", "frightened", "worried"),
}

_LASHES_OF_WOMEN = 0.029  # the two ranges of ``sample_identity`` do not meet
_OPENINGS = ("a photo of", "a picture of", "a still of", "a portrait of", "a close-up of", "")
_CLOTHES = ("grey", "blue", "red", "green", "white", "black", "brown")
_CLOTHES_BGR = np.array(
    [[70, 60, 56], [128, 82, 48], [60, 56, 150], [84, 122, 72], [196, 196, 200], [40, 40, 44], [92, 150, 190]]
)
_HAIR = ("black", "dark brown", "brown", "auburn", "blond", "grey", "white")
_HAIR_BGR = np.array(
    [[28, 24, 26], [34, 42, 58], [44, 68, 102], [38, 62, 132], [112, 170, 212], [134, 136, 140], [206, 210, 214]]
)


def alt_text(rng: np.random.Generator, scenario: Scenario, person: Identity, time: float) -> str:
    """A text for one picture of a clip.

    Args:
        rng: what the text's author happens to mention.
        scenario: the clip.
        person: its person.
        time: of the picture, seconds.

    Returns:
        One phrase without a full stop, as alternative texts are.

    Example:
        >>> from grace.pocket.render_dataset import training_scenario
        >>> scenario, person = training_scenario(1000, 0)
        >>> alt_text(np.random.default_rng(1), scenario, person, 0.5)
        'a still of an old man with no hair, in a blue shirt, out of focus'
    """
    scene = [each for each in scenario.scenes if each.start <= time][-1]
    said = [_who(rng, _shown(scenario, time), person)]
    details = [*_person(person), *_place(scenario, scene), *_camera(scene)]
    picked = rng.permutation(len(details))[: int(rng.integers(1, 4))]
    with_ = [details[index] for index in sorted(picked)]
    return f"{rng.choice(_OPENINGS)} {', '.join([' '.join([said[0], with_[0]]), *with_[1:]])}".strip()


def _shown(scenario: Scenario, time: float) -> str:
    """What a person who sees the picture alone may call the expression."""
    return scenario.label if scenario.timeline.intensities(np.array([time])).max() >= VISIBLE else "neutral"


def _who(rng: np.random.Generator, shown: str, person: Identity) -> str:
    noun = "woman" if person.lashes > _LASHES_OF_WOMEN else "man"
    age = "old" if person.age > 0.55 else "young" if person.age < 0.25 else ""
    word = ""
    if rng.random() < EXPRESSION_SHARE:
        label = str(rng.choice(WORLD_LABELS)) if rng.random() < WRONG_SHARE else shown
        word = str(rng.choice(EXPRESSIONS[label]))
    words = [each for each in (word, age, noun) if each]
    return f"{'an' if words[0][0] in 'aeiou' else 'a'} {' '.join(words)}"


def _person(person: Identity) -> list[str]:
    style = {"bald": "no hair", "buzz": "very short hair"}.get(person.hair_style)
    colour = _HAIR[_nearest(_HAIR_BGR, person.hair)]
    curls = f"{person.hair_style} " if person.hair_style in ("long", "curly", "short") else ""
    found = [f"with {style or f'{curls}{colour} hair'}"]
    if person.glasses != "none":
        found.append(f"with {person.glasses} glasses")
    if person.beard != "none":
        found.append(f"with a {person.beard}" if person.beard in ("moustache", "goatee") else "with a beard")
    found.append(f"in a {_CLOTHES[_nearest(_CLOTHES_BGR, person.clothes)]} shirt")
    return found


def _place(scenario: Scenario, scene: Scene) -> list[str]:
    kinds = {each.kind for each in scenario.distractors}
    found = ["in a busy street" if "background" in kinds else "in front of a plain wall"]
    found.append("in dim light" if scene.gain < 0.92 else "in bright light" if scene.gain > 1.02 else "indoors")
    if abs(scene.light) > 0.5:
        found.append(f"lit from the {'left' if scene.light < 0 else 'right'}")
    if "subtitle" in kinds:
        found.append("with subtitles")
    if "hand" in kinds:
        found.append("with a hand at the face")
    return found


def _camera(scene: Scene) -> list[str]:
    found = ["close to the camera" if scene.scale > 0.32 else "seen from afar" if scene.scale < 0.28 else "in a film"]
    if abs(scene.yaw) > 0.1:
        found.append("turned to one side")
    if scene.blur > 0:
        found.append("out of focus")
    return found


def _nearest(table: np.ndarray, colour: tuple[float, float, float]) -> int:
    return int(np.argmin(((table - np.array(colour)) ** 2).sum(1)))
