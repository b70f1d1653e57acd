"""Which of its texts and views a clip gives to a batch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Int

TEXT = ("text", "text_mask", "sentence", "text_scale")
"""Columns of a text; those of further texts have ``other_`` before them."""
VIEW = ("visual", "frame", "visual_scale", "frame_scale", "patch_index")
"""Columns of a view of the video; those of the mirrored one have ``mirrored_`` before them."""

Stored = dict[str, np.ndarray]


def text_counts(stored: Mapping[str, np.ndarray]) -> Int[np.ndarray, " batch"]:
    """How many texts each clip has; a clip without any counts as one.

    Example:
        >>> mask = np.array([[[True, False], [False, False]]])  # two more texts, of which the second one is empty
        >>> text_counts({"text_mask": mask[:, 0], "other_text_mask": mask})
        array([2])
    """
    ones = np.ones(len(stored["text_mask"]), np.int64)
    others = stored.get("other_text_mask")
    return ones if others is None else ones + others.any(2).sum(1)


def with_text(stored: Stored, which: Int[np.ndarray, " batch"]) -> Stored:
    """The columns with text number ``which`` of each clip in the place of its first one."""
    out = {name: array for name, array in stored.items() if not name.startswith("other_")}
    if not which.any():
        return out
    changed = np.flatnonzero(which)
    for name in TEXT:
        if f"other_{name}" in stored:
            out[name] = stored[name].copy()
            out[name][changed] = stored[f"other_{name}"][changed, which[changed] - 1]
    return out


def mirrored(stored: Stored, which: Bool[np.ndarray, " batch"]) -> Stored:
    """The columns with the mirrored view, and mirrored motion, of the clips that ``which`` marks."""
    out = {name: array for name, array in stored.items() if not name.startswith("mirrored_")}
    if not which.any():
        return out
    for name in VIEW:
        if f"mirrored_{name}" in stored:
            out[name] = stored[name].copy()
            out[name][which] = stored[f"mirrored_{name}"][which]
    out["motion"] = stored["motion"].copy()
    out["motion"][which] = stored["motion"][which, :, :, ::-1]
    return out
