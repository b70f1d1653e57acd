"""One face tracked through the instants: steady crops, absences that are reported, detectors that find faces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from grace.pipeline.errors import UserError
from grace.pipeline.execution.runner import run
from grace.pipeline.faces.cropping import crop, crop_aligned, square
from grace.pipeline.faces.detectors import Detection, Haar, YuNet
from grace.pipeline.faces.settings import FacesSettings
from grace.pipeline.faces.step import FacesStep
from grace.pipeline.faces.tracking import main_track, roll_angle, shot_boundaries, smooth_boxes, track_face
from grace.pipeline.media.images import BGRImage, decode_image
from grace.pipeline.media.video import probe, sample_frames
from grace.pipeline.store import Row, Store, write_clips
from grace.pipeline.store.schemas import FACES
from grace.pipeline.world.identity import sample_identity
from grace.pipeline.world.render import frame_times, render_instants
from grace.pipeline.world.scenario import sample_scenario
from grace.pipeline.world.settings import WorldSettings
from tests.support.videos import write_frames_as_video, write_images, write_video

YUNET = Path("models/yunet_n_320_320.onnx")


def clip(path: str, n_frames: int, source: str = "video") -> Row:
    return {
        "clip_id": Path(path).stem,
        "status": "ok",
        "error": "",
        "path": path,
        "source": source,
        "n_frames": n_frames,
    }


def opened(settings: FacesSettings, root: Path) -> FacesStep:
    step = FacesStep(settings, root)
    step.open()
    return step


def boxed(x: float, y: float, side: float, score: float = 1.0) -> Detection:
    return Detection(np.array([x, y, x + side, y + side], dtype=np.float32), score)


def world_clip(number: int) -> tuple[list[BGRImage], np.ndarray]:
    """Sixteen frames of a rendered clip and the true face boxes."""
    rng = np.random.default_rng((5, number))
    identity = sample_identity(rng, number)
    script = sample_scenario(rng, identity, "happiness", WorldSettings())
    times = frame_times(script, WorldSettings())
    frames, truth = render_instants(script, identity, WorldSettings(), times[:: len(times) // 16][:16])
    return list(frames), truth.face


def overlaps(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    low, high = np.maximum(found[:, :2], truth[:, :2]), np.minimum(found[:, 2:], truth[:, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=1)
    return both / (np.prod(found[:, 2:] - found[:, :2], axis=1) + np.prod(truth[:, 2:] - truth[:, :2], axis=1) - both)


def test_haar_tracks_drawn_faces() -> None:
    found = []
    for number in range(4):
        frames, truth = world_clip(number)
        track = track_face(frames, Haar(), 4)
        assert track.detected.sum() >= 0.75 * track.searched.sum()
        found.append(overlaps(track.boxes, truth))
    assert np.median(np.concatenate(found)) > 0.7


def test_yunet_tracks_drawn_faces(shared: Path) -> None:
    found = []
    for number in range(4):
        frames, truth = world_clip(number)
        found.append(overlaps(track_face(frames, YuNet(shared / YUNET), 2).boxes, truth))
    assert np.median(np.concatenate(found)) > 0.8


@pytest.mark.parametrize("kind", ["haar", "yunet"])
def test_real_faces_are_found_where_they_are_and_not_where_they_are_not(shared: Path, kind: str) -> None:
    detect = Haar() if kind == "haar" else YuNet(shared / YUNET)
    found = {}
    for name in ("single_face.mp4", "face_noface.mov"):
        path = shared / "faces" / name
        sample = sample_frames(path, "video", 8, probe(path, "video").n_frames)
        found[name] = track_face(sample.frames, detect, 1).found.tolist()
    assert found["single_face.mp4"] == [True] * 8
    assert found["face_noface.mov"] == [True] * 3 + [False] * 5


def test_still_head_gives_a_still_crop_whatever_the_jitter() -> None:
    rng = np.random.default_rng(0)
    still = np.tile([100.0, 80.0, 200.0, 210.0], (16, 1))
    jittered = still + rng.normal(0, 2.0, still.shape)
    boxes = square(smooth_boxes(jittered), 0.1)
    assert np.abs(np.diff(boxes, axis=0)).max() < 1.3  # 1 % of the longer side


def test_moving_head_is_not_lagged_behind() -> None:
    moving = np.tile([100.0, 80.0, 200.0, 210.0], (16, 1)) + 20.0 * np.arange(16)[:, None] * [1, 0, 1, 0]
    assert np.abs(smooth_boxes(moving) - moving).max() < 10.0


def test_main_face_is_large_central_and_lasts() -> None:
    crowd = {at: [boxed(300, 200, 30), boxed(280 + at, 150, 100), boxed(0, 0, 60)] for at in range(6)}
    crowd[2].append(boxed(500, 100, 200, score=0.4))  # large, once
    track = main_track(crowd, 640, 360)
    assert sorted(track) == list(range(6))
    assert all(one.box[2] - one.box[0] == 100 for one in track.values())
    assert main_track({0: [], 1: []}, 640, 360) == {}


def test_a_cut_starts_a_new_track_and_missing_boxes_are_interpolated() -> None:
    rng = np.random.default_rng(1)
    scenes = [cv2.resize(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8), (160, 120)) for _ in range(2)]
    frames = [scenes[0]] * 6 + [scenes[1]] * 6
    assert shot_boundaries(frames) == [0, 6]
    place = {id(scenes[0]): boxed(10, 10, 40), id(scenes[1]): boxed(100, 50, 40)}
    calls = 0

    def detect(frame: BGRImage) -> list[Detection]:
        nonlocal calls
        calls += 1
        return [] if calls == 2 else [place[id(frame)]]

    track = track_face(frames, detect, 3)  # at 0, 3, 5, 6, 9, 11; nothing is found at 3, so 2 and 4 as well
    assert np.allclose(track.boxes[:6], [10, 10, 50, 50], atol=0.01)
    assert np.allclose(track.boxes[6:], [100, 50, 140, 90], atol=0.01)
    assert (track.searched.sum(), track.detected.sum()) == (8, 7)
    assert track.found.tolist() == [True] * 3 + [False] + [True] * 8


def test_no_face_is_the_centre_crop_and_is_reported(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", 20)
    row = opened(FacesSettings(instants=4, size=64), tmp_path).clip(clip("clip.mp4", 20))
    assert row["status"] == "fallback"
    assert row["error"] == "no face found in any of the 4 instants searched: centre crop"
    assert not row["found"].any()
    assert np.allclose(row["boxes"][0][[0, 2]], [16 - 64 * 0.15, 80 + 64 * 0.15])


def test_shipped_crops_are_kept_whole(tmp_path: Path) -> None:
    write_images(tmp_path / "clip", 5)
    row = opened(FacesSettings(instants=3, size=96, detector="none"), tmp_path).clip(clip("clip", 5, "frames"))
    assert row["status"] == "ok"
    assert row["boxes"].tolist() == [[0, -16, 96, 80]] * 3
    assert row["size"].tolist() == [96, 64]
    assert decode_image(row["frames"][0]).shape == (96, 96, 3)


@pytest.mark.parametrize("box", [[-20, -10, 30, 40], [60, 40, 130, 110], [-5, -5, 200, 200], [300, 300, 310, 310]])
def test_crop_beyond_the_frame_repeats_its_border(box: list[float]) -> None:
    frame = np.full((64, 96, 3), 77, dtype=np.uint8)
    assert (crop(frame, np.array(box, dtype=np.float64), 32) == 77).all()


def test_crop_takes_the_pixels_of_the_box() -> None:
    frame = np.zeros((64, 96, 3), dtype=np.uint8)
    frame[20:40, 30:50] = 255
    assert crop(frame, np.array([30.0, 20.0, 50.0, 40.0]), 20).min() == 255


def test_a_missing_detector_model_is_reported_by_its_key(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"faces\.detector_model"):
        FacesStep(FacesSettings(detector="yunet", detector_model=str(tmp_path / "gone.onnx")), tmp_path)
    (tmp_path / "bad.onnx").write_text("not a model")
    with pytest.raises(UserError, match="not a YuNet ONNX file"):
        opened(FacesSettings(detector="yunet", detector_model=str(tmp_path / "bad.onnx")), tmp_path)


def test_cache_key_holds_what_changes_content_and_no_path(tmp_path: Path) -> None:
    cache_key = FacesStep(FacesSettings(), tmp_path).cache_key()
    assert cache_key["detector"] == "haar"
    assert str(tmp_path) not in str(cache_key)
    assert FacesStep(FacesSettings(size=64), tmp_path).cache_key() != cache_key


def test_the_stage_gives_the_same_bytes_in_one_process_and_in_two(tmp_path: Path) -> None:
    for number in range(2):
        write_frames_as_video(tmp_path / f"{number}.mp4", world_clip(number)[0])
    (tmp_path / "2.mp4").write_text("no video" * 50)
    rows = [clip(f"{number}.mp4", 16) for number in range(3)]

    def made(folder: Path, workers: int, report: Callable[..., None] = lambda summary: None) -> list[bytes]:
        write_clips(folder, rows, ["happiness"])
        step = FacesStep(FacesSettings(instants=4, size=64), tmp_path)
        run(step, folder, size=1, workers=workers, max_failed=1.0, report=report)
        return [path.read_bytes() for path in sorted((folder / "faces").glob("*.h5"))]

    assert made(tmp_path / "one", 0) == made(tmp_path / "two", 2)
    stored = list(Store(tmp_path / "one" / "faces", FACES).rows())
    assert [row["status"] for row in stored] == ["ok", "ok", "failed"]
    assert stored[2]["error"].startswith("faces: the video cannot be opened")


def test_two_faces_with_similar_tracks_are_kept_apart() -> None:
    """A second, smaller face that is there from the start neither breaks nor joins the main one."""
    large, small = np.array([10.0, 10.0, 90.0, 90.0]), np.array([120.0, 20.0, 150.0, 50.0])
    found = {at: [Detection(small + at, 0.9), Detection(large + at, 0.95 if at else 0.8)] for at in range(4)}
    track = main_track(found, 200, 100)
    assert [float(track[at].box[0]) for at in range(4)] == [10.0, 11.0, 12.0, 13.0]


def test_crop_is_rotated_until_the_eyes_are_level() -> None:
    frame = np.zeros((200, 200, 3), dtype=np.uint8)
    eyes = np.array([[70.0, 90.0], [130.0, 110.0]])
    for x, y in eyes:
        cv2.circle(frame, (round(x), round(y)), 5, (255, 255, 255), -1)
    face = Detection(np.array([50.0, 50.0, 150.0, 150.0]), 1.0, np.concatenate([eyes, np.zeros((3, 2))]))
    picture = crop_aligned(frame, face.box.astype(np.float64), roll_angle(face), 100)[..., 0]
    rows, columns = np.nonzero(picture > 127)
    left, right = rows[columns < 50].mean(), rows[columns > 50].mean()
    assert abs(left - right) < 0.5
    assert abs(rows.mean() - 49.5) < 1
    assert roll_angle(boxed(0, 0, 10)) == 0


def test_a_tilted_head_stands_upright_with_landmarks(shared: Path, tmp_path: Path) -> None:
    write_frames_as_video(tmp_path / "clip.mp4", world_clip(1)[0])
    settings = FacesSettings(instants=4, detector="yunet", detector_model=str(shared / YUNET))
    row = opened(settings, tmp_path).clip(clip("clip.mp4", 16))
    assert row["roll"].shape == (4,)
    assert "roll" not in opened(FacesSettings(instants=4), tmp_path).clip(clip("clip.mp4", 16))
    detect = YuNet(shared / YUNET)
    wide = [cv2.copyMakeBorder(decode_image(image), 40, 40, 40, 40, cv2.BORDER_REPLICATE) for image in row["frames"]]
    slopes = [roll_angle(max(detect(picture), key=lambda one: one.score)) for picture in wide]
    assert abs(np.mean(slopes)) < 0.05
    assert np.max(np.abs(slopes)) < 0.1
