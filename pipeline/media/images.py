"""Images as arrays and as files: decoding, JPEG and PNG encoding, and the one writer of pictures for people."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from jaxtyping import UInt8

from grace.pipeline.errors import ClipError, UserError
from grace.pipeline.store.atomic import write_atomic

BGRImage = UInt8[np.ndarray, "_height _width 3"]
"""A colour image: a video frame, a face crop, a drawing. 8 bits, channels in OpenCV's order: blue, green, red."""

SHEET_QUALITY = 95
"""JPEG quality of pictures for people."""

_FLAGS = {"bgr": cv2.IMREAD_COLOR, "rgb": cv2.IMREAD_COLOR_RGB, "grey": cv2.IMREAD_GRAYSCALE}


def decode_image(
    content: bytes, order: Literal["bgr", "rgb", "grey"] = "bgr"
) -> UInt8[np.ndarray, "height width *channel"]:
    """Decode an image file's bytes; grey images and those of more than 8 bits become 8-bit colour.

    Args:
        content: the bytes of a JPEG, PNG or any other file that OpenCV reads.
        order: the channels of the result.

    Returns:
        [height, width, 3], or [height, width] if ``order`` is ``grey``.

    Raises:
        ClipError: the bytes are not an image.

    Example:
        >>> image = np.zeros((48, 64, 3), np.uint8)
        >>> decode_image(encode_png(image)).shape
        (48, 64, 3)
        >>> decode_image(encode_png(image), "grey").shape
        (48, 64)
    """
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), _FLAGS[order]) if content else None
    except cv2.error:  # more pixels than OpenCV takes for an image
        image = None
    if image is None:
        raise ClipError("an image is damaged")
    return np.asarray(image)


def decode_crop(
    content: bytes, order: Literal["bgr", "rgb", "grey"] = "rgb"
) -> UInt8[np.ndarray, "height width *channel"]:
    """Decode a face crop from the ``faces`` store.

    Args:
        content: an element of the columns ``frames`` or ``neighbours``.
        order: the channels of the result.

    Returns:
        [size, size, 3], or [size, size] if ``order`` is ``grey``.

    Raises:
        ClipError: the crop is damaged; the message names the stage to run again.

    Example:
        >>> decode_crop(encode_jpeg(np.zeros((32, 32, 3), np.uint8), quality=95)).shape
        (32, 32, 3)
    """
    try:
        return decode_image(content, order)
    except ClipError:
        raise ClipError("a stored face crop is not a readable JPEG: run the faces stage again for this clip") from None


def encode_jpeg(image: BGRImage, quality: int) -> bytes:
    """The image as a JPEG file's bytes; ``quality`` goes from 1 to 100."""
    return _encode(image, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality])


def encode_png(image: BGRImage) -> bytes:
    """The image as a PNG file's bytes."""
    return _encode(image, ".png", [])


def write_image(file: Path, image: BGRImage) -> None:
    """Write an image for people to look at; the file exists whole or not at all.

    Args:
        file: a name that ends in ``.png``, ``.jpg`` or ``.jpeg``, which is the format.
        image: any colour image, such as those that :mod:`grace.pipeline.visualize` draws.

    Raises:
        UserError: the name ends in something else.
        GraceError: the file cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     write_image(Path(folder, "black.png"), np.zeros((8, 8, 3), np.uint8))
        ...     decode_image(Path(folder, "black.png").read_bytes()).max().item()
        0
    """
    suffix = file.suffix.lower()
    if suffix == ".png":
        content = encode_png(image)
    elif suffix in (".jpg", ".jpeg"):
        content = encode_jpeg(image, SHEET_QUALITY)
    else:
        raise UserError(f"{file} cannot be written: a picture's name ends in .png, .jpg or .jpeg.")
    write_atomic(file, content)


def _encode(image: BGRImage, suffix: str, parameters: list[int]) -> bytes:
    good, encoded = cv2.imencode(suffix, image, parameters)
    if not good:
        raise ClipError(f"an image of {image.shape[1]} × {image.shape[0]} pixels cannot be encoded as {suffix[1:]}")
    return bytes(encoded.tobytes())
