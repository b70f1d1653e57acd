"""Contact sheets: what the stages made of the instants of one clip, as one picture for people to look at."""

from __future__ import annotations

from itertools import product

import cv2
import numpy as np
from jaxtyping import Float

from grace.pipeline.faces.tracking import Track
from grace.pipeline.media.images import BGRImage, decode_crop
from grace.pipeline.media.video import Sample
from grace.pipeline.motion.registration import head_flow
from grace.pipeline.store import Row
from grace.pipeline.visualize.sheet_layout import COLOUR_MAP, Scale, Swatch, framed

COLUMNS = 8
WIDE = 4
"""Pictures per row: crops, and whole frames beside their crops."""
GAP = 4
CAPTION = 16
"""Pixels between pictures, and of the line of text above each."""
MAX_HEIGHT, MAX_WIDTH = 180, 320
"""Largest size at which a whole frame is shown, pixels."""
ARROW_SCALE = 10
"""Head motion between two frames is a pixel or two: its arrows are drawn this many times as long."""

BACKGROUND = (40, 40, 40)
WHITE, BLUE = (255, 255, 255), (233, 180, 86)
DETECTED, BETWEEN, ABSENT = (233, 180, 86), (66, 228, 240), (0, 94, 213)
"""Colours of a box, of Okabe and Ito (2008): the face was detected there; it lies between two detections; no face was
found."""


def crop_sheet(faces: Row, motion: Row | None = None) -> BGRImage:
    """The face crops of a clip, eight per row, with their motion maps if given.

    Above each crop: its time, its side in source pixels, and ``?`` where no face was found. Below it: its motion map
    as a heat map on the crop, with arrows for the head motion that was removed.

    Args:
        faces: the clip's row of the ``faces`` store.
        motion: its row of the ``motion`` store.

    Returns:
        One picture.

    Raises:
        ClipError: a stored crop is damaged.

    Example:
        >>> from grace.pipeline.media.images import encode_jpeg
        >>> crop = encode_jpeg(np.zeros((64, 64, 3), np.uint8), quality=95)
        >>> boxes, times, found = np.zeros((3, 4)), np.arange(3.0), np.ones(3, bool)
        >>> crop_sheet({"frames": [crop] * 3, "boxes": boxes, "times": times, "found": found}).shape
        (176, 576, 3)
    """
    tiles = []
    for at, encoded in enumerate(faces["frames"]):
        crop = decode_crop(encoded, "bgr")
        words = f"{_time_and_size(faces, at)}{'' if faces['found'][at] else ' ?'}"
        tile = captioned(crop, words, WHITE if faces["found"][at] else ABSENT)
        if motion is not None:
            tile = np.concatenate([tile, _motion_tile(crop, motion, at)], axis=0)
        tiles.append(tile)
    legend = [Swatch(WHITE, "time and side of the crop"), Swatch(ABSENT, "? no face found")]
    scale = None
    if motion is not None:
        legend.append(Swatch(BLUE, f"head motion removed (arrows {ARROW_SCALE}x)"))
        scale = Scale("still", "most motion")
    title = f"{faces.get('clip_id', '')} {'motion maps' if motion is not None else 'face crops'}".strip()
    return framed(_tiled(tiles, COLUMNS), title, legend, faces["times"], scale)


def tracking_sheet(faces: Row, sample: Sample, track: Track) -> BGRImage:
    """The whole frames of a clip with the box of each crop, and the crop beside it.

    A box is blue where the face was detected, yellow between two instants at which it was, orange where no face was
    found and the box is the nearest one, or the frame's centre. Thin white boxes are all detected faces.

    Args:
        faces: the clip's row of the ``faces`` store.
        sample: its frames, as :meth:`grace.pipeline.faces.step.FacesStep.retrace` gives them.
        track: its main face in them.

    Returns:
        One picture.

    Raises:
        ClipError: a stored crop is damaged.
    """
    tiles = []
    for at, frame in enumerate(sample.frames):
        words, colour = _origin(faces, track, at)
        scale = min(MAX_HEIGHT / frame.shape[0], MAX_WIDTH / frame.shape[1])
        picture = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        for face in track.faces[at]:
            _draw_box(picture, face.box * scale, 0.0, WHITE, 1)
        roll = float(faces["roll"][at]) if faces.get("roll") is not None else 0.0
        _draw_box(picture, faces["boxes"][at] * sample.scale * scale, roll, colour, 2)
        side = picture.shape[0]
        crop = cv2.resize(decode_crop(faces["frames"][at], "bgr"), (side, side), interpolation=cv2.INTER_AREA)
        gap = np.full((side, GAP, 3), BACKGROUND, dtype=np.uint8)
        beside = np.concatenate([picture, gap, crop], axis=1)
        tiles.append(captioned(beside, f"{_time_and_size(faces, at)} {words}", colour))
    legend = [
        Swatch(DETECTED, "face detected"),
        Swatch(BETWEEN, "between two detections"),
        Swatch(ABSENT, "no face found"),
        Swatch(WHITE, "any face seen (thin)"),
    ]
    return framed(_tiled(tiles, WIDE), f"{faces.get('clip_id', '')} face track".strip(), legend, faces["times"])


def decode_crops(faces: Row) -> list[BGRImage]:
    """The face crops of a clip's row of the ``faces`` store. Raises :class:`ClipError` when one is damaged."""
    return [decode_crop(encoded, "bgr") for encoded in faces["frames"]]


def heat_map(values: Float[np.ndarray, "G G"], size: int) -> BGRImage:
    """A map as colours of :data:`COLOUR_MAP`: 0 is dark blue, 1 is yellow.

    Args:
        values: in [0, 1].
        size: side of the picture, pixels.

    Returns:
        [size, size, 3].

    Example:
        >>> heat_map(np.array([[0.0, 1.0], [1.0, 0.0]]), size=64)[[0, 0], [0, 63]].tolist()
        [[84, 1, 68], [37, 231, 253]]
    """
    wide = cv2.resize(np.asarray(values, dtype=np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    levels = (np.clip(wide, 0.0, 1.0) * 255).astype(np.uint8)
    return cv2.applyColorMap(levels, COLOUR_MAP)


def overlay(image: BGRImage, values: Float[np.ndarray, "G G"]) -> BGRImage:
    """A square image, darkened and grey, under the heat map of ``values`` in [0, 1]."""
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return cv2.addWeighted(grey, 0.5, heat_map(values, image.shape[0]), 0.7, 0.0)


def captioned(image: BGRImage, words: str, colour: tuple[int, int, int]) -> BGRImage:
    """An image under a strip that holds a few words (ASCII).

    Args:
        image: [height, width, 3].
        words: what is written; what does not fit into the width is cut off.
        colour: of the words: blue, green, red in [0, 255].

    Returns:
        [height + ``CAPTION``, width, 3].

    Example:
        >>> captioned(np.zeros((64, 64, 3), np.uint8), "0.5 s", (255, 255, 255)).shape
        (80, 64, 3)
    """
    strip = np.zeros((CAPTION, image.shape[1], 3), dtype=np.uint8)
    cv2.putText(strip, words, (2, CAPTION - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.38, colour, 1, cv2.LINE_AA)
    return np.concatenate([strip, image], axis=0)


def _time_and_size(faces: Row, at: int) -> str:
    box = faces["boxes"][at]
    return f"{faces['times'][at]:.2f}s {box[2] - box[0]:.0f}px"


def _origin(faces: Row, track: Track, at: int) -> tuple[str, tuple[int, int, int]]:
    """How the box of an instant was found, in a word, and its colour."""
    if not faces["found"][at]:
        return "no face", ABSENT
    return ("detected", DETECTED) if track.detected[at] else ("between", BETWEEN)


def _draw_box(
    image: BGRImage, box: Float[np.ndarray, "4"], roll: float, colour: tuple[int, int, int], thickness: int
) -> None:
    """Draw a box, rotated about its centre by ``roll`` radians."""
    centre, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    corners = cv2.boxPoints(((float(centre[0]), float(centre[1])), (float(size[0]), float(size[1])), np.degrees(roll)))
    cv2.polylines(image, [np.round(corners).astype(np.int32)], True, colour, thickness, cv2.LINE_AA)


def _motion_tile(crop: BGRImage, motion: Row, at: int) -> BGRImage:
    """A crop under its motion map; arrows at nine places show the head motion that was removed."""
    picture = overlay(crop, motion["motion"][at])
    side = crop.shape[0]
    flow = ARROW_SCALE * head_flow(np.concatenate([motion["rigid"][at : at + 1], np.zeros((1, 2))], axis=1), side)[0]
    places = [round(share * side) for share in (0.25, 0.5, 0.75)]
    for x, y in product(places, places):
        if float(np.linalg.norm(flow[y, x])) >= 2.0:
            tip = (round(x + float(flow[y, x, 0])), round(y + float(flow[y, x, 1])))
            cv2.arrowedLine(picture, (x, y), tip, BLUE, 1, cv2.LINE_AA, tipLength=0.3)
    words = "cut" if motion["cut"][at] else f"roll {np.degrees(float(motion['rigid'][at][2])):+.1f} deg"
    return captioned(picture, words, BLUE)


def _tiled(tiles: list[BGRImage], columns: int) -> BGRImage:
    """Tiles of one size as one picture, ``columns`` per row."""
    bordered = [cv2.copyMakeBorder(tile, *(GAP,) * 4, cv2.BORDER_CONSTANT, value=BACKGROUND) for tile in tiles]
    bordered += [np.full_like(bordered[0], BACKGROUND)] * (-len(bordered) % columns)
    rows = [np.concatenate(bordered[k : k + columns], axis=1) for k in range(0, len(bordered), columns)]
    return np.concatenate(rows)
