"""Stored face crops back to pixels."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import UInt8

from pipeline.errors import ClipError


def decode_crop(content: bytes) -> UInt8[np.ndarray, "height width 3"]:
    """An RGB picture from JPEG bytes. Raises :class:`ClipError` when they are none."""
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB) if content else None
    if picture is None:
        raise ClipError("a stored face crop is not a readable JPEG: run the faces stage again for this clip")
    return picture
