"""Video files as a player would show them, decoded by FFmpeg through PyAV.

That is: the main picture track, turned and mirrored by its display matrix, with square pixels, without the frames that
an edit list or the codec hides. No other file is opened, whatever the video names.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, BinaryIO

import av
import numpy as np
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from jaxtyping import Int32, UInt8

from grace.pipeline.errors import ClipError
from grace.pipeline.media.endings import reaches_its_end
from grace.pipeline.media.frames import FRAMES_FPS
from grace.pipeline.media.images import BGRImage
from grace.pipeline.media.pictures import Picture, resized

DEMUXERS = (
    "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,asf,ogg,gif,apng,mxf,nut,rm,wtv,dv,swf,ivf,yuv4mpegpipe"
    ",h261,h263,h264,hevc,vvc,m4v,mjpeg,mjpeg_2000,obu,av1,vc1,vc1test,dirac,cavsvideo,jpeg_pipe,png_pipe,webp_pipe"
)
"""FFmpeg's readers of files that hold their own pictures. Playlists, patterns of names and devices are left out."""
LONGEST_PIXEL = 8.0
"""A pixel's sides differ by less than this; what says more is damage."""
FAILED_READS = 1000
"""Failed reads in a row after which a damaged file is taken to have ended."""
RESYNCHRONISED = {"matroska", "mpegts", "mpeg", "flv", "ogg", "asf"}
"""Containers whose readers pass over damage without a word, so that only a hole in time shows it."""
LONGEST_INTERVAL, HOLES, RARE = 4, 3, 8
"""An interval this many times the usual one is a hole; more holes than that, or more than one in so many intervals, are
a rate that varies."""

WITH_LUMA = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "gray"})
"""Pixel formats whose first plane is an 8-bit brightness."""

LFS_POINTER = b"version https://git-lfs"
"""How a file begins that Git LFS has not fetched."""

SECONDARY = Disposition.attached_pic | Disposition.timed_thumbnails
"""Tracks that are no video: cover art, thumbnails."""

av.logging.set_level(av.logging.PANIC)  # complaints about damaged files become the clip's error, not lines on screen


class Video:
    """One video file, opened for one pass over its frames.

    Args:
        file: the open file, which this closes.

    Raises:
        ClipError: it is no video, or holds no pictures; the message is the cause.

    Attributes:
        fps: frames per second by its header; 0 if unknown.
        start: time stamp of the first frame, seconds; known once it was decoded.
        lost: packets since then that could not be read or decoded, and frames that holes in time have swallowed.
        errors: packets since then that could not be read or decoded, and frames that were decoded with errors, as far
            as FFmpeg says so. It hides much damage within frames (nearly all in HEVC, VP8, VP9 and JPEG, some in H.264
            and WMV), and passes over a frame of Matroska, WebM and FLV without a word.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.start, self.lost, self.errors = 0.0, 0, 0
        self._decoded = False
        try:
            self._container = _open(self._file)
            try:
                self._stream = _main_track(self._container)
            except BaseException:
                self._container.close()
                raise
        except BaseException:
            self._file.close()
            raise
        rate = float(self._stream.average_rate or self._stream.guessed_rate or 0)
        self.fps = rate if 0 < rate < 1000 else 0.0
        self._stream.codec_context.thread_count = 1  # clips are decoded in parallel
        aspect = float(self._stream.sample_aspect_ratio or 1)
        self._matrix: Any = None  # the display matrix, known once a frame was decoded
        self._aspect = aspect if 1 / LONGEST_PIXEL <= aspect <= LONGEST_PIXEL else 1.0  # of a pixel
        self._to_bgr, self._to_grey = VideoReformatter(), VideoReformatter()  # each remembers its last conversion

    def close(self) -> None:
        """Close the file."""
        self._container.close()
        self._file.close()

    def pictures(self) -> Iterator[Picture]:
        """Every frame that is shown, in the order of time."""
        step = 1.0 / (self.fps or FRAMES_FPS)
        before, times = -step, []
        for number, frame in enumerate(self._frames()):
            stamp = self._stamp(frame)
            if number == 0:
                self.start = stamp or 0.0
                self._matrix = frame.side_data.get("DISPLAYMATRIX")
            time = before + step if stamp is None else stamp - self.start
            # Some containers give no time stamps, or repeat one.
            time = time if time > before or number == 0 else before + step
            before = time
            times.append(time)
            yield _Frame(number, max(time, 0.0), frame, self)
        if RESYNCHRONISED & {*self._container.format.name.split(",")}:
            self.lost += frames_in_holes(times)

    def declared_frames(self) -> int:
        """Frames that the header promises, hidden ones left out; 0 if it promises nothing. Call it after decoding."""
        counted = self._stream.frames
        by_time = round(self._declared_seconds() * self.fps)
        if counted and by_time and "mov" in self._container.format.name:  # it counts hidden frames too
            return min(counted, by_time)
        return counted or by_time

    def reaches_its_end(self) -> bool:
        """Whether the file holds all that its container announces. Call it after decoding."""
        return reaches_its_end(self._file)

    def _declared_seconds(self) -> float:
        stream, names = self._stream, {*self._container.format.name.split(",")}
        whole = float(self._container.duration or 0) / av.time_base
        if {"matroska", "flv"} & names:  # these note when the last frame ends
            return whole - self.start if whole > self.start > 0 else whole
        if {"mpegts", "mpeg"} & names:  # FFmpeg's estimate, which counts what comes before the first whole frame
            return whole if self.lost else 0.0
        if "gif" in names or not stream.duration or not stream.time_base:
            return 0.0
        return float(stream.duration * stream.time_base)

    def _stamp(self, frame: av.VideoFrame) -> float | None:
        stamp = frame.time
        if stamp is None and frame.dts is not None and frame.time_base is not None:
            stamp = float(frame.dts * frame.time_base)
        return stamp if stamp is not None and math.isfinite(stamp) else None

    def _frames(self) -> Iterator[av.VideoFrame]:
        for packet in self._packets():
            self._count_lost(packet is not None and packet.is_corrupt)
            try:
                frames = self._stream.codec_context.decode(packet)
            except MemoryError:
                raise
            except (av.FFmpegError, ValueError):
                self._count_lost()  # a damaged packet: the next one may be whole
                continue
            self._decoded = self._decoded or bool(frames)
            self.errors += sum(frame.is_corrupt for frame in frames)
            yield from frames

    def _packets(self) -> Iterator[av.Packet[Any] | None]:
        """Every packet of the track, then nothing, which has the decoder give what it still holds."""
        failures = 0
        while failures < FAILED_READS:
            try:
                for packet in self._container.demux(self._stream):
                    failures = 0
                    if packet.size:
                        yield packet
                break
            except (av.FFmpegError, OSError):  # also of memory: a damaged size asks for more than there is
                failures += 1
                self._count_lost()
        yield None

    def _count_lost(self, lost: bool = True) -> None:
        """Before the first frame nothing is lost: many streams begin between two frames that stand alone."""
        self.lost += self._decoded and lost
        self.errors += self._decoded and lost

    def show(self, frame: av.VideoFrame) -> BGRImage:
        """A frame's pixels as a player shows them."""
        colours = self._to_bgr.reformat(frame, format="bgr24", threads=1)
        image = resized(_pixels(colours, colours.planes[0], 3), *self._shown_size(frame.width, frame.height))
        if self._matrix is None:
            return image
        return oriented(image, np.frombuffer(bytes(self._matrix), np.int32).reshape(3, 3))

    def brightness(self, frame: av.VideoFrame) -> UInt8[np.ndarray, "_height _width"]:
        """A frame's brightness, as it is stored."""
        plane = frame.planes[0]
        if frame.format.name not in WITH_LUMA or plane.line_size < 0:
            frame = self._to_grey.reformat(frame, format="gray", threads=1)
            plane = frame.planes[0]
        return _pixels(frame, plane, 1)[:, :, 0]

    def _shown_size(self, width: int, height: int) -> tuple[int, int]:
        """The size at which pixels are square; nothing is shrunk for it."""
        if self._aspect >= 1:
            return round(width * self._aspect), height
        return width, round(height / self._aspect)


class _Frame(Picture):
    """A frame of a video, turned into an image when that is asked for."""

    def __init__(self, number: int, time: float, frame: av.VideoFrame, video: Video) -> None:
        super().__init__(number, time)
        self._frame, self._video = frame, video

    def _decode(self) -> BGRImage:
        try:
            return self._video.show(self._frame)
        except (av.FFmpegError, ValueError):
            raise ClipError(f"frame {self.number} of the video cannot be decoded") from None

    def _decode_grey(self) -> UInt8[np.ndarray, "_height _width"]:
        try:
            return self._video.brightness(self._frame)
        except (av.FFmpegError, ValueError):
            raise ClipError(f"frame {self.number} of the video cannot be decoded") from None


def frames_in_holes(times: list[float]) -> int:
    """How many frames the holes in a constant rate have swallowed; 0 where the rate varies.

    Example:
        >>> frames_in_holes([0.0, 0.04, 0.08, 0.12, 0.16, 0.2, 0.24, 0.28, 0.32, 1.0, 1.04, 1.08])
        16
        >>> frames_in_holes([0.0, 0.04, 0.4, 0.44, 0.8, 0.84, 1.2, 1.24, 1.6, 1.64])
        0
    """
    if len(times) < HOLES + 2:
        return 0
    intervals = np.diff(times)
    usual = float(np.median(intervals))
    holes = intervals[intervals > LONGEST_INTERVAL * usual]
    few = len(holes) <= HOLES and RARE * len(holes) <= len(intervals)
    return round(float((holes / usual - 1).sum())) if few else 0


def oriented(image: BGRImage, matrix: Int32[np.ndarray, "3 3"]) -> BGRImage:
    """The image turned and mirrored by a display matrix, to the nearest right angle.

    Args:
        image: the frame as stored.
        matrix: as in the track header of MP4 (ISO 14496-12, 8.3.2): a pixel (x, y) goes to x · row 0 + y · row 1.

    Returns:
        One of the eight orientations of the image.

    Example:
        >>> image = np.zeros((2, 3, 3), np.uint8)
        >>> image[0, 0] = 255
        >>> one = 1 << 16
        >>> quarter = np.array([[0, one, 0], [-one, 0, 0], [0, 0, 1 << 30]], np.int32)
        >>> oriented(image, quarter)[:, :, 0].tolist()
        [[0, 255], [0, 0], [0, 0]]
    """
    (a, b), (c, d) = matrix[:2, :2].tolist()
    if abs(a) + abs(d) < abs(b) + abs(c):
        image, right, down = image.transpose(1, 0, 2), c, b
    else:
        right, down = a, d
    return np.ascontiguousarray(image[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1])


def _pixels(frame: av.VideoFrame, plane: Any, channels: int) -> UInt8[np.ndarray, "_height _width _channels"]:
    """The first plane of a frame as an array, without a copy. (``frame.planes`` makes all of them at each access.)"""
    shape, strides = (frame.height, frame.width, channels), (plane.line_size, channels, 1)
    return np.ndarray(shape, np.uint8, buffer=memoryview(plane), strides=strides)


def _open(file: Any) -> Any:
    options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "none"}
    if file.read(len(LFS_POINTER)) == LFS_POINTER:
        raise ClipError("the video is a pointer of Git LFS: run `git lfs pull` in the data set's repository")
    file.seek(0)
    try:
        return av.open(file, "r", container_options=options, metadata_errors="replace")
    except av.ArgumentError:  # what FFmpeg says of a reader outside the list
        cause = "it is no video, or a playlist that names other files"
    except (av.FFmpegError, ValueError):
        cause = "it is damaged, cut off, or no video"
    raise ClipError(f"the video cannot be opened: {cause}")


def _main_track(container: Any) -> Any:
    """The track that a player shows: the default one, then the largest, then the first; no cover or thumbnail."""
    tracks = [track for track in container.streams.video if not track.disposition & SECONDARY]
    if not tracks:
        raise ClipError("the video cannot be opened: it holds no pictures")
    readable = [track for track in tracks if track.codec_context is not None]
    if not readable:
        raise ClipError("the video cannot be opened: no decoder for its codec is there")

    def rank(track: Any) -> tuple[bool, int]:
        context = track.codec_context
        return bool(track.disposition & Disposition.default), context.width * context.height

    return max(readable, key=rank)
