"""The words by which cues, texts and the rendered world name a movement of the face: region, intensity, phase."""

from __future__ import annotations

import re
from typing import Literal, get_args

Region = Literal["brows", "eyes", "nose", "cheeks", "mouth", "jaw"]
"""Where in the face something moves, from top to bottom."""
Intensity = Literal["slightly", "clearly", "strongly"]
"""How strongly it moves."""
Phase = Literal["onset", "apex", "offset"]
"""How far the movement has come when the clip ends: still rising, held, or relaxed again."""

REGIONS: tuple[Region, ...] = get_args(Region)
INTENSITIES: tuple[Intensity, ...] = get_args(Intensity)
PHASES: tuple[Phase, ...] = get_args(Phase)

CUE_FIELDS = ("region", "action", "intensity", "phase")
"""What a cue says."""

REGION_WORDS: dict[str, str] = {
    "brows": r"(?:eye)?brows?|forehead",
    "eyes": r"eyes?|(?:eye)?lids?|gaze|blink\w*|squint\w*|wink\w*",
    "nose": r"noses?|nostrils?",
    "cheeks": r"cheeks?",
    "mouth": r"mouths?|lips?|smil\w+|grin\w*|teeth|tongue|pout\w*",
    "jaw": r"jaws?|chins?",
}
"""Region to the words by which a text names it, as a regular expression."""

_REGION_PATTERNS = {region: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for region, words in REGION_WORDS.items()}


def regions_in(text: str) -> set[str]:
    """The regions of the face that a text mentions, whatever it says of them.

    Example:
        >>> sorted(regions_in("Her eyebrows lift and the eyelids narrow."))
        ['brows', 'eyes']
    """
    return {region for region, pattern in _REGION_PATTERNS.items() if pattern.search(text)}
