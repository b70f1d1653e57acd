"""Small videos and folders of images in which every frame shows its own number, and edits of a video's header."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

SIZE = (96, 64)


def numbered(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A picture of eight grey or white columns: ``number`` in binary, which survives any coding."""
    width, height = size
    picture = np.full((height, width, 3), 40, dtype=np.uint8)
    for bit in range(8):
        if number >> bit & 1:
            picture[:, bit * width // 8 : (bit + 1) * width // 8] = 215
    return picture


def number_of(picture: np.ndarray) -> int:
    """The number that a picture shows."""
    row = picture.mean(axis=(0, 2)).reshape(8, -1).mean(axis=1)
    return int(sum(1 << bit for bit in range(8) if row[bit] > 128))


def write_video(path: Path, count: int, fps: float = 25.0, size: tuple[int, int] = SIZE, codec: str = "mp4v") -> Path:
    """A video of ``count`` numbered frames."""
    return write_frames_as_video(path, [numbered(number, size) for number in range(count)], fps, codec)


def write_frames_as_video(path: Path, frames: list[np.ndarray], fps: float = 25.0, codec: str = "mp4v") -> Path:
    """A video of these frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames[0].shape[:2]
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (width, height))
    for frame in frames:
        video.write(frame)
    video.release()
    return path


def write_images(folder: Path, count: int, suffix: str = ".png") -> Path:
    """A folder of numbered frames named 0.png, 1.png … 10.png, as field tools name them."""
    folder.mkdir(parents=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}{suffix}"), numbered(number))
    return folder


def rotate_by_tag(path: Path, a: int = 0, b: int = 1, c: int = -1, d: int = 0) -> None:
    """Set the matrix in an MP4 file's track header by which players turn the video; by 90 degrees unless given."""
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in (a, b, c, d))
    content[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


def vary_rate(path: Path, slow: int) -> None:
    """Make the frames of an MP4 file from number ``slow`` on last three times as long: a variable frame rate."""
    content = bytearray(path.read_bytes())
    at = content.index(b"stts") - 4
    size, _, _, entries, count, length = struct.unpack(">I4sIIII", content[at : at + 24])
    assert (size, entries) == (24, 1)
    table = struct.pack(">I4sIIIIII", 32, b"stts", 0, 2, slow, length, count - slow, 3 * length)
    content[at : at + 24] = table
    content = content.replace(b"edts", b"free")  # the edit list ends where the clip ended before
    for box in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        where = content.index(box) - 4
        (old,) = struct.unpack(">I", content[where : where + 4])
        content[where : where + 4] = struct.pack(">I", old + 8)
    path.write_bytes(content)


def encode(
    path: Path,
    count: int,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    lasting: int = 1,
    size: tuple[int, int] = SIZE,
) -> Path:
    """A video of numbered frames by FFmpeg's encoders; every second frame is shown ``lasting`` times as long."""
    starts = np.cumsum([0, *(lasting if number % 2 else 1 for number in range(count - 1))])
    pictures = [numbered(number, size) for number in range(count)]
    return encode_pictures(path, pictures, [Fraction(int(start), 25) for start in starts], codec, pixels)


def encode_pictures(
    path: Path,
    pictures: list[np.ndarray],
    times: Sequence[Fraction],
    codec: str = "libx264",
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
) -> Path:
    """A video of these pictures at these times, seconds, by FFmpeg's encoders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = round(1 / (times[1] - times[0])) if len(times) > 1 else 25
    base = Fraction(1, rate if all((time * rate).denominator == 1 for time in times) else 600)
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream(codec, rate=rate)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.options = pixels, options or {}
        stream.codec_context.time_base = base
        for picture, time in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, "bgr24").reformat(format=pixels)
            frame.pts, frame.time_base = round(time / base), base
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def remux(source: Path, path: Path, shift: Fraction) -> Path:
    """The packets of a video in another file, ``shift`` seconds later: what ends before 0 is hidden by an edit list."""
    with (
        av.open(str(source)) as read,
        av.open(str(path), "w", container_options={"avoid_negative_ts": "disabled"}) as file,
    ):
        packets: Any = read.demux(read.streams.video[0])
        stream = file.add_stream_from_template(read.streams.video[0])
        for packet in packets:
            if packet.dts is not None:
                later = round(shift / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts + later, packet.dts + later, stream
                file.mux(packet)
    return path


def write_sound(path: Path) -> Path:
    """A real MP4 file that holds a second of sound and no pictures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), dtype=np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 8000, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def write_hanging(path: Path) -> Path:
    """A small file on which any decoder works for many minutes: 20,000 pictures of 3,000 × 3,000 pixels in a GIF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    side, one_pixel = struct.pack("<HH", 3000, 3000), struct.pack("<HHHHB", 0, 0, 1, 1, 0)
    header = b"GIF89a" + side + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    frame = b"\x21\xf9\x04\0\x04\0\0\0" + b"\x2c" + one_pixel + b"\x02\x02\x44\x01\0"
    path.write_bytes(header + 20_000 * frame + b"\x3b")
    return path
