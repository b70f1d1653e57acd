"""Footage as a player shows it: orientation, pixel shape, edit lists, tracks, rates, animations; and no other file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from grace.pipeline.errors import ClipError
from grace.pipeline.faces.settings import FacesSettings
from grace.pipeline.faces.step import FacesStep
from grace.pipeline.media.content import content_digest, is_content
from grace.pipeline.media.frames import in_order
from grace.pipeline.media.images import BGRImage, decode_crop
from grace.pipeline.media.video import probe, sample_frames
from tests.support.videos import (
    encode,
    encode_pictures,
    number_of,
    numbered,
    remux,
    rotate_by_tag,
    write_frames_as_video,
    write_images,
    write_video,
)


def landmarked() -> BGRImage:
    """A picture whose corners all differ: 60, 120, 180 and 240 from the top left on, by rows."""
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:32, :48], picture[:32, 48:], picture[32:, :48], picture[32:, 48:] = 60, 120, 180, 240
    return picture


def corners(picture: BGRImage) -> list[int]:
    height, width = picture.shape[:2]
    values = [picture[y, x].mean() for y in (height // 4, -height // 4) for x in (width // 4, -width // 4)]
    return [round(value / 60) for value in values]


def disc(width: int, height: int) -> BGRImage:
    """What is stored of a round disc when it is squeezed into this size."""
    picture = np.zeros((256, 256, 3), np.uint8)
    cv2.circle(picture, (128, 128), 90, (255, 255, 255), -1)
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))


def roundness(picture: BGRImage) -> float:
    """Width over height of the bright disc."""
    bright = picture[:, :, 0] > 128
    return float(bright.any(axis=0).sum() / bright.any(axis=1).sum())


def moving(place: int) -> BGRImage:
    """A textured square on a textured ground, ``place`` pixels to the right."""
    rng = np.random.default_rng(3)
    ground = cv2.resize(rng.integers(60, 120, (9, 12, 3), dtype=np.uint8), (160, 112), interpolation=cv2.INTER_CUBIC)
    square = cv2.resize(rng.integers(130, 255, (6, 6, 3), dtype=np.uint8), (48, 48), interpolation=cv2.INTER_CUBIC)
    ground[32:80, 10 + place : 58 + place] = square
    return ground


def place_of(picture: BGRImage) -> int:
    """Where :func:`moving` put the square."""
    return int(np.argmin([np.abs(picture.astype(int) - moving(place)).mean() for place in range(90)]))


def steps(path: Path, count: int = 8) -> list[int]:
    """By how much the square moves from each instant to its neighbour."""
    clip = sample_frames(path, "video", count, probe(path, "video").n_frames)
    return [place_of(b) - place_of(a) for a, b in zip(clip.frames, clip.neighbours, strict=True)]


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((1, 0, 0, 1), [1, 2, 3, 4]),
        ((-1, 0, 0, 1), [2, 1, 4, 3]),  # mirrored, as front cameras note it
        ((1, 0, 0, -1), [3, 4, 1, 2]),
        ((-1, 0, 0, -1), [4, 3, 2, 1]),
        ((0, 1, -1, 0), [3, 1, 4, 2]),
        ((0, -1, 1, 0), [2, 4, 1, 3]),
        ((0, 1, 1, 0), [1, 3, 2, 4]),  # mirrored and turned
        ((0, -1, -1, 0), [4, 2, 3, 1]),
    ],
)
def test_a_display_matrix_turns_and_mirrors(tmp_path: Path, matrix: Sequence[int], shown: list[int]) -> None:
    path = write_frames_as_video(tmp_path / "clip.mp4", [landmarked()] * 4)
    rotate_by_tag(path, *matrix)
    held, clip = probe(path, "video"), sample_frames(path, "video", 2, 4)
    assert [corners(frame) for frame in (*clip.frames, *clip.neighbours)] == [shown] * 4
    assert (held.width, held.height) == clip.size == ((64, 96) if matrix[0] == 0 else (96, 64))


@pytest.mark.parametrize(
    ("stored", "aspect", "shown"),
    [((180, 144), "64:45", (256, 144)), ((120, 240), "2:1", (240, 240)), ((240, 120), "1:2", (240, 240))],
)
def test_pixels_become_square(tmp_path: Path, stored: tuple[int, int], aspect: str, shown: tuple[int, int]) -> None:
    times = [Fraction(number, 25) for number in range(4)]
    path = encode_pictures(tmp_path / "clip.mp4", [disc(*stored)] * 4, times, options={"aspect": aspect})
    held, clip = probe(path, "video"), sample_frames(path, "video", 2, 4)
    assert (held.width, held.height) == clip.size == shown
    wide = shown[0] / shown[1]
    assert all(roundness(frame) == pytest.approx(wide, rel=0.03) for frame in clip.frames)


def test_a_turned_video_of_oblong_pixels(tmp_path: Path) -> None:
    times = [Fraction(number, 25) for number in range(4)]
    path = encode_pictures(tmp_path / "clip.mp4", [disc(120, 240)] * 4, times, options={"aspect": "2:1"})
    rotate_by_tag(path)
    assert roundness(sample_frames(path, "video", 1, 4).frames[0]) == pytest.approx(1, rel=0.03)


def test_frames_that_an_edit_list_hides_are_not_shown_and_none_is_missing(tmp_path: Path) -> None:
    whole = encode(tmp_path / "whole.mp4", 60)
    path = remux(whole, tmp_path / "cut.mp4", Fraction(-10, 25))
    held = probe(path, "video")
    assert (held.n_frames, held.declared, held.ends_early) == (50, 50, False)
    clip = sample_frames(path, "video", 5, 50)
    assert [number_of(frame) for frame in clip.frames] == [15, 25, 35, 45, 55]
    assert np.allclose(clip.times, [0.2, 0.6, 1.0, 1.4, 1.8])


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "ts", "flv"])
def test_a_first_time_stamp_far_from_zero_is_no_missing_end(tmp_path: Path, suffix: str) -> None:
    path = remux(encode(tmp_path / "whole.mp4", 60), tmp_path / f"cut.{suffix}", Fraction(100))
    held = probe(path, "video")
    assert (held.n_frames, held.ends_early) == (60, False)
    clip = sample_frames(path, "video", 3, 60)
    assert [number_of(frame) for frame in clip.frames] == [10, 30, 50]
    assert np.allclose(clip.times, [0.4, 1.2, 2.0], atol=0.002)


def test_the_main_track_is_shown_not_the_cover(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    cover = cv2.imencode(".png", np.full((400, 400, 3), 255, np.uint8))[1].tobytes()
    with av.open(str(path), "w") as file:
        attached: Any = file.add_stream("png", rate=1)
        attached.width = attached.height = 400
        attached.pix_fmt, attached.disposition = "rgb24", Disposition.attached_pic
        main: Any = file.add_stream("libx264", rate=25)
        main.width, main.height, main.pix_fmt = 96, 64, "yuv420p"
        packet: Any = av.Packet(cover)
        packet.stream, packet.pts, packet.dts = attached, 0, 0
        file.mux(packet)
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(numbered(number), "bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            file.mux(main.encode(frame))
        file.mux(main.encode())
    held = probe(path, "video")
    assert (held.n_frames, held.width, held.height) == (20, 96, 64)
    assert [number_of(frame) for frame in sample_frames(path, "video", 2, 20).frames] == [5, 15]


def test_of_two_tracks_the_larger_is_the_main_one(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as file:
        streams: list[Any] = []
        for size in ((48, 32), (96, 64)):
            stream: Any = file.add_stream("mpeg4", rate=25)
            (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
            stream.disposition = Disposition(0)
            streams.append((stream, size))
        for number in range(10):
            for stream, size in streams:
                frame = av.VideoFrame.from_ndarray(numbered(number, size), "bgr24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                file.mux(stream.encode(frame))
        for stream, _ in streams:
            file.mux(stream.encode())
    assert probe(path, "video").width == 96


@pytest.mark.parametrize(("rate", "apart"), [(24, 1), (25, 1), (30, 1), (50, 2), (60, 2), (120, 5), (12, 1)])
def test_a_neighbour_is_about_a_twenty_fifth_of_a_second_on(tmp_path: Path, rate: int, apart: int) -> None:
    count = 40
    times = [Fraction(number, rate) for number in range(count)]
    path = encode_pictures(tmp_path / "clip.mp4", [moving(2 * number) for number in range(count)], times)
    *moved, last = steps(path)
    assert (moved, abs(last)) == ([2 * apart] * 7, 2 * apart)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize(("rate", "copies"), [(25, 2), (50, 2), (50, 4), (30, 2)])
def test_a_frame_that_comes_again_is_no_neighbour(tmp_path: Path, codec: str, rate: int, copies: int) -> None:
    """Half of the pairs of a doubled clip showed no motion at all, among them the strongest moments."""
    pictures = [moving(3 * (number // copies)) for number in range(28 * copies)]
    times = [Fraction(number, rate) for number in range(len(pictures))]
    path = encode_pictures(tmp_path / "clip.mp4", pictures, times, codec, options={"b": "6000000"})
    *moved, last = steps(path, count=16)
    assert (set(moved), abs(last)) == ({3}, 3)  # behind the last one nothing may come but repetitions


def test_at_the_end_the_neighbour_is_an_earlier_different_frame(tmp_path: Path) -> None:
    pictures = [moving(3 * (number // 2)) for number in range(12)]
    path = encode_pictures(tmp_path / "clip.mp4", pictures, [Fraction(number, 25) for number in range(12)])
    assert steps(path, count=12) == [3] * 10 + [-3] * 2


def test_a_face_at_rest_keeps_the_next_frame(tmp_path: Path) -> None:
    pictures = [moving(0)] * 20 + [moving(2 * number) for number in range(20)] + [moving(38)] * 20
    path = encode_pictures(tmp_path / "clip.mp4", pictures, [Fraction(number, 25) for number in range(60)])
    assert steps(path, count=60)[:18] == [0] * 18
    assert steps(path, count=60)[20:39] == [2] * 19
    assert steps(path, count=60)[40:] == [0] * 20


def test_dropped_frames_leave_the_next_one_there_is(tmp_path: Path) -> None:
    kept = [number for number in range(40) if number % 5 not in (2, 3)]
    times = [Fraction(number, 25) for number in kept]
    path = encode_pictures(tmp_path / "clip.mp4", [moving(2 * number) for number in kept], times)
    clip = sample_frames(path, "video", 6, len(kept))
    after = [kept[number + 1] - kept[number] for number in clip.instants.tolist()]
    assert steps(path, 6) == [2 * gap for gap in after]


def test_a_folder_of_repeated_images(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    for number in range(20):
        cv2.imwrite(str(folder / f"{number:02d}.png"), moving(3 * (number // 2)))
    clip = sample_frames(folder, "frames", 20, 20)
    moved = [place_of(b) - place_of(a) for a, b in zip(clip.frames, clip.neighbours, strict=True)]
    assert moved == [3] * 18 + [-3] * 2


def test_crops_of_unequal_shape_are_squared_each_by_itself(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    for number, (width, height) in enumerate([(100, 140), (140, 100), (120, 120), (60, 150)]):
        picture = np.zeros((height, width, 3), np.uint8)
        cv2.circle(picture, (width // 2, height // 2), 25, (255, 255, 255), -1)
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    step = FacesStep(FacesSettings(detector="none", instants=4, size=128), tmp_path)
    step.open()
    row = step.clip({"clip_id": "clip", "path": "clip", "source": "frames", "n_frames": 4, "status": "ok", "error": ""})
    crops = [decode_crop(crop, "bgr") for crop in (*row["frames"], *row["neighbours"])]
    assert {crop.shape for crop in crops} == {(128, 128, 3)}
    assert all(roundness(crop) == pytest.approx(1, abs=0.06) for crop in crops)


def test_frames_of_one_shape_and_other_sizes_keep_the_shape_of_the_first(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    for number, size in enumerate([(160, 90), (320, 180), (161, 90)]):
        cv2.imwrite(str(folder / f"{number}.png"), numbered(number, size))
    clip = sample_frames(folder, "frames", 3, 3)
    assert {frame.shape for frame in clip.frames} == {(90, 160, 3)}
    assert [number_of(frame) for frame in clip.frames] == [0, 1, 2]


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["1.16.jpg", "0.2.jpg", "0.04.jpg"], ["0.04.jpg", "0.2.jpg", "1.16.jpg"]),
        (["t0.5s.png", "t0.12s.png", "t10.0s.png"], ["t0.12s.png", "t0.5s.png", "t10.0s.png"]),
        (["10.jpg", "9.jpg", "100.jpg"], ["9.jpg", "10.jpg", "100.jpg"]),
        (["clip1.10.jpg", "clip1.9.jpg", "clip1.8.jpg"], ["clip1.8.jpg", "clip1.9.jpg", "clip1.10.jpg"]),
        (["b 2.jpg", "a 10.jpg", "a 9.jpg"], ["a 9.jpg", "a 10.jpg", "b 2.jpg"]),
        (["0.040.jpg", "0.200.jpg", "0.120.jpg"], ["0.040.jpg", "0.120.jpg", "0.200.jpg"]),
        (["1,16.jpg", "0,2.jpg", "0,04.jpg"], ["0,04.jpg", "0,2.jpg", "1,16.jpg"]),
        (["a1,10.jpg", "a1,9.jpg", "a1,8.jpg"], ["a1,8.jpg", "a1,9.jpg", "a1,10.jpg"]),
        (["S1.11.jpg", "S1.3.jpg", "S1.9.jpg", "S1.1.jpg"], ["S1.1.jpg", "S1.3.jpg", "S1.9.jpg", "S1.11.jpg"]),
        (
            [f"S{a}.{b}.jpg" for b in (11, 1, 5, 9) for a in (2, 1)],
            [f"S{a}.{b}.jpg" for a in (1, 2) for b in (1, 5, 9, 11)],
        ),
        (["clip3.11.png", "clip3.4.png"], ["clip3.4.png", "clip3.11.png"]),
        (["0.75.jpg", "0.5.jpg", "0.25.jpg"], ["0.25.jpg", "0.5.jpg", "0.75.jpg"]),
        (["2.25.jpg", "1.5.jpg", "0.75.jpg", "3.0.jpg"], ["0.75.jpg", "1.5.jpg", "2.25.jpg", "3.0.jpg"]),
        (["1.5.jpg", "1.25.jpg", "1.75.jpg"], ["1.25.jpg", "1.5.jpg", "1.75.jpg"]),
        (["t1.4s.png", "t1.11s.png"], ["t1.11s.png", "t1.4s.png"]),
        (["1.5.jpg", "0.5.jpg", "1.jpg", "0.jpg"], ["0.jpg", "0.5.jpg", "1.jpg", "1.5.jpg"]),
        (
            ["2024.01.02_0.2.jpg", "2024.01.02_0.04.jpg", "2024.01.02_1.1.jpg"],
            ["2024.01.02_0.04.jpg", "2024.01.02_0.2.jpg", "2024.01.02_1.1.jpg"],
        ),
        (["1.2.11.jpg", "1.2.9.jpg", "1.2.7.jpg"], ["1.2.7.jpg", "1.2.9.jpg", "1.2.11.jpg"]),
    ],
)
def test_images_follow_by_their_numbers(names: list[str], order: list[str]) -> None:
    assert in_order(names) == order


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_animations_are_videos(tmp_path: Path, suffix: str) -> None:
    pictures = [Image.fromarray(numbered(number)[:, :, ::-1].copy()) for number in range(20)]
    path = tmp_path / f"clip.{suffix}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[40, 120] * 10, loop=0)
    held = probe(path, "video")
    assert (held.n_frames, held.width, held.height, held.ends_early) == (20, 96, 64, False)
    assert held.fps == pytest.approx(12.5, rel=0.1)
    clip = sample_frames(path, "video", 4, 20)
    assert [number_of(frame) for frame in clip.frames] == [2, 7, 12, 17]
    assert np.allclose(clip.times, [0.16, 0.52, 0.96, 1.32], atol=0.01)
    assert [number_of(frame) for frame in clip.neighbours] == [3, 8, 13, 18]


PLAYLISTS = {
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{other}\n#EXT-X-ENDLIST\n",
    "list.mp4": "ffconcat version 1.0\nfile {other}\n",
    "list.mpd": '<?xml version="1.0"?><MPD type="static" mediaPresentationDuration="PT2S"><Period><AdaptationSet '
    'contentType="video"><Representation id="1" mimeType="video/mp4"><BaseURL>{other}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
    "list.avi": "#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:9/clip.ts\n",
    "list.mov": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_that_names_another_file_is_refused(tmp_path: Path, name: str) -> None:
    write_video(tmp_path / "other.mp4", 9)
    encode(tmp_path / "other.ts", 9)
    for other in ("other.mp4", "other.ts", str(tmp_path / "other.ts")):
        path = tmp_path / name
        path.write_text(PLAYLISTS[name].replace("{other}", other))
        with pytest.raises(ClipError, match="the video cannot be opened: it is"):
            probe(path, "video")


def test_a_pointer_of_git_lfs_says_how_to_fetch_the_video(tmp_path: Path) -> None:
    (tmp_path / "1001_DFA_ANG_XX.flv").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
    )
    with pytest.raises(ClipError, match="pointer of Git LFS: run `git lfs pull`"):
        probe(tmp_path / "1001_DFA_ANG_XX.flv", "video")


def test_an_image_that_is_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "clip", 3)
    (folder / "0.png").unlink()
    os.mkfifo(folder / "0.png")
    with pytest.raises(ClipError, match=r"frame 0\.png cannot be read: the path is no file but a pipe"):
        probe(folder, "frames")
    with pytest.raises(ClipError, match="a pipe"):
        content_digest(folder, "frames", hash_images=True)


def test_decoding_equals_opencv(tmp_path: Path) -> None:
    for path in (write_video(tmp_path / "a.mp4", 20), encode(tmp_path / "b.mp4", 20), encode(tmp_path / "c.mkv", 20)):
        video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        expected = [video.read()[1] for _ in range(20)]
        clip = sample_frames(path, "video", 20, 20)
        assert all(np.array_equal(a, b) for a, b in zip(clip.frames, expected, strict=True))


@pytest.mark.parametrize("suffix", [".bmp", ".BMP", ".tif", ".tiff", ".png"])
@pytest.mark.parametrize("sides", [(32, 32, 32), (32, 40, 48), (32,)])
def test_replaced_pictures_of_the_same_sizes_are_another_clip(
    suffix: str, sides: tuple[int, ...], tmp_path: Path
) -> None:
    """Without compression, a file's size says nothing about the picture."""
    raw = [cv2.IMWRITE_TIFF_COMPRESSION, 1, cv2.IMWRITE_PNG_COMPRESSION, 0]
    digests, sizes = [], []
    rng = np.random.default_rng(0)
    for _ in range(2):
        for number, side in enumerate(sides):
            picture = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / f"{number}{suffix}"), picture, raw)
        digests.append(content_digest(tmp_path, "frames"))
        sizes.append([path.stat().st_size for path in sorted(tmp_path.iterdir())])
        assert is_content(tmp_path, "frames", digests[-1])
        assert is_content(tmp_path, "frames", content_digest(tmp_path, "frames", hash_images=True))
    assert sizes[0] == sizes[1]
    known = suffix != ".png" or len(set(sides)) == 1  # index.hash is for the rest
    assert (digests[0] != digests[1]) == known
    assert is_content(tmp_path, "frames", digests[0]) != known
