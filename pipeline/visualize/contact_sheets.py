"""Pictures of what the stages made of a clip, for people to look at."""

from __future__ import annotations

from itertools import product

import cv2
import numpy as np
from jaxtyping import Float

from grace.pipeline.faces.step import Track
from grace.pipeline.media.images import decode_crop
from grace.pipeline.media.video import Frame, Sample
from grace.pipeline.motion.registration import head_flow
from grace.pipeline.store import Row

COLUMNS = 8
WIDE = 4
"""Pictures in a row: of crops, and of whole frames beside their crops."""
GAP = 4
CAPTION = 16
"""Pixels between pictures, and of the line of text above each."""
HEIGHT, WIDEST = 180, 320
"""Pixels that a whole frame is shown at, at most."""
LONGER = 10
"""Head motion between two frames is a pixel or two: it is drawn so many times as long to be seen."""

WHITE, BLUE = (255, 255, 255), (255, 200, 0)
DETECTED, BETWEEN, ABSENT = (90, 220, 90), (60, 220, 255), (80, 80, 255)
"""Colours of a box: the detector saw the face there; it lies between two such; no face was found."""


def contact_sheet(faces: Row, motion: Row | None = None) -> Frame:
    """The face crops of a clip, eight a row, as one picture in OpenCV's order of colours.

    Above each: its time, the crop's width in source pixels, and ``?`` where no detector saw the face. With a motion
    row, each crop has its motion map beneath it as a heat map, with the removed head motion as arrows.
    """
    tiles = []
    for at, encoded in enumerate(faces["frames"]):
        frame = decode_crop(encoded, "bgr")
        words = f"{_when(faces, at)}{'' if faces['found'][at] else ' ?'}"
        tile = titled(frame, words, WHITE if faces["found"][at] else ABSENT)
        if motion is not None:
            tile = np.concatenate([tile, _heat(frame, motion, at)], axis=0)
        tiles.append(tile)
    return _rows(tiles, COLUMNS)


def frames_sheet(faces: Row, taken: Sample, track: Track) -> Frame:
    """The whole frames of a clip with the box of each crop, the crop beside it, and how the box came about.

    Green where the detector saw the face, yellow between two instants where it did, red where no face was found and
    the box is the nearest one, or the frame's middle. Thin white boxes are all faces that the detector saw.
    """
    tiles = []
    for at, frame in enumerate(taken.frames):
        words, colour = _origin(faces, track, at)
        shown = min(HEIGHT / frame.shape[0], WIDEST / frame.shape[1])
        picture = cv2.resize(frame, None, fx=shown, fy=shown, interpolation=cv2.INTER_AREA)
        for face in track.faces[at]:
            _outline(picture, face.box * shown, 0.0, WHITE, 1)
        turn = float(faces["turns"][at]) if faces.get("turns") is not None else 0.0
        _outline(picture, faces["boxes"][at] * taken.scale * shown, turn, colour, 2)
        side = picture.shape[0]
        crop = cv2.resize(decode_crop(faces["frames"][at], "bgr"), (side, side), interpolation=cv2.INTER_AREA)
        apart = np.full((side, GAP, 3), 40, dtype=np.uint8)
        beside = np.concatenate([picture, apart, crop], axis=1)
        tiles.append(titled(beside, f"{_when(faces, at)} {words}", colour))
    return _rows(tiles, WIDE)


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


def _when(faces: Row, at: int) -> str:
    box = faces["boxes"][at]
    return f"{faces['times'][at]:.2f}s {box[2] - box[0]:.0f}px"


def _origin(faces: Row, track: Track, at: int) -> tuple[str, tuple[int, int, int]]:
    """How the box of an instant came about, in a word, and its colour."""
    if not faces["found"][at]:
        return "no face", ABSENT
    return ("detected", DETECTED) if track.seen[at] else ("between", BETWEEN)


def _outline(
    picture: Frame, box: Float[np.ndarray, "4"], turn: float, colour: tuple[int, int, int], thickness: int
) -> None:
    """Draw a box, turned about its middle by ``turn`` radians."""
    middle, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    corners = cv2.boxPoints(((float(middle[0]), float(middle[1])), (float(size[0]), float(size[1])), np.degrees(turn)))
    cv2.polylines(picture, [np.round(corners).astype(np.int32)], True, colour, thickness, cv2.LINE_AA)


def _rows(tiles: list[Frame], columns: int) -> Frame:
    """Tiles of one size as one picture, so many a row."""
    framed = [cv2.copyMakeBorder(tile, *(GAP,) * 4, cv2.BORDER_CONSTANT, value=(40, 40, 40)) for tile in tiles]
    framed += [np.full_like(framed[0], 40)] * (-len(framed) % columns)
    lines = [np.concatenate(framed[k : k + columns], axis=1) for k in range(0, len(framed), columns)]
    return np.concatenate(lines)


def _heat(frame: Frame, motion: Row, at: int) -> Frame:
    """A crop under its motion map; arrows show how the head went that was taken away, in nine places."""
    picture = overlay(frame, motion["motion"][at])
    side = frame.shape[0]
    flow = LONGER * head_flow(np.concatenate([motion["rigid"][at : at + 1], np.zeros((1, 2))], axis=1), side)[0]
    places = [round(share * side) for share in (0.25, 0.5, 0.75)]
    for x, y in product(places, places):
        if float(np.linalg.norm(flow[y, x])) >= 2.0:
            tip = (round(x + float(flow[y, x, 0])), round(y + float(flow[y, x, 1])))
            cv2.arrowedLine(picture, (x, y), tip, BLUE, 1, cv2.LINE_AA, tipLength=0.3)
    words = "cut" if motion["cut"][at] else f"turn {np.degrees(float(motion['rigid'][at][2])):+.1f} deg"
    return titled(picture, words, BLUE)


def titled(picture: Frame, words: str, colour: tuple[int, int, int]) -> Frame:
    """A picture with a strip above it that holds a few words (ASCII)."""
    strip = np.zeros((CAPTION, picture.shape[1], 3), dtype=np.uint8)
    cv2.putText(strip, words, (2, CAPTION - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.38, colour, 1, cv2.LINE_AA)
    return np.concatenate([strip, picture], axis=0)
