"""What a world fixes about a clip before its scenario is drawn: person, label and fold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClipSpec:
    """One clip of a world: who shows which emotion, and the fold that tests it."""

    number: int  # from 0
    clip_id: str
    identity: int  # number of the person
    label: str
    fold: int  # from 1
