"""Boxes to face crops: square them, cut them out of the frames with the eyes level, store them as JPEG."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

from grace.pipeline.faces.tracking import Boxes
from grace.pipeline.media.images import BGRImage, encode_jpeg
from grace.pipeline.media.video import Sample


def square(boxes: Boxes, margin: float) -> Boxes:
    """Square boxes around the same centres, as wide as the longer side plus a margin.

    Args:
        boxes: any boxes, pixels.
        margin: added on every side, as a share of the longer side.

    Returns:
        Boxes with sides of (1 + 2 ``margin``) × the longer side; they may reach beyond the frame.

    Example:
        >>> square(np.array([[10.0, 20.0, 50.0, 40.0]]), margin=0.25).tolist()
        [[0.0, 0.0, 60.0, 60.0]]
    """
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) * (0.5 + margin)
    return np.concatenate([centre - half, centre + half], axis=1)


def full_frame_boxes(sample: Sample) -> Boxes:
    """The square around each whole frame of a clip of a data set that ships face crops."""
    height, width = sample.frames[0].shape[:2]
    return square(np.tile(np.array([[0.0, 0.0, width, height]]), (len(sample.frames), 1)), 0.0)


def crop(frame: BGRImage, box: Float[np.ndarray, "4"], size: int) -> BGRImage:
    """Cut a square out of a frame and resize it; beyond the frame its border is repeated.

    Args:
        frame: a frame.
        box: the square, x0, y0, x1, y1 in pixels of the frame.
        size: side of the crop, pixels.

    Returns:
        [size, size, 3].

    Example:
        >>> frame = np.zeros((90, 160, 3), np.uint8)
        >>> frame[:, 80:] = 255
        >>> crop(frame, np.array([70.0, -10.0, 90.0, 10.0]), size=32)[0, [0, 31], 0].tolist()
        [0, 255]
    """
    side = max(round(float(box[2] - box[0])), 1)
    left, top = round(float(box[0])), round(float(box[1]))
    height, width = frame.shape[:2]
    before = (max(-left, 0), max(-top, 0))
    after = (max(left + side - width, 0), max(top + side - height, 0))
    # At least one pixel of the frame must be there for its border to be repeated.
    inside = frame[
        min(max(top, 0), height - 1) : max(min(top + side, height), 1),
        min(max(left, 0), width - 1) : max(min(left + side, width), 1),
    ]
    if any(before) or any(after):
        inside = cv2.copyMakeBorder(inside, before[1], after[1], before[0], after[0], cv2.BORDER_REPLICATE)
    return cv2.resize(inside, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_CUBIC)


def crop_aligned(frame: BGRImage, box: Float[np.ndarray, "4"], roll: float, size: int) -> BGRImage:
    """Cut a square out of a frame, rotated about its centre so that the eyes are level.

    Args:
        frame: a frame.
        box: the square before its rotation, x0, y0, x1, y1 in pixels of the frame.
        roll: slope of the eye line, radians, as :func:`grace.pipeline.faces.tracking.roll_angle` gives it.
        size: side of the crop, pixels.

    Returns:
        [size, size, 3].

    Example:
        >>> frame = np.zeros((100, 100, 3), np.uint8)
        >>> frame[48:52, 30:70] = 255  # a level bar
        >>> crop_aligned(frame, np.array([30.0, 30.0, 70.0, 70.0]), np.pi / 2, size=40)[[2, 37], 20, 0].tolist()
        [255, 255]
    """
    if roll == 0.0:
        return crop(frame, box, size)
    extra = 0.25 * float(box[2] - box[0])  # the corners of a rotated square lie up to a fifth of its side outside it
    wide = crop(frame, box + extra * np.array([-1.0, -1.0, 1.0, 1.0]), round(1.5 * size))
    centre = (wide.shape[0] - 1) / 2
    rotation = cv2.getRotationMatrix2D((centre, centre), float(np.degrees(roll)), 1.0)
    rotation[:, 2] -= centre - (size - 1) / 2
    return cv2.warpAffine(wide, rotation, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def crop_jpegs(
    frames: list[BGRImage], boxes: Boxes, roll_angles: Float[np.ndarray, " T"], size: int, quality: int
) -> list[bytes]:
    """The aligned crop of each frame as JPEG bytes, ``size`` pixels per side.

    Args:
        frames: T frames.
        boxes: the square of each [T, 4] before its rotation, x0, y0, x1, y1 in pixels of the frame.
        roll_angles: slope of each eye line [T], radians.
        size: side of the crops, pixels.
        quality: of the JPEGs, 1 to 100.

    Returns:
        T files, in the order of the frames.

    Example:
        >>> frame = np.zeros((90, 160, 3), np.uint8)
        >>> jpegs = crop_jpegs([frame], np.array([[60.0, 20.0, 100.0, 60.0]]), np.zeros(1), size=32, quality=90)
        >>> cv2.imdecode(np.frombuffer(jpegs[0], np.uint8), cv2.IMREAD_COLOR).shape
        (32, 32, 3)
    """
    return [
        encode_jpeg(crop_aligned(frame, box, float(roll), size), quality)
        for frame, box, roll in zip(frames, boxes, roll_angles, strict=True)
    ]
