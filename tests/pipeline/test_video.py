"""Frame-exact sampling, whatever the source; a cause in plain words where there is nothing to sample."""

from __future__ import annotations

import os
import wave
from pathlib import Path

import cv2
import numpy as np
import pytest

from grace.pipeline.errors import ClipError
from grace.pipeline.media.frames import list_images
from grace.pipeline.media.pictures import LONGEST_SIDE
from grace.pipeline.media.video import probe, sample_frames, segment_centres
from tests.support.videos import (
    encode,
    number_of,
    numbered,
    rotate_by_tag,
    vary_rate,
    write_images,
    write_sound,
    write_video,
)


@pytest.mark.parametrize(("n_frames", "count"), [(1, 16), (5, 16), (16, 16), (17, 16), (100, 16), (472, 8), (33, 1)])
def test_instants_are_centres_of_equal_segments(n_frames: int, count: int) -> None:
    at = segment_centres(n_frames, count)
    segments = [((k + 0.5) * n_frames / count) for k in range(count)]
    assert [int(number) for number in at] == [min(int(centre), n_frames - 1) for centre in segments]


@pytest.mark.parametrize("codec", ["mp4v", "MJPG"])
@pytest.mark.parametrize("count", [1, 7, 16, 100])
def test_video_gives_exactly_the_instants(tmp_path: Path, codec: str, count: int) -> None:
    path = write_video(tmp_path / ("clip.mp4" if codec == "mp4v" else "clip.avi"), count, codec=codec)
    assert probe(path, "video").n_frames == count
    clip = sample_frames(path, "video", 16, count)
    centres = segment_centres(count, 16)
    assert [number_of(frame) for frame in clip.frames] == centres.tolist()
    after = [number + 1 if number + 1 < count else max(number - 1, 0) for number in centres.tolist()]
    assert [number_of(frame) for frame in clip.neighbours] == after
    assert np.allclose(clip.times, clip.instants / 25.0, atol=1e-3)


def test_frames_follow_in_natural_order(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "clip", 23)
    (folder / "._1.png").write_bytes(b"left behind by another system")
    (folder / "notes.txt").write_text("not a frame")
    assert list_images(folder)[9:12] == ["9.png", "10.png", "11.png"]
    assert probe(folder, "frames").n_frames == 23
    clip = sample_frames(folder, "frames", 8, 23)
    assert [number_of(frame) for frame in clip.frames] == segment_centres(23, 8).tolist()


def test_rotation_tag_turns_the_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", 9)
    rotate_by_tag(path)
    held = probe(path, "video")
    assert (held.width, held.height) == (64, 96)
    clip = sample_frames(path, "video", 4, 9)
    assert clip.size == (64, 96)
    shown = [max(number_of(np.rot90(frame, turns)) for turns in (1, 3)) for frame in clip.frames]
    mirrored = [max(n, int(f"{n:08b}"[::-1], 2)) for n in segment_centres(9, 4).tolist()]
    assert shown == mirrored


def test_times_of_a_variable_rate_are_those_of_the_stamps(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", 40)
    vary_rate(path, slow=20)
    assert probe(path, "video").n_frames == 40
    clip = sample_frames(path, "video", 8, 40)
    assert [number_of(frame) for frame in clip.frames] == segment_centres(40, 8).tolist()
    expected = [k / 25 if k <= 20 else 20 / 25 + (k - 20) * 3 / 25 for k in segment_centres(40, 8).tolist()]
    assert np.allclose(clip.times, expected, atol=0.005)


@pytest.mark.parametrize("name", ["two words.mp4", "quo'te\".mp4", "😀 плач.mp4", "100%d.mp4", "泣き顔.mp4"])
def test_any_name_is_opened(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / "plain.mp4", 5).rename(tmp_path / name)
    assert probe(path, "video").n_frames == 5


def test_odd_sizes_and_grey_and_deep_images(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    cv2.imwrite(str(folder / "1.png"), np.full((33, 47), 90, dtype=np.uint8))
    cv2.imwrite(str(folder / "2.png"), np.full((33, 47, 3), 20000, dtype=np.uint16))
    cv2.imwrite(str(folder / "3.png"), np.full((60, 47, 3), 90, dtype=np.uint8))
    clip = sample_frames(folder, "frames", 3, 3)
    assert {frame.shape for frame in clip.frames} == {(60, 60, 3)}  # of several shapes: each in its own square
    assert all(frame.dtype == np.uint8 for frame in clip.frames)


def test_huge_frames_are_shrunk_and_say_so(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    cv2.imwrite(str(folder / "1.jpg"), np.zeros((2160, 3840, 3), dtype=np.uint8))
    clip = sample_frames(folder, "frames", 2, 1)
    assert clip.frames[0].shape == (LONGEST_SIDE * 9 // 16, LONGEST_SIDE, 3)
    assert clip.size == (3840, 2160)
    assert clip.scale == 0.5


def test_what_cannot_be_decoded_has_a_plain_cause(tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    text = tmp_path / "text.mp4"
    text.write_text("no video" * 100)
    cut_off = tmp_path / "cut.mp4"
    cut_off.write_bytes(write_video(tmp_path / "whole.mp4", 50).read_bytes()[:2000])
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    circle = tmp_path / "circle.mp4"
    circle.symlink_to(circle)
    sound = tmp_path / "sound.mp4"
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\0\0" * 8000)
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    damaged = write_images(tmp_path / "damaged", 3)
    (damaged / "0.png").write_bytes(b"\x89PNG")
    causes = {
        (empty, "video"): "zero bytes",
        (text, "video"): "cannot be opened",
        (cut_off, "video"): "cannot be opened",
        (sound, "video"): "no video",
        (tmp_path / "gone.mp4", "video"): "missing",
        (pipe, "video"): "a pipe, socket or device",
        (circle, "video"): "symbolic links",
        (circle, "frames"): "symbolic links",
        (nothing, "video"): "is a folder",
        (nothing, "frames"): "no images",
        (tmp_path / "gone", "frames"): "missing",
        (damaged, "frames"): "0.png",
    }
    for (path, source), cause in causes.items():
        with pytest.raises(ClipError, match=cause):
            probe(path, source)


def test_clip_shorter_than_indexed_fails_rather_than_repeats(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", 10)
    with pytest.raises(ClipError, match="ends at frame 10"):
        sample_frames(path, "video", 16, 40)
    with pytest.raises(ClipError, match="fewer than when it was indexed"):
        sample_frames(write_images(tmp_path / "clip", 10), "frames", 16, 40)


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("deep.mp4", "libx264", "yuv420p10le"),
        ("grey.mp4", "libx264", "gray"),
        ("deep-grey.mkv", "ffv1", "gray10le"),
        ("film.webm", "libvpx-vp9", "yuv420p"),
    ],
)
def test_deep_and_grey_videos_are_decoded_to_eight_bit_colour(
    tmp_path: Path, name: str, codec: str, pixels: str
) -> None:
    path = encode(tmp_path / name, 20, codec, pixels)
    held = probe(path, "video")
    assert (held.n_frames, held.width, held.height, held.ends_early) == (20, 96, 64, False)
    clip = sample_frames(path, "video", 8, 20)
    assert [number_of(frame) for frame in clip.frames] == segment_centres(20, 8).tolist()
    assert all(frame.dtype == np.uint8 and frame.shape == (64, 96, 3) for frame in clip.frames)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_variable_rate_does_not_pass_for_a_cut_off_video(tmp_path: Path, suffix: str) -> None:
    """Matroska's promise of frames is its length times its rate: far too many where the rate varies."""
    path = encode(tmp_path / f"clip{suffix}", 20, lasting=9)
    held = probe(path, "video")
    assert (held.n_frames, held.ends_early) == (20, False)
    clip = sample_frames(path, "video", 4, 20)
    assert [number_of(frame) for frame in clip.frames] == segment_centres(20, 4).tolist()
    starts = np.cumsum([0, *(9 if number % 2 else 1 for number in range(19))]) / 25
    assert np.allclose(clip.times, starts[clip.instants], atol=0.005)


def test_a_video_of_sound_alone_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="holds no pictures"):
        probe(write_sound(tmp_path / "sound.mp4"), "video")


def test_video_of_8k_is_counted_and_sampled_small(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", 2, size=(7680, 4320))
    held = probe(path, "video")
    assert (held.n_frames, held.width, held.height) == (2, 7680, 4320)
    clip = sample_frames(path, "video", 2, 2)
    assert clip.size == (7680, 4320)
    assert [frame.shape for frame in clip.frames] == [(1080, 1920, 3)] * 2


def test_video_of_one_frame_repeats_it(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", 1)
    clip = sample_frames(path, "video", 3, probe(path, "video").n_frames)
    assert clip.instants.tolist() == [0, 0, 0]
    assert all(np.array_equal(a, b) for a, b in zip(clip.frames, clip.neighbours, strict=True))


def test_numbered_pictures_survive_coding() -> None:
    assert [number_of(numbered(number)) for number in range(256)] == list(range(256))
