"""Clips to pixels: what a clip holds, and the frames at T instants, from a video file or a folder of images.

Frames are numbered by decoding from the start, never by seeking: seeking lands on the wrong frame in real footage.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from grace.pipeline.errors import ClipError
from grace.pipeline.media.images import decode

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
FRAMES_FPS = 25.0
"""Frames a second of a folder of images, which says nothing of time."""
TRUNCATED = 0.9
"""A video that yields less than this share of what its header promises ends early."""
LONGEST_SIDE = 1920
"""Larger frames are shrunk on decoding: 32 frames of 8K would fill 3 GB, and a face crop gains nothing from them."""


class MissingError(ClipError):
    """There is nothing at the clip's path."""


class NoFramesError(ClipError):
    """The clip is there, and empty."""


Frame = UInt8[np.ndarray, "height width 3"]
"""Pixels in OpenCV's order: blue, green, red."""


# What decoders have to say of damaged files becomes the clip's error, not lines across the progress bar.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


@dataclass(frozen=True)
class Probe:
    """What a clip holds: frames counted (not believed), frames a second (0: unknown), width and height in pixels.

    ``declared`` is the number of frames that the file's header promises, ``ends_early`` whether far fewer are there.
    """

    n_frames: int
    fps: float
    width: int
    height: int
    declared: int
    ends_early: bool = False


@dataclass(frozen=True)
class Sample:
    """The frames of a clip at T instants.

    ``neighbours`` are the frames one later (one earlier where the clip ends), ``scale`` is sampled pixels a source
    pixel, ``size`` the source's width and height.
    """

    frames: list[Frame]
    neighbours: list[Frame]
    instants: Int[np.ndarray, " T"]  # frame numbers from 0
    times: Float[np.ndarray, " T"]  # seconds from the clip's start
    scale: float
    size: tuple[int, int]


def instants(n_frames: int, count: int) -> Int[np.ndarray, " T"]:
    """Frame numbers at the centres of ``count`` equal segments of ``n_frames`` frames (TSN, Wang et al. 2016).

    A clip shorter than ``count`` repeats frames.
    """
    centres = (2 * np.arange(count, dtype=np.int64) + 1) * n_frames // (2 * count)
    return np.minimum(centres, n_frames - 1)


def neighbours(numbers: Int[np.ndarray, " T"], n_frames: int) -> Int[np.ndarray, " T"]:
    """The frame after each, or before it where the clip ends; itself in a clip of one frame."""
    after = numbers + 1
    return np.where(after < n_frames, after, np.maximum(numbers - 1, 0))


def probe(path: Path, source: str) -> Probe:
    """Count the frames of a clip by decoding it (a video) or by listing it (a folder of images).

    Raises :class:`ClipError` when there is nothing to decode.
    """
    return _probe_frames(path) if source == "frames" else _probe_video(path)


def sample(path: Path, source: str, count: int, n_frames: int) -> Sample:
    """The frames at ``count`` instants of a clip of ``n_frames`` frames (as probed), and their neighbours.

    Raises :class:`ClipError` when the clip holds fewer frames than that or one of them cannot be decoded.
    """
    if n_frames < 1:
        raise ClipError("the clip has no frames")
    at = instants(n_frames, count)
    beside = neighbours(at, n_frames)
    wanted = sorted({int(number) for number in (*at, *beside)})
    read = _read_images(path, wanted) if source == "frames" else _read_video(path, wanted)
    decoded: dict[int, tuple[float, Frame]] = {}
    width = height = 0
    for number, time, frame in read:
        if not decoded:
            height, width = frame.shape[:2]
        decoded[number] = (time, _fit(frame, width, height))
    first = next(iter(decoded.values()))[1]
    return Sample(
        frames=[decoded[int(number)][1] for number in at],
        neighbours=[decoded[int(number)][1] for number in beside],
        instants=at,
        times=np.array([decoded[int(number)][0] for number in at], dtype=np.float32),
        scale=first.shape[1] / width,
        size=(width, height),
    )


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key by which frame 10 follows frame 9: runs of digits compare as numbers."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name.lower()) if part]


def images(folder: Path) -> list[str]:
    """The names of the images in a folder, in natural order. Raises :class:`ClipError` when it cannot be listed."""
    try:
        with os.scandir(folder) as scan:
            # Files that begin with a dot are what other systems leave behind, such as macOS's ._0001.jpg.
            names = [item.name for item in scan if _is_image(item.name)]
    except FileNotFoundError:
        raise MissingError("the folder of frames is missing") from None
    except OSError as error:
        raise ClipError(f"the folder of frames cannot be listed: {error.strerror}") from None
    return sorted(names, key=lambda name: (natural(name), name))


def read_image(file: Path) -> Frame:
    """One image, grey or deep ones as 8-bit colour. Raises :class:`ClipError` naming the file when it is none."""
    try:
        content = np.fromfile(file, dtype=np.uint8)
    except OSError as error:
        raise ClipError(f"frame {file.name} cannot be read: {error.strerror}") from None
    try:
        return decode(content.tobytes())
    except ClipError:
        raise ClipError(f"frame {file.name} is not an image or is damaged") from None


def _is_image(name: str) -> bool:
    dot = name.rfind(".")
    return dot > 0 and name[0] != "." and name[dot:].lower() in IMAGE_SUFFIXES


def _fit(frame: Frame, width: int, height: int) -> Frame:
    """The frame at the size of the clip's first one, shrunk so that its longer side is at most ``LONGEST_SIDE``."""
    shrink = min(1.0, LONGEST_SIDE / max(width, height))
    size = (round(width * shrink), round(height * shrink))
    if (frame.shape[1], frame.shape[0]) == size:
        return frame
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


def _probe_frames(path: Path) -> Probe:
    names = images(path)
    if not names:
        raise NoFramesError("the folder holds no images")
    height, width = read_image(path / names[0]).shape[:2]
    return Probe(len(names), 0.0, width, height, len(names))


def _probe_video(path: Path) -> Probe:
    video = _open(path)
    try:
        count = 0
        width = height = 0
        start = end = 0.0  # seconds
        while video.grab():
            end = float(video.get(cv2.CAP_PROP_POS_MSEC)) / 1000.0
            if not count:
                start = end
                good, frame = video.retrieve()
                if not good or frame is None:
                    raise ClipError("the first frame of the video cannot be decoded")
                height, width = frame.shape[:2]  # after a rotation tag; the header's are before it
            count += 1
        if not count:
            raise NoFramesError("the video has no frame that can be decoded: it is damaged or holds sound only")
        rate = float(video.get(cv2.CAP_PROP_FPS))
        fps = rate if np.isfinite(rate) and 0 < rate < 1000 else 0.0
        declared = max(int(video.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        # Where the rate varies, some containers promise frames by their length in time: then it is time that counts.
        reached = max(count, (end - start) * fps + 1)
        return Probe(count, fps, width, height, declared, ends_early=reached < TRUNCATED * declared - 1)
    finally:
        video.release()


def _open(path: Path) -> cv2.VideoCapture:
    try:
        held = path.stat()
    except FileNotFoundError:
        raise MissingError("the video is missing") from None
    except OSError as error:
        raise ClipError(f"the video cannot be read: {error.strerror}") from None
    if stat.S_ISDIR(held.st_mode):
        raise ClipError("the path is a folder, not a video")
    if not stat.S_ISREG(held.st_mode):
        raise ClipError("the path is no file but a pipe, socket or device")  # from which a read may never return
    if not held.st_size:
        raise NoFramesError("the video is empty: zero bytes")
    # FFmpeg by name: other backends read %04d in a name as a pattern. One thread: clips run side by side.
    video = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if not video.isOpened():
        raise ClipError("the video cannot be opened: it is damaged, cut off, holds no pictures, or is no video")
    video.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # telephones film sideways and say so in a tag
    return video


def _read_video(path: Path, wanted: list[int]) -> Iterator[tuple[int, float, Frame]]:
    """Frame number, seconds and pixels of the wanted frames, decoded from the start."""
    video = _open(path)
    try:
        fps = float(video.get(cv2.CAP_PROP_FPS))
        step = 1.0 / fps if np.isfinite(fps) and fps > 0 else 1.0 / FRAMES_FPS
        start = before = -1.0
        needed = set(wanted)
        for number in range(wanted[-1] + 1):
            if not video.grab():
                raise ClipError(f"the video ends at frame {number}, before frame {wanted[-1]} that is needed")
            stamp = float(video.get(cv2.CAP_PROP_POS_MSEC)) / 1000.0
            start = stamp if number == 0 else start
            # Some containers give no time stamps, or the same one again and again.
            time = stamp - start if stamp - start > before else before + step
            before = time
            if number in needed:
                good, frame = video.retrieve()
                if not good or frame is None:
                    raise ClipError(f"frame {number} of the video cannot be decoded")
                yield number, time, frame
    finally:
        video.release()


def _read_images(path: Path, wanted: list[int]) -> Iterator[tuple[int, float, Frame]]:
    names = images(path)
    if len(names) <= wanted[-1]:
        raise ClipError(f"the folder holds {len(names)} images, fewer than when it was indexed")
    for number in wanted:
        yield number, number / FRAMES_FPS, read_image(path / names[number])
