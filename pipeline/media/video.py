"""Decoding clips, which are video files or folders of images: what one holds, and its frames at T instants.

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
from jaxtyping import Float, Int

from grace.pipeline.errors import ClipError
from grace.pipeline.media.images import BGRImage, decode_image

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
FRAMES_FPS = 25.0
"""Frames per second assumed for a folder of images, which says nothing about time."""
TRUNCATED = 0.9
"""A video ends early if it holds less than this share of the frames that its header declares."""
LONGEST_SIDE = 1920
"""Larger frames are shrunk on decoding: 32 frames of 8K would fill 3 GB, and a face crop gains nothing from them."""


class MissingError(ClipError):
    """There is nothing at the clip's path."""


class NoFramesError(ClipError):
    """The clip is there, and empty."""


# What decoders report about damaged files becomes the clip's error, not lines across the progress bar.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


@dataclass(frozen=True)
class Probe:
    """What a clip holds, found by decoding it.

    Attributes:
        n_frames: frames counted, whatever the header says.
        fps: frames per second; 0 if unknown.
        width: of the frames as shown, pixels.
        height: of the frames as shown, pixels.
        declared: frames that the file's header declares.
        ends_early: whether far fewer frames are there than declared.
    """

    n_frames: int
    fps: float
    width: int
    height: int
    declared: int
    ends_early: bool = False


@dataclass(frozen=True)
class Sample:
    """The frames of a clip at T instants, and the frame after each.

    Attributes:
        frames: T images.
        neighbours: T images: the frame one later, or one earlier where the clip ends.
        instants: frame numbers of ``frames``, from 0.
        times: of ``frames``, seconds from the clip's start.
        scale: side of a sampled frame over that of the source; 1 unless the source is very large.
        size: width and height of the source, pixels.
    """

    frames: list[BGRImage]
    neighbours: list[BGRImage]
    instants: Int[np.ndarray, " T"]
    times: Float[np.ndarray, " T"]
    scale: float
    size: tuple[int, int]


def segment_centres(n_frames: int, count: int) -> Int[np.ndarray, " T"]:
    """The instants of a clip: the centre frames of ``count`` equal segments (Wang et al. 2016, TSN).

    Args:
        n_frames: frames of the clip.
        count: T.

    Returns:
        T frame numbers from 0, ascending; a clip shorter than ``count`` repeats frames.

    Example:
        >>> segment_centres(100, 4).tolist()
        [12, 37, 62, 87]
        >>> segment_centres(2, 4).tolist()
        [0, 0, 1, 1]
    """
    centres = (2 * np.arange(count, dtype=np.int64) + 1) * n_frames // (2 * count)
    return np.minimum(centres, n_frames - 1)


def neighbour_numbers(numbers: Int[np.ndarray, " T"], n_frames: int) -> Int[np.ndarray, " T"]:
    """The number of the frame after each, or before it where the clip ends; itself in a clip of one frame.

    Example:
        >>> neighbour_numbers(np.array([0, 3, 4]), n_frames=5).tolist()
        [1, 4, 3]
    """
    after = numbers + 1
    return np.where(after < n_frames, after, np.maximum(numbers - 1, 0))


def probe(path: Path, source: str) -> Probe:
    """Count the frames of a clip by decoding it (a video) or by listing it (a folder of images).

    Args:
        path: the video file, or the folder.
        source: ``video`` or ``frames``.

    Returns:
        Its frames, rate and size.

    Raises:
        ClipError: nothing can be decoded; the message is the cause. ``MissingError`` and ``NoFramesError`` are of
            this kind.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from grace.pipeline.media.images import write_image
        >>> with TemporaryDirectory() as folder:
        ...     for number in range(3):
        ...         write_image(Path(folder, f"{number}.png"), np.zeros((48, 64, 3), np.uint8))
        ...     probe(Path(folder), "frames")
        Probe(n_frames=3, fps=0.0, width=64, height=48, declared=3, ends_early=False)
    """
    return _probe_frames(path) if source == "frames" else _probe_video(path)


def sample_frames(path: Path, source: str, count: int, n_frames: int) -> Sample:
    """Decode the frames at ``count`` instants of a clip, and the frame after each.

    Frames longer than ``LONGEST_SIDE`` are shrunk to it; frames of another size than the first get its size.

    Args:
        path: the video file, or the folder of images.
        source: ``video`` or ``frames``.
        count: T, the instants.
        n_frames: frames of the clip, as :func:`probe` counts them.

    Returns:
        T frames, T neighbours, and when they are shown.

    Raises:
        ClipError: the clip holds fewer frames than that, or one of them cannot be decoded.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from grace.pipeline.media.images import write_image
        >>> with TemporaryDirectory() as folder:
        ...     for number in range(5):
        ...         write_image(Path(folder, f"{number}.png"), np.full((48, 64, 3), 40 * number, np.uint8))
        ...     clip = sample_frames(Path(folder), "frames", count=2, n_frames=5)
        >>> clip.instants.tolist(), [int(frame[0, 0, 0]) for frame in clip.frames], clip.size
        ([1, 3], [40, 120], (64, 48))
        >>> [int(frame[0, 0, 0]) for frame in clip.neighbours]
        [80, 160]
    """
    if n_frames < 1:
        raise ClipError("the clip has no frames")
    instants = segment_centres(n_frames, count)
    after = neighbour_numbers(instants, n_frames)
    needed = sorted({int(number) for number in (*instants, *after)})
    frames = _read_images(path, needed) if source == "frames" else _read_video(path, needed)
    decoded: dict[int, tuple[float, BGRImage]] = {}
    width = height = 0
    for number, time, frame in frames:
        if not decoded:
            height, width = frame.shape[:2]
        decoded[number] = (time, _fit(frame, width, height))
    first = next(iter(decoded.values()))[1]
    return Sample(
        frames=[decoded[int(number)][1] for number in instants],
        neighbours=[decoded[int(number)][1] for number in after],
        instants=instants,
        times=np.array([decoded[int(number)][0] for number in instants], dtype=np.float32),
        scale=first.shape[1] / width,
        size=(width, height),
    )


def natural_sort_key(name: str) -> list[tuple[int, str]]:
    """Sort key by which frame 10 follows frame 9: runs of digits compare as numbers.

    Example:
        >>> sorted(["10.png", "9.png"], key=natural_sort_key)
        ['9.png', '10.png']
    """
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name.lower()) if part]


def list_images(folder: Path) -> list[str]:
    """The names of the images in a folder, in natural order. Raises :class:`ClipError` when it cannot be listed."""
    try:
        with os.scandir(folder) as scan:
            # Names that begin with a dot are left behind by other systems, such as macOS's ._0001.jpg.
            names = [item.name for item in scan if _is_image(item.name)]
    except FileNotFoundError:
        raise MissingError("the folder of frames is missing") from None
    except OSError as error:
        raise ClipError(f"the folder of frames cannot be listed: {error.strerror}") from None
    return sorted(names, key=lambda name: (natural_sort_key(name), name))


def read_image(file: Path) -> BGRImage:
    """One image file as 8-bit colour. Raises :class:`ClipError` with the file's name when it is not an image."""
    try:
        content = np.fromfile(file, dtype=np.uint8)
    except OSError as error:
        raise ClipError(f"frame {file.name} cannot be read: {error.strerror}") from None
    try:
        return decode_image(content.tobytes())
    except ClipError:
        raise ClipError(f"frame {file.name} is not an image or is damaged") from None


def _is_image(name: str) -> bool:
    dot = name.rfind(".")
    return dot > 0 and name[0] != "." and name[dot:].lower() in IMAGE_SUFFIXES


def _fit(frame: BGRImage, width: int, height: int) -> BGRImage:
    """The frame at the size of the clip's first frame, shrunk so that its longer side is at most ``LONGEST_SIDE``."""
    shrink = min(1.0, LONGEST_SIDE / max(width, height))
    size = (round(width * shrink), round(height * shrink))
    if (frame.shape[1], frame.shape[0]) == size:
        return frame
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


def _probe_frames(path: Path) -> Probe:
    names = list_images(path)
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
                height, width = frame.shape[:2]  # as rotated by its tag; the header gives the size before that
            count += 1
        if not count:
            raise NoFramesError("the video has no frame that can be decoded: it is damaged or holds sound only")
        rate = float(video.get(cv2.CAP_PROP_FPS))
        fps = rate if np.isfinite(rate) and 0 < rate < 1000 else 0.0
        declared = max(int(video.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        # Where the rate varies, some containers declare their duration times their rate: then compare durations.
        reached = max(count, (end - start) * fps + 1)
        return Probe(count, fps, width, height, declared, ends_early=reached < TRUNCATED * declared - 1)
    finally:
        video.release()


def _open(path: Path) -> cv2.VideoCapture:
    try:
        status = path.stat()
    except FileNotFoundError:
        raise MissingError("the video is missing") from None
    except OSError as error:
        raise ClipError(f"the video cannot be read: {error.strerror}") from None
    if stat.S_ISDIR(status.st_mode):
        raise ClipError("the path is a folder, not a video")
    if not stat.S_ISREG(status.st_mode):
        raise ClipError("the path is no file but a pipe, socket or device")  # a read from one may never return
    if not status.st_size:
        raise NoFramesError("the video is empty: zero bytes")
    # FFmpeg by name: other backends read %04d in a name as a pattern. One thread: clips are decoded in parallel.
    video = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if not video.isOpened():
        raise ClipError("the video cannot be opened: it is damaged, cut off, holds no pictures, or is no video")
    video.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # telephones film sideways and note it in a tag
    return video


def _read_video(path: Path, numbers: list[int]) -> Iterator[tuple[int, float, BGRImage]]:
    """Frame number, seconds and pixels of the numbered frames (ascending), decoded from the start."""
    video = _open(path)
    try:
        fps = float(video.get(cv2.CAP_PROP_FPS))
        step = 1.0 / fps if np.isfinite(fps) and fps > 0 else 1.0 / FRAMES_FPS
        start = before = -1.0
        needed = set(numbers)
        for number in range(numbers[-1] + 1):
            if not video.grab():
                raise ClipError(f"the video ends at frame {number}, before frame {numbers[-1]} that is needed")
            stamp = float(video.get(cv2.CAP_PROP_POS_MSEC)) / 1000.0
            start = stamp if number == 0 else start
            # Some containers give no time stamps, or repeat one.
            time = stamp - start if stamp - start > before else before + step
            before = time
            if number in needed:
                good, frame = video.retrieve()
                if not good or frame is None:
                    raise ClipError(f"frame {number} of the video cannot be decoded")
                yield number, time, frame
    finally:
        video.release()


def _read_images(path: Path, numbers: list[int]) -> Iterator[tuple[int, float, BGRImage]]:
    names = list_images(path)
    if len(names) <= numbers[-1]:
        raise ClipError(f"the folder holds {len(names)} images, fewer than when it was indexed")
    for number in numbers:
        yield number, number / FRAMES_FPS, read_image(path / names[number])
