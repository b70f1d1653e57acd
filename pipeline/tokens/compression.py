"""Tokens that take less room: the patches that matter, and int8 for float16."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, Float16, Int8, Int16

from grace.pipeline.store import Row


def select_patches(
    patches: Float16[np.ndarray, "time patches dim"],
    classes: Float16[np.ndarray, "time dim"],
    motion: Float[np.ndarray, "time rows columns"],
    count: int,
) -> tuple[Float16[np.ndarray, "time kept dim"], Int16[np.ndarray, "time kept"]]:
    """The ``count`` patches of each frame with the most motion and saliency, and their places in the patch grid.

    Motion lies in [0, 1] over the clip; saliency is the cosine of a patch to its frame's class token, brought to [0, 1]
    over the frame. Their sum decides: where the face rests, what tells most of the frame is kept. Places ascend.
    """
    side = round(patches.shape[1] ** 0.5)
    moved = np.stack(
        [cv2.resize(frame.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA).ravel() for frame in motion]
    )
    score = moved + saliency(patches, classes)
    place = np.sort(np.argsort(-score, axis=1, kind="stable")[:, :count], axis=1)
    return np.take_along_axis(patches, place[..., None], axis=1), place.astype(np.int16)


def saliency(
    patches: Float16[np.ndarray, "time patches dim"], classes: Float16[np.ndarray, "time dim"]
) -> Float[np.ndarray, "time patches"]:
    """Cosine of each patch to its frame's class token, from 0 for the least to 1 for the greatest of the frame."""
    values, whole = patches.astype(np.float32), classes.astype(np.float32)
    cosine = np.einsum("tpd,td->tp", values, whole) / np.maximum(np.linalg.norm(values, axis=-1), 1e-6)
    least, greatest = cosine.min(1, keepdims=True), cosine.max(1, keepdims=True)
    return np.asarray((cosine - least) / np.maximum(greatest - least, 1e-6))


def quantize_row(row: Row) -> Row:
    """A row with its tokens as int8 and a scale beside each column of them."""
    made = dict(row)
    for name in ("visual", "frame", "text"):
        made[name], made[f"{name}_scale"] = as_int8(row[name])
    return made


def as_int8(
    tokens: Float16[np.ndarray, "*shape dim"],
) -> tuple[Int8[np.ndarray, "*shape dim"], Float[np.ndarray, "*shape"]]:
    """int8 and a scale for each token, its greatest value over 127: token = int8 × scale, zero stays zero."""
    values = tokens.astype(np.float32)
    scale = np.abs(values).max(axis=-1) / 127
    values /= np.where(scale == 0, 1, scale)[..., None]
    return np.rint(values, out=values).astype(np.int8), scale
