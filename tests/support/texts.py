"""A caption, a cue and a well-formed description of it, as the text stages write them."""

from __future__ import annotations

import json

CAPTION = "At first the brows rise slightly. Then the lips part."
CUE = {"region": "brows", "action": "inner brow raise", "intensity": "slightly", "phase": "onset"}
GOOD = json.dumps({"description": "The brows rise slightly. The lips part.", "cues": [CUE]})
