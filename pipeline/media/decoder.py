"""Video files as a player would show them, decoded by FFmpeg through PyAV.

That is: the main picture track, turned and mirrored by its display matrix, with square pixels, without the frames that
an edit list or the codec hides. No other file is opened, whatever the video names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import av
import numpy as np
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from jaxtyping import Int32, UInt8

from grace.pipeline.errors import ClipError
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
BUFFER = 1 << 18

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
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.start = 0.0
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
        rate = float(self._stream.guessed_rate or self._stream.average_rate or 0)
        self.fps = rate if 0 < rate < 1000 else 0.0
        self._stream.codec_context.thread_count = 1  # clips are decoded in parallel
        self._reformatter = VideoReformatter()

    def close(self) -> None:
        """Close the file."""
        self._container.close()
        self._file.close()

    def pictures(self) -> Iterator[Picture]:
        """Every frame that is shown, in the order of time."""
        step = 1.0 / (self.fps or FRAMES_FPS)
        before = -step
        for number, frame in enumerate(self._frames()):
            stamp = self._stamp(frame)
            if number == 0:
                self.start = stamp or 0.0
            time = before + step if stamp is None else stamp - self.start
            # Some containers give no time stamps, or repeat one.
            time = time if time > before or number == 0 else before + step
            before = time
            yield _Frame(number, max(time, 0.0), frame, self)

    def declared_frames(self) -> int:
        """Frames that the header promises, hidden ones left out; 0 if it promises nothing. Call it after decoding."""
        counted = self._stream.frames
        seconds = self._declared_seconds()
        by_time = round(seconds * self.fps)
        return min(counted, by_time) if counted and by_time else counted or by_time

    def _declared_seconds(self) -> float:
        stream, names = self._stream, self._container.format.name.split(",")
        if stream.duration and stream.time_base and not {"gif", "mpegts", "mpeg"} & {*names}:
            return float(stream.duration * stream.time_base)
        if {"matroska", "flv"} & {*names} and self._container.duration:
            end = float(self._container.duration) / av.time_base
            return end - self.start if end > self.start > 0 else end  # these note when the last frame ends
        return 0.0

    def _stamp(self, frame: av.VideoFrame) -> float | None:
        stamp = frame.pts if frame.pts is not None else frame.dts
        return None if stamp is None or frame.time_base is None else float(stamp * frame.time_base)

    def _frames(self) -> Iterator[av.VideoFrame]:
        for packet in self._packets():
            try:
                frames = self._stream.codec_context.decode(packet)
            except MemoryError:
                raise
            except (av.FFmpegError, ValueError):
                continue  # a damaged packet: the next one may be whole
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
            except MemoryError:
                raise
            except (av.FFmpegError, OSError):
                failures += 1
        yield None

    def show(self, frame: av.VideoFrame) -> BGRImage:
        """A frame's pixels as a player shows them."""
        image = self._reformat(frame, "bgr24")
        width, height = self._shown_size(frame.width, frame.height)
        matrix: Any = frame.side_data.get("DISPLAYMATRIX")
        image = resized(image, width, height)
        return image if matrix is None else oriented(image, np.frombuffer(bytes(matrix), np.int32).reshape(3, 3))

    def brightness(self, frame: av.VideoFrame) -> UInt8[np.ndarray, "_height _width"]:
        """A frame's brightness, as it is stored."""
        return self._reformat(frame, "gray")

    def _reformat(self, frame: av.VideoFrame, pixels: str) -> Any:
        return self._reformatter.reformat(frame, format=pixels, threads=1).to_ndarray()

    def _shown_size(self, width: int, height: int) -> tuple[int, int]:
        """The size at which pixels are square; nothing is shrunk for it."""
        shape = float(self._stream.sample_aspect_ratio or 1)
        if not 1 / LONGEST_PIXEL <= shape <= LONGEST_PIXEL:
            return width, height
        return (round(width * shape), height) if shape >= 1 else (width, round(height / shape))


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


def _open(file: Any) -> Any:
    options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "none"}
    try:
        return av.open(file, "r", container_options=options, metadata_errors="replace", buffer_size=BUFFER)
    except MemoryError:
        raise
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
