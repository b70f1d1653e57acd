"""Encoded pictures to pixels: the one decoder of stored face crops, and of frames that a data set ships."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from jaxtyping import UInt8

from grace.pipeline.errors import ClipError

_FLAGS = {"bgr": cv2.IMREAD_COLOR, "rgb": cv2.IMREAD_COLOR_RGB, "grey": cv2.IMREAD_GRAYSCALE}


def decode(content: bytes, order: Literal["bgr", "rgb", "grey"] = "bgr") -> UInt8[np.ndarray, "height width *channel"]:
    """A picture from encoded bytes, grey or deep ones as 8-bit colour: [height, width, 3], or [height, width] if grey.

    Raises :class:`ClipError` when the bytes are no picture.
    """
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), _FLAGS[order]) if content else None
    if picture is None:
        raise ClipError("an image is damaged")
    return np.asarray(picture)


def decode_crop(
    content: bytes, order: Literal["bgr", "rgb", "grey"] = "rgb"
) -> UInt8[np.ndarray, "height width *channel"]:
    """A stored face crop. Raises :class:`ClipError` when it is damaged, saying which stage makes it anew."""
    try:
        return decode(content, order)
    except ClipError:
        raise ClipError("a stored face crop is not a readable JPEG: run the faces stage again for this clip") from None
