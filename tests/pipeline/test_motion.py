"""Motion maps show what the face does, not what head, light, camera and compression do."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from grace.pipeline.faces.detectors import YuNet
from grace.pipeline.faces.settings import FacesSettings
from grace.pipeline.faces.step import FacesStep
from grace.pipeline.media.images import decode_image, write_image
from grace.pipeline.media.video import probe
from grace.pipeline.motion.maps import MIN_RANGE, MOTION_METHODS, face_window, normalised, patch_motion, scaled
from grace.pipeline.motion.registration import head_flow, head_motion, warp_back
from grace.pipeline.motion.settings import MotionSettings
from grace.pipeline.motion.step import MotionStep
from grace.pipeline.store import Row
from grace.pipeline.visualize.contact_sheets import crop_sheet
from grace.pipeline.world.identity import sample_identity
from grace.pipeline.world.render import render_instants
from grace.pipeline.world.scenario import Scenario, Scene
from grace.pipeline.world.settings import WorldSettings
from grace.pipeline.world.timeline import Event, Timeline

TIMES = np.arange(8) / 25 + 0.3


def face(events: tuple[Event, ...] = (), times: np.ndarray = TIMES) -> list[np.ndarray]:
    """Grey pictures of one drawn head that fills them, without distractors but its own faint sway."""
    identity = sample_identity(np.random.default_rng(4), 0)
    scene = Scene(0.0, 0.5, 0.5, 0.42, 0.0, 0.0, 0.0, 0.3, 1.0, 0.0, 0.0, 0.0, 1)
    script = Scenario("x", 0, "happiness", Timeline(events, 2.0), (scene,), (), 3)
    frames, _ = render_instants(script, identity, WorldSettings(), times)
    return [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).astype(np.float32) for frame in frames]


def pairs(frames: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(pairwise(frames))


def matrix(motion: tuple[float, float, float, float], side: int) -> np.ndarray:
    """Shift (shares of the side), rotation and log scale about the centre, as OpenCV's 2 × 3 matrix."""
    dx, dy, rotation, log_scale = motion
    centre = (side - 1) / 2
    similarity = cv2.getRotationMatrix2D((centre, centre), -np.degrees(rotation), np.exp(log_scale))
    similarity[:, 2] += (dx * side, dy * side)
    return similarity


def moved(picture: np.ndarray, motion: tuple[float, float, float, float]) -> np.ndarray:
    side = picture.shape[0]
    return cv2.warpAffine(
        picture, matrix(motion, side), (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )


def row(frames: list[np.ndarray], neighbours: list[np.ndarray]) -> Row:
    def jpeg(picture: np.ndarray) -> bytes:
        small = cv2.resize(picture, (128, 128), interpolation=cv2.INTER_AREA)
        return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()

    return {
        "clip_id": "x",
        "status": "ok",
        "error": "",
        "found": np.ones(len(frames), dtype=bool),
        "frames": [jpeg(picture) for picture in frames],
        "neighbours": [jpeg(picture) for picture in neighbours],
    }


SMILE = (Event("lip corner pull", 1.0, 0.25, 0.6, 1.5, 1.9),)


@pytest.mark.parametrize(("method", "times"), [("temporal_registered_difference", 3.0), ("flow_beyond_rigid", 1.3)])
def test_a_smile_glows_at_the_mouth(method: str, times: float) -> None:
    values, _, _ = patch_motion(pairs(face(SMILE)), 8, method)
    total = values.sum(axis=0)
    assert total[4:].sum() > times * total[:4].sum()
    assert np.unravel_index(total.argmax(), total.shape)[0] in (4, 5, 6)


@pytest.mark.parametrize(
    "motion", [(0.02, -0.01, 0.0, 0.0), (0.0, 0.0, 0.05, 0.0), (-0.06, 0.03, -0.03, 0.02), (0.0, 0.0, 0.0, -0.04)]
)
def test_rigid_motion_is_found_and_removed(motion: tuple[float, float, float, float]) -> None:
    picture = face(times=TIMES[:1])[0]
    pair = [(picture, moved(picture, motion))]
    values, rigid, cut = patch_motion(pair, 8, "temporal_registered_difference")
    assert np.allclose(rigid[0], motion, atol=0.006)
    assert not cut[0]
    assert scaled(values, MIN_RANGE["temporal_registered_difference"]).mean() < 0.08


def test_an_opening_mouth_does_not_drag_the_head_along() -> None:
    jaw = (Event("jaw drop", 1.0, 0.28, 0.45, 1.5, 1.9), Event("lips part", 1.0, 0.28, 0.45, 1.5, 1.9))
    _, rigid, _ = patch_motion(pairs(face(jaw)), 8, "temporal_registered_difference")
    _, still, _ = patch_motion(pairs(face()), 8, "temporal_registered_difference")
    assert np.abs(rigid - still).max() < 0.004


def test_a_change_of_light_is_no_motion() -> None:
    frames = face(times=np.full(4, 0.5))
    lit = [np.clip(frame * gain, 0, 255) for frame, gain in zip(frames, (0.8, 1.1, 0.7, 1.0), strict=True)]
    values, _, cut = patch_motion(pairs(lit), 8, "temporal_registered_difference")
    assert scaled(values, MIN_RANGE["temporal_registered_difference"]).max() < 0.2
    assert not cut.any()


@pytest.mark.parametrize("method", MOTION_METHODS)
def test_still_clip_stays_near_zero_under_noise_and_compression(method: str) -> None:
    rng = np.random.default_rng(0)
    picture = face(times=TIMES[:1])[0]
    noisy = [np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255) for _ in range(12)]
    step = MotionStep(MotionSettings.model_validate({"method": method}))
    step.open()
    made = step.clip(row(noisy[:6], noisy[6:]))
    assert made["motion"].dtype == np.float16
    assert made["motion"].mean() < 0.12
    assert np.abs(made["rigid"]).max() < 0.01


def test_map_of_a_moving_clip_uses_the_unit_range() -> None:
    frames = face(SMILE)
    made = MotionStep(MotionSettings(grid=7)).clip(row(frames[:-1], frames[1:]))
    assert made["motion"].shape == (7, 7, 7)
    assert made["motion"].min() == 0
    assert 0.5 < made["motion"].max() <= 1
    assert made["rigid"].shape == (7, 4)


def test_what_moves_where_no_face_was_seen_does_not_count() -> None:
    frames = face(SMILE)
    smile = row(frames[:-1], frames[1:])
    gone = {**smile, "found": np.arange(7) < 3}
    nowhere = {**smile, "found": np.zeros(7, dtype=bool)}
    assert MotionStep(MotionSettings()).clip(gone)["motion"][3:].max() == 0
    assert np.array_equal(
        MotionStep(MotionSettings()).clip(nowhere)["motion"], MotionStep(MotionSettings()).clip(smile)["motion"]
    )


@pytest.mark.parametrize("method", MOTION_METHODS)
def test_cut_is_detected_and_zeroed(method: str) -> None:
    one = face(times=TIMES[:2])
    other = np.ascontiguousarray(moved(one[0], (0.2, 0.1, 0.0, 0.3))[:, ::-1])
    values, rigid, cut = patch_motion([(one[0], one[1]), (one[1], other)], 8, method)
    assert cut.tolist() == [False, True]
    assert values[1].max() == 0
    assert np.abs(rigid[1]).max() == 0


@pytest.mark.parametrize("method", MOTION_METHODS)
def test_blank_pictures_are_no_motion_and_no_error(method: str) -> None:
    blank = np.full((64, 64), 120.0, dtype=np.float32)
    values, rigid, cut = patch_motion([(blank, blank)], 8, method)
    assert np.isfinite(values).all()
    assert values.max() == 0
    assert np.abs(rigid).max() < 1e-6
    assert not cut[0]


def test_flow_of_a_head_is_that_of_its_matrix() -> None:
    motion = (0.05, -0.02, 0.1, 0.03)
    x, y = np.meshgrid(np.arange(96.0), np.arange(96.0))
    there = np.einsum("ij,yxj->yxi", matrix(motion, 96), np.stack([x, y, np.ones_like(x)], -1))
    flow = head_flow(np.array([[*motion, 0.0, 0.0]]), 96)[0]
    assert np.abs(there - np.stack([x, y], -1) - flow).max() < 0.01


def test_yaw_and_pitch_of_the_head_are_found() -> None:
    picture = face(times=TIMES[:1])[0]
    grey = cv2.resize(picture, (64, 64), interpolation=cv2.INTER_AREA)
    even = normalised(grey[None])
    motion = np.array([[0.01, 0.0, 0.0, 0.0, 0.04, -0.03]])
    found = head_motion(warp_back(even, motion), even, face_window())
    assert np.allclose(found, motion, atol=0.006)


def test_what_is_gone_at_the_next_instant_counts_less_than_what_stays() -> None:
    still = face(times=TIMES[:1])[0]
    smiling = face(SMILE, times=np.array([0.9]))[0]
    flash = [(still, still), (still, smiling), (still, still)]
    smile = [(still, still), (still, smiling), (smiling, smiling)]
    passing, staying = (patch_motion(clip, 8, "temporal_registered_difference")[0] for clip in (flash, smile))
    assert staying[1, 5].max() > 2 * passing[1, 5].max()
    assert passing[1, 5].max() < 0.05


def test_instants_are_not_compared_across_a_cut() -> None:
    one = face(times=TIMES[:1])[0]
    other = np.ascontiguousarray(moved(one, (0.2, 0.1, 0.0, 0.3))[:, ::-1])
    values, _, cut = patch_motion(
        [(one, one), (one, one), (other, other), (other, other)], 8, "temporal_registered_difference"
    )
    assert not cut.any()
    assert values.max() < 0.01


def test_unlike_pictures_give_no_large_motion() -> None:
    rng = np.random.default_rng(2)
    a, b = (cv2.GaussianBlur(rng.normal(0, 1, (96, 96)).astype(np.float32), (0, 0), 2) for _ in range(2))
    assert np.abs(head_motion(a[None], b[None], np.ones((96, 96), dtype=np.float32))).max() < 0.2


def test_real_smile_glows_on_the_face_and_not_around_it(shared: Path, tmp_path: Path) -> None:
    video = shared / "faces" / "single_face.mp4"
    model = shared / "models" / "yunet_n_320_320.onnx"
    assert YuNet(model)
    faces = FacesStep(FacesSettings(detector="yunet", detector_model=str(model)), video.parent)
    faces.open()
    n_frames = probe(video, "video").n_frames
    cropped = faces.clip({"clip_id": "x", "path": video.name, "source": "video", "n_frames": n_frames})
    made = MotionStep(MotionSettings()).clip(cropped)
    total = made["motion"].astype(np.float64).sum(axis=0)
    assert total[2:7, 2:6].sum() > 0.75 * total.sum()  # brows to chin, cheek to cheek
    sheet = crop_sheet({**cropped, **made}, made)
    write_image(tmp_path / "sheet.png", sheet)
    assert np.array_equal(decode_image((tmp_path / "sheet.png").read_bytes()), sheet)
