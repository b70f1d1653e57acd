"""Smaller token stores: fewer patches per frame, and int8 in place of float16."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, Float16, Int8, Int16

from grace.pipeline.store import Row

TOKEN_NAMES = ("visual", "frame", "text", "mirrored_visual", "mirrored_frame", "other_text")
"""The columns of a row that hold tokens."""


def select_patches(
    patches: Float16[np.ndarray, "time patches dim"],
    classes: Float16[np.ndarray, "time dim"],
    motion: Float[np.ndarray, "time rows columns"],
    count: int,
) -> tuple[Float16[np.ndarray, "time kept dim"], Int16[np.ndarray, "time kept"]]:
    """The ``count`` patches of each frame with the most motion and saliency.

    The score of a patch is its motion plus its :func:`saliency`: where the face rests, saliency decides.

    Args:
        patches: Patch tokens, row by row of a square grid.
        classes: The class token of each frame.
        motion: The clip's motion map in [0, 1]; it is averaged to the patch grid.
        count: Patches to keep per frame, fewer than there are.

    Returns:
        The patches kept and their indices in the patch grid, ascending.

    Example:
        >>> patches, classes = np.zeros((1, 4, 8), np.float16), np.ones((1, 8), np.float16)
        >>> motion = np.array([[[0.1, 0.9], [0.0, 0.5]]], np.float32)
        >>> kept, indices = select_patches(patches, classes, motion, count=2)
        >>> kept.shape, indices.tolist()
        ((1, 2, 8), [[1, 3]])
    """
    side = round(patches.shape[1] ** 0.5)
    pooled = np.stack(
        [cv2.resize(frame.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA).ravel() for frame in motion]
    )
    score = pooled + saliency(patches, classes)
    indices = np.sort(np.argsort(-score, axis=1, kind="stable")[:, :count], axis=1)
    return np.take_along_axis(patches, indices[..., None], axis=1), indices.astype(np.int16)


def saliency(
    patches: Float16[np.ndarray, "time patches dim"], classes: Float16[np.ndarray, "time dim"]
) -> Float[np.ndarray, "time patches"]:
    """Cosine of each patch to its frame's class token, scaled to [0, 1] within the frame."""
    values, whole = patches.astype(np.float32), classes.astype(np.float32)
    cosine = np.einsum("tpd,td->tp", values, whole) / np.maximum(np.linalg.norm(values, axis=-1), 1e-6)
    least, greatest = cosine.min(1, keepdims=True), cosine.max(1, keepdims=True)
    return np.asarray((cosine - least) / np.maximum(greatest - least, 1e-6))


def quantize_row(row: Row) -> Row:
    """A row of tokens as int8 with one scale per token: token = int8 × scale.

    Args:
        row: A row with ``visual`` [T, P, D], ``frame`` [T, D] and ``text`` [L, D], float16, and perhaps those of
            further views and texts.

    Returns:
        The row with these as int8, and ``visual_scale`` [T, P], ``frame_scale`` [T], ``text_scale`` [L] and so on as
        float32 beside them.

    Example:
        >>> tokens = np.array([[1.0, -0.5], [0.0, 0.0]], np.float16)
        >>> row = quantize_row({"visual": tokens[None], "frame": tokens, "text": tokens})
        >>> row["frame"].tolist(), row["frame_scale"].round(4).tolist()
        ([[127, -64], [0, 0]], [0.007899999618530273, 0.0])
    """
    quantized = dict(row)
    for name in TOKEN_NAMES:
        if name not in row:
            continue
        quantized[name], quantized[f"{name}_scale"] = as_int8(row[name])
    return quantized


def as_int8(
    tokens: Float16[np.ndarray, "*shape dim"],
) -> tuple[Int8[np.ndarray, "*shape dim"], Float[np.ndarray, "*shape"]]:
    """int8 and a scale for each token, its largest absolute value over 127: token = int8 × scale, zero stays zero."""
    values = tokens.astype(np.float32)
    scale = np.abs(values).max(axis=-1) / 127
    values /= np.where(scale == 0, 1, scale)[..., None]
    return np.rint(values, out=values).astype(np.int8), scale
