"""Pictures of what the stages made of a clip, for people to look at."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

from pipeline.jpeg import decode_crop
from pipeline.store import Row
from pipeline.video import Frame

COLUMNS = 8
GAP = 4
CAPTION = 16
"""Pixels between pictures, and of the line of text above each."""


def contact_sheet(faces: Row, motion: Row | None = None) -> Frame:
    """The face crops of a clip, eight a row, as one picture in OpenCV's order of colours.

    Above each: its time, the crop's width in source pixels, and ``?`` where no detector saw the face. With a motion
    row, each crop has its motion map beneath it as a heat map, with the removed head motion as an arrow.
    """
    tiles = []
    for at, encoded in enumerate(faces["frames"]):
        frame = decode_crop(encoded, "bgr")
        box = faces["boxes"][at]
        words = f"{faces['times'][at]:.2f}s {box[2] - box[0]:.0f}px{'' if faces['found'][at] else ' ?'}"
        tile = titled(frame, words, (255, 255, 255) if faces["found"][at] else (80, 160, 255))
        if motion is not None:
            tile = np.concatenate([tile, _heat(frame, motion, at)], axis=0)
        tiles.append(cv2.copyMakeBorder(tile, GAP, GAP, GAP, GAP, cv2.BORDER_CONSTANT, value=(40, 40, 40)))
    empty = np.full_like(tiles[0], 40)
    tiles += [empty] * (-len(tiles) % COLUMNS)
    return np.concatenate([np.concatenate(tiles[k : k + COLUMNS], axis=1) for k in range(0, len(tiles), COLUMNS)])


def crops(faces: Row) -> list[Frame]:
    """The face crops of a clip as pictures."""
    return [decode_crop(image, "bgr") for image in faces["frames"]]


def heat(values: Float[np.ndarray, "G G"], size: int) -> Frame:
    """A map in [0, 1] as colours, black through red and yellow to white, ``size`` pixels a side."""
    wide = cv2.resize(np.asarray(values, dtype=np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    levels = (np.clip(wide, 0.0, 1.0) * 255).astype(np.uint8)
    return cv2.applyColorMap(levels, cv2.COLORMAP_HOT)


def overlay(frame: Frame, values: Float[np.ndarray, "G G"]) -> Frame:
    """A square picture, darkened and grey, under the heat map of ``values``."""
    grey = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return cv2.addWeighted(grey, 0.5, heat(values, frame.shape[0]), 0.7, 0.0)


def save(picture: Frame, file: str) -> None:
    """Write a picture as PNG or JPEG, by the file's suffix. Raises :class:`OSError` when it cannot be written."""
    if not cv2.imwrite(file, picture):
        raise OSError(f"{file} cannot be written")


def _heat(frame: Frame, motion: Row, at: int) -> Frame:
    picture = overlay(frame, motion["motion"][at])
    side = frame.shape[0]
    dx, dy, rotation, _ = (float(value) for value in motion["rigid"][at])
    middle = (side // 2, side // 2)
    # Head motion between two frames is a pixel or two: drawn ten times as long to be seen.
    tip = (round(middle[0] + 10 * dx * side), round(middle[1] + 10 * dy * side))
    cv2.arrowedLine(picture, middle, tip, (255, 200, 0), 1, cv2.LINE_AA, tipLength=0.3)
    words = "cut" if motion["cut"][at] else f"turn {np.degrees(rotation):+.1f} deg"
    return titled(picture, words, (255, 200, 0))


def titled(picture: Frame, words: str, colour: tuple[int, int, int]) -> Frame:
    """A picture with a strip above it that holds a few words (ASCII)."""
    strip = np.zeros((CAPTION, picture.shape[1], 3), dtype=np.uint8)
    cv2.putText(strip, words, (2, CAPTION - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.38, colour, 1, cv2.LINE_AA)
    return np.concatenate([strip, picture], axis=0)
