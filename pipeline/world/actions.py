"""What a drawn face can do: FACS action units, the region that each one moves, and the words for it.

The renderer, the ground truth, the true texts and the benchmarks share this vocabulary: ``ACTIONS`` lists the action
units, ``BY_NAME`` and ``BY_UNIT`` find one.
Source: Ekman, Friesen & Hager, *Facial Action Coding System* (2002).

Example:
    >>> BY_UNIT[12]
    Action(unit=12, name='lip corner pull', region='mouth', subject='the lip corners', verb='pull up')
    >>> [action.unit for action in ACTIONS if action.region == "brows"]
    [1, 2, 4]
"""

from __future__ import annotations

from dataclasses import dataclass

from grace.pipeline.vocabulary import Region


@dataclass(frozen=True)
class Action:
    """One action unit: its FACS number, the region that it moves, and its words.

    ``subject verb`` is a plain sentence ("the inner brows rise"); ``name`` is its key in cues and ground truth.
    """

    unit: int
    name: str
    region: Region
    subject: str
    verb: str


ACTIONS: tuple[Action, ...] = (
    Action(1, "inner brow raise", "brows", "the inner brows", "rise"),
    Action(2, "outer brow raise", "brows", "the outer brows", "arch upward"),
    Action(4, "brow lower", "brows", "the brows", "lower and draw together"),
    Action(5, "lid raise", "eyes", "the upper eyelids", "lift wide open"),
    Action(6, "cheek raise", "cheeks", "the cheeks", "lift and bunch"),
    Action(7, "lid tighten", "eyes", "the eyelids", "tighten and narrow"),
    Action(9, "nose wrinkle", "nose", "the nose", "wrinkles"),
    Action(10, "upper lip raise", "mouth", "the upper lip", "curls upward"),
    Action(12, "lip corner pull", "mouth", "the lip corners", "pull up"),
    Action(14, "dimple", "mouth", "one lip corner", "tucks into a dimple"),
    Action(15, "lip corner drop", "mouth", "the lip corners", "turn down"),
    Action(16, "lower lip drop", "mouth", "the lower lip", "drops"),
    Action(17, "chin raise", "jaw", "the chin", "pushes up"),
    Action(20, "lip stretch", "mouth", "the lips", "stretch sideways"),
    Action(23, "lip tighten", "mouth", "the lips", "press into a thin line"),
    Action(25, "lips part", "mouth", "the lips", "part"),
    Action(26, "jaw drop", "jaw", "the jaw", "drops open"),
    Action(43, "eyes close", "eyes", "the eyes", "close"),
)

BY_NAME: dict[str, Action] = {action.name: action for action in ACTIONS}
BY_UNIT: dict[int, Action] = {action.unit: action for action in ACTIONS}
