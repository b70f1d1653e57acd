"""``world`` in ``params.yaml``: the rendered world."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from grace.pipeline.section import Count, NotNegative, Positive, Section


class WorldSettings(Section):
    """The rendered world (``grace world``)."""

    clips: Count = 240
    seed: int = 1
    identities: Count = 40
    folds: Count = 5
    size: Annotated[int, Field(ge=96)] = 224  # pixels, square frames
    fps: Positive = 25.0
    layout: Literal["folder", "mafw", "dfew", "ferv39k"] = "folder"
    difficulty: NotNegative = 1.0  # scales how mixed and weak expressions are, and how many distractors there are
