"""Damaged and cut videos say so, as far as decoder and container can tell; no intact video is accused."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from grace.pipeline.errors import ClipError
from grace.pipeline.index.index import index
from grace.pipeline.index.reconciliation import DAMAGED, ENDS_EARLY
from grace.pipeline.media.video import probe
from grace.pipeline.store import Clips
from tests.support.videos import encode, encode_pictures, numbered, remux, vary_rate, write_video

COUNT = 50
CODECS = {
    "clip.mp4": ("libx264", "yuv420p"),
    "hevc.mp4": ("libx265", "yuv420p"),
    "clip.mov": ("mpeg4", "yuv420p"),
    "clip.3gp": ("mpeg4", "yuv420p"),
    "clip.mkv": ("libx264", "yuv420p"),
    "clip.webm": ("libvpx", "yuv420p"),
    "clip.avi": ("mpeg4", "yuv420p"),
    "jpeg.avi": ("mjpeg", "yuvj420p"),
    "clip.wmv": ("wmv2", "yuv420p"),
    "clip.flv": ("flv", "yuv420p"),
    "clip.mpg": ("mpeg1video", "yuv420p"),
    "mpeg2.ts": ("mpeg2video", "yuv420p"),
    "clip.ts": ("libx264", "yuv420p"),
    "clip.ogv": ("libvpx", "yuv420p"),
    "clip.gif": ("gif", "rgb8"),
}


def textured(number: int) -> np.ndarray:
    """A picture that takes some hundred bytes: a file of them is cut within one, not within its header."""
    noise = np.random.default_rng(number).integers(0, 60, (64, 96, 3), dtype=np.uint8)
    return np.asarray(numbered(number) // 2 + noise)


def written(path: Path, **options: str) -> Path:
    """A video of the container and codec that its name asks for."""
    if path.suffix == ".webp":
        pictures = [Image.fromarray(textured(number)) for number in range(COUNT)]
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)
        return path
    times = [Fraction(number, 25) for number in range(COUNT)]
    return encode_pictures(path, [textured(number) for number in range(COUNT)], times, *CODECS[path.name], options)


def muxed(path: Path, **options: str) -> Path:
    """The packets of an H.264 video in a container that is written as ``options`` say."""
    with av.open(str(encode(path.with_name("source.mp4"), COUNT))) as read:
        copy(read, av.open(str(path), "w", container_options=options))
    return path


def streamed(path: Path, kind: str, codec: str = "libx264") -> Path:
    """A file as a stream leaves it: nobody went back to note how long it became."""
    pipe: Any = io.BytesIO()
    pipe.seekable = lambda: False

    class Pipe:
        """What can only be written to."""

        write = staticmethod(pipe.write)

    with av.open(
        str(encode(path.with_name("source.mp4" if codec == "libx264" else "source.webm"), COUNT, codec))
    ) as read:
        copy(read, av.open(Pipe(), "w", format=kind))
    path.write_bytes(pipe.getvalue())
    return path


def copy(read: Any, file: Any) -> None:
    stream = file.add_stream_from_template(read.streams.video[0])
    for packet in read.demux(read.streams.video[0]):
        if packet.dts is not None:
            packet.stream = stream
            file.mux(packet)
    file.close()


def begun_late(path: Path) -> Path:
    """A transport stream recorded from amidst a group of pictures."""
    times = [Fraction(number, 25) for number in range(COUNT)]
    pictures = [textured(number) for number in range(COUNT)]
    encode_pictures(path, pictures, times, "mpeg2video", options={"g": "12", "bf": "2", "flags": "-cgop"})
    content = path.read_bytes()
    path.write_bytes(content[len(content) // 5 // 188 * 188 :])
    return path


def varied(path: Path) -> Path:
    vary_rate(write_video(path, COUNT), COUNT // 2)
    return path


def followed(path: Path) -> Path:
    """A GIF behind whose trailer something was appended."""
    path.write_bytes(written(path).read_bytes() + b"\0\0appended")
    return path


INTACT: dict[str, Callable[[Path], Path]] = {
    **dict.fromkeys((*CODECS, "clip.webp"), written),
    "faststart.mp4": lambda path: muxed(path, movflags="faststart"),
    "fragmented.mp4": lambda path: muxed(path, movflags="frag_keyframe+empty_moov"),
    "streamed.mp4": lambda path: muxed(path, movflags="frag_every_frame+empty_moov+delay_moov"),
    "streamed.mkv": lambda path: streamed(path, "matroska"),
    "streamed.webm": lambda path: streamed(path, "webm", "libvpx"),
    "streamed.ts": lambda path: streamed(path, "mpegts"),
    "streamed.flv": lambda path: streamed(path, "flv"),
    "varied.mp4": varied,
    "varied.mkv": lambda path: encode(path, COUNT, lasting=9),
    "varied.webm": lambda path: encode(path, COUNT, "libvpx", lasting=9),
    "hidden.mp4": lambda path: remux(encode(path.with_name("whole.mp4"), 60), path, Fraction(-10, 25)),
    "late.ts": begun_late,
    "opencv.avi": lambda path: write_video(path, COUNT, codec="XVID"),
    "opencv.jpeg.avi": lambda path: write_video(path, COUNT, codec="MJPG"),
    "followed.gif": lambda path: followed(path.with_name("clip.gif")),
}


@pytest.mark.parametrize("name", INTACT)
def test_an_intact_video_has_no_problem(tmp_path: Path, name: str) -> None:
    path = INTACT[name](tmp_path / name)
    held = probe(path, "video")
    assert held.n_frames == COUNT or (name == "late.ts" and held.n_frames > COUNT // 2)
    assert (held.problem, held.errors, held.ends_early) == ("", 0, False)


@pytest.mark.parametrize("name", [*CODECS, "clip.webp", "faststart.mp4", "fragmented.mp4"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_a_cut_video_says_so_or_fails(tmp_path: Path, name: str, share: float) -> None:
    path = INTACT[name](tmp_path / name)
    content = path.read_bytes()
    end = int(share * len(content))
    path.write_bytes(content[: end + (name.endswith(".ts") and end % 188 == 0)])
    try:
        held = probe(path, "video")
    except ClipError:
        return
    assert held.n_frames < COUNT
    assert held.problem


def test_a_transport_stream_cut_between_packets_cannot_be_known(tmp_path: Path) -> None:
    path = streamed(tmp_path / "clip.ts", "mpegts")
    content = path.read_bytes()
    cut = []
    for packets in range(len(content) // 188 // 2, len(content) // 188):
        path.write_bytes(content[: 188 * packets])
        cut.append(probe(path, "video"))
    assert any(held.n_frames < COUNT and not held.problem for held in cut)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi", "clip.mpg", "mpeg2.ts", "clip.gif"])
def test_an_overwritten_piece_is_told(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name)
    content = bytearray(path.read_bytes())
    place = len(content) // 2
    content[place : place + 300] = np.random.default_rng(0).bytes(300)
    path.write_bytes(content)
    held = probe(path, "video")
    assert held.n_frames
    assert held.problem


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts"])
def test_frames_lost_on_the_way_are_reported(tmp_path: Path, suffix: str) -> None:
    """Decoding goes on behind damage; that a fifth of the clip is gone must not pass in silence."""
    path = encode(tmp_path / f"clip.{suffix}", 80, codec="mjpeg", pixels="yuvj420p") if suffix == "avi" else None
    path = path or encode(tmp_path / f"clip.{suffix}", 80, codec="mpeg4")
    content = bytearray(path.read_bytes())
    hole = slice(len(content) // 3, len(content) // 3 + len(content) // 4)
    content[hole] = bytes(len(content[hole]))
    path.write_bytes(content)
    held = probe(path, "video")
    assert held.n_frames < 72
    assert held.ends_early


def test_a_damaged_animation_is_reported(tmp_path: Path) -> None:
    pictures = [Image.fromarray(numbered(number)[:, :, ::-1].copy()) for number in range(40)]
    path = tmp_path / "clip.webp"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    try:
        held = probe(path, "video")
    except ClipError as error:
        assert "WebP" in str(error) or "no frame" in str(error)
    else:
        assert held.ends_early


def test_the_row_and_the_findings_say_what_is_wrong(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    root.mkdir()
    written(root / "clip.mp4").rename(root / "whole.mp4")
    content = bytearray((root / "whole.mp4").read_bytes())
    place = content.index(b"mdat") + len(content) // 2
    content[place : place + 200] = np.random.default_rng(0).bytes(200)
    (root / "damaged.mp4").write_bytes(content)
    cut = written(root / "clip.gif")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 3])
    found = index("own", root, tmp_path / "data")
    rows = {row["clip_id"]: row for row in Clips(tmp_path / "data").rows}
    assert {clip: row["status"] for clip, row in rows.items()} == {
        "whole": "ok",
        "damaged": "fallback",
        "clip": "fallback",
    }
    assert "index: damaged.mp4: the video is damaged: " in rows["damaged"]["error"]
    assert "index: clip.gif: the video is cut off or damaged: " in rows["clip"]["error"]
    assert [clip for clip, _ in found.findings[DAMAGED]] == ["damaged"]
    assert [clip for clip, _ in found.findings[ENDS_EARLY]] == ["clip"]
