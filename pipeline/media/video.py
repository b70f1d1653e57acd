"""Clips, which are video files or folders of images: what one holds, and its frames at T instants.

Frames are numbered by decoding from the start, never by seeking: seeking lands on the wrong frame in real footage.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from jaxtyping import Float, Int

from grace.pipeline.errors import ClipError
from grace.pipeline.media.animations import Animation
from grace.pipeline.media.decoder import Video
from grace.pipeline.media.files import MissingError, NoFramesError, is_animated_webp, open_regular
from grace.pipeline.media.frames import Folder, read_image
from grace.pipeline.media.images import BGRImage
from grace.pipeline.media.neighbours import with_neighbours
from grace.pipeline.media.pictures import Picture, resized, same_shape, shrunk, squared

TRUNCATED = 0.9
"""A video ends early if it holds less than this share of the frames that its header declares."""

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what is damaged becomes the clip's error


@dataclass(frozen=True)
class MediaInfo:
    """What a clip holds, found by decoding it.

    Attributes:
        n_frames: frames counted, whatever the header says.
        fps: frames per second; 0 if unknown.
        width: of the frames as shown, pixels.
        height: of the frames as shown, pixels.
        declared: frames that the file's header declares.
        ends_early: whether far fewer frames are there than declared, or the file ends before its container does.
        errors: packets and frames that were decoded with errors or not at all.
    """

    n_frames: int
    fps: float
    width: int
    height: int
    declared: int
    ends_early: bool = False
    errors: int = 0

    @property
    def problem(self) -> str:
        """Why what is there of the clip is doubtful, as far as decoder and container can tell; else empty."""
        if self.ends_early and self.declared > self.n_frames:
            return f"the video ends early: {self.n_frames} of {self.declared} frames could be decoded"
        if self.ends_early:
            return f"the video is cut off or damaged: its container does not end after the {self.n_frames} frames there"
        if self.errors:
            return f"the video is damaged: {self.n_frames} frames could be decoded, errors: {self.errors}"
        return ""


@dataclass(frozen=True)
class Sample:
    """The frames of a clip at T instants, and the neighbour of each.

    Attributes:
        frames: T images of one size.
        neighbours: T images: the first later, different frame about 1/25 s on, or one earlier where the clip ends.
        instants: frame numbers of ``frames``, from 0.
        times: of ``frames``, seconds from the clip's start.
        scale: side of a sampled frame over that of the source; 1 unless the source is very large.
        size: width and height of the source as shown, pixels; of a square where its images have several shapes.
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


def probe(path: Path, source: str) -> MediaInfo:
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
        MediaInfo(n_frames=3, fps=0.0, width=64, height=48, declared=3, ends_early=False, errors=0)
    """
    return _probe_frames(path) if source == "frames" else _probe_video(path)


def sample_frames(path: Path, source: str, count: int, n_frames: int) -> Sample:
    """Decode the frames at ``count`` instants of a clip, and the neighbour of each (design 4).

    Frames longer than ``LONGEST_SIDE`` are shrunk to it. Frames of several sizes get the size of the first or, where
    their shapes differ, each its own square, so that none is stretched.

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
    numbers = sorted({int(number) for number in instants})
    held: dict[int, tuple[BGRImage, BGRImage]] = {}
    times: dict[int, float] = {}
    sizes: list[tuple[int, int]] = []
    with closing(open_clip(path, source)) as clip:
        for picture, neighbour in with_neighbours(_counted(clip, numbers[-1]), numbers):
            times[picture.number] = picture.time
            sizes += [(image.shape[1], image.shape[0]) for image in (picture.image, neighbour.image)]
            held[picture.number] = (shrunk(picture.image), shrunk(neighbour.image))
    size, pairs = _alike([held[number] for number in numbers], sizes)
    place = {number: at for at, number in enumerate(numbers)}
    chosen = [pairs[place[int(number)]] for number in instants]
    return Sample(
        frames=[frame for frame, _ in chosen],
        neighbours=[neighbour for _, neighbour in chosen],
        instants=instants,
        times=np.array([times[int(number)] for number in instants], dtype=np.float32),
        scale=chosen[0][0].shape[1] / size[0],
        size=size,
    )


def open_clip(path: Path, source: str) -> Folder | Animation | Video:
    """All pictures of a clip, in order; the caller closes it.

    Args:
        path: the video file or the folder of frames.
        source: ``video`` or ``frames``.

    Raises:
        ClipError: it is missing, empty or no such clip.
    """
    return Folder(path) if source == "frames" else _open_video(path)


def _open_video(path: Path) -> Animation | Video:
    file = _open_file(path)
    return Animation(file) if is_animated_webp(file) else Video(file)


def _open_file(path: Path) -> BinaryIO:
    """A video file that holds bytes. Raises :class:`ClipError` with the cause if it is not so."""
    try:
        file = open_regular(path)
    except FileNotFoundError:
        raise MissingError("the video is missing") from None
    except OSError as error:
        raise ClipError(f"the video cannot be read: {error.strerror}") from None
    if not os.fstat(file.fileno()).st_size:
        file.close()
        raise NoFramesError("the video is empty: zero bytes")
    return file


def _counted(clip: Folder | Animation | Video, last: int) -> Iterator[Picture]:
    """The pictures of a clip; raises :class:`ClipError` when they end before number ``last``."""
    if isinstance(clip, Folder) and len(clip.names) <= last:
        raise ClipError(f"the folder holds {len(clip.names)} images, fewer than when it was indexed")
    number = -1
    for picture in clip.pictures():
        number = picture.number
        yield picture
    if number < last:
        raise ClipError(f"the video ends at frame {number + 1}, before frame {last} that is needed")


def _alike(
    pairs: list[tuple[BGRImage, BGRImage]], sizes: list[tuple[int, int]]
) -> tuple[tuple[int, int], list[tuple[BGRImage, BGRImage]]]:
    """The size (width, height) of a clip's source, and its images at one size, each in its own shape."""
    if all(same_shape(sizes[0], size) for size in sizes):
        height, width = pairs[0][0].shape[:2]
        return sizes[0], [(resized(a, width, height), resized(b, width, height)) for a, b in pairs]
    side = max(max(image.shape) for pair in pairs for image in pair)
    longest = max(max(size) for size in sizes)
    return (longest, longest), [(squared(a, side), squared(b, side)) for a, b in pairs]


def _probe_frames(path: Path) -> MediaInfo:
    names = Folder(path).names
    height, width = read_image(path / names[0]).shape[:2]
    return MediaInfo(len(names), 0.0, width, height, len(names))


def _probe_video(path: Path) -> MediaInfo:
    with closing(_open_video(path)) as video:
        count = width = height = 0
        end = 0.0  # seconds
        for picture in video.pictures():
            if not count:
                height, width = picture.image.shape[:2]
            count, end = count + 1, picture.time
        if not count:
            raise NoFramesError("the video has no frame that can be decoded: it is damaged or holds sound only")
        declared = video.declared_frames()
        # Where the rate varies, some containers declare their duration times their rate: then compare durations,
        # which say nothing of frames lost on the way.
        reached = count if video.lost else max(count, end * video.fps + 1)
        ends_early = reached < TRUNCATED * declared - 1 or not video.reaches_its_end()
        return MediaInfo(count, video.fps, width, height, declared, ends_early, video.errors)
