"""Everybody whom a clip shows, each with a track: found by colour here, so that the truth is known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from grace.pipeline.errors import ClipError, UserError
from grace.pipeline.faces.detectors import Detection
from grace.pipeline.faces.settings import FacesSettings
from grace.pipeline.faces.step import FacesStep
from grace.pipeline.faces.tracking import main_track, track_face, track_people
from grace.pipeline.settings import PipelineSettings
from grace.pipeline.single_clip import ClipPipeline
from grace.pipeline.store import Row
from tests.support.videos import write_frames_as_video

RED, BLUE = (40, 40, 220), (220, 60, 40)


def detect(frame: np.ndarray) -> list[Detection]:
    """Faces are red or blue squares."""
    found = []
    for colour in (RED, BLUE):
        mask = (np.abs(frame.astype(int) - colour).max(axis=2) < 60).astype(np.uint8)
        x, y, width, height = cv2.boundingRect(mask)
        if width * height > 100:
            found.append(Detection(np.array([x, y, x + width, y + height], np.float32), score=1.0))
    return found


def frame(red: int | None, blue: int | None = None, seed: int = 0) -> np.ndarray:
    """A picture with a red square of 40 pixels and a blue one of 24 at these places; the background is its shot's."""
    picture = np.random.default_rng(seed).integers(0, 30, (8, 16, 3)).astype(np.uint8) * (seed + 1)
    picture = cv2.resize(picture, (160, 96), interpolation=cv2.INTER_NEAREST)
    for colour, left, side in ((RED, red, 40), (BLUE, blue, 24)):
        if left is not None:
            picture[30 : 30 + side, left : left + side] = colour
    return picture


def test_everybody_has_a_track_the_most_prominent_first() -> None:
    frames = [frame(10 + 6 * at, 134 - 5 * at) for at in range(6)]
    red, blue = track_people(frames, detect, every=1)
    assert red.found.all() and blue.found.all()
    assert red.boxes[5][0] > red.boxes[0][0] + 2
    assert blue.boxes[5][0] < blue.boxes[0][0] - 2
    main = track_face(frames, detect, every=1)
    assert np.array_equal(red.boxes, main.boxes), "the main face is the first of all"


def test_who_leaves_the_picture_is_not_found_there() -> None:
    frames = [frame(20, 110 if at < 3 else None) for at in range(6)]
    _, blue = track_people(frames, detect, every=1)
    assert blue.found.tolist() == [True, True, True, False, False, False]
    assert np.allclose(blue.boxes[5], blue.boxes[2], atol=2)


def test_a_face_that_was_seen_once_of_six_times_is_none() -> None:
    frames = [frame(20, 110 if at == 3 else None) for at in range(6)]
    assert len(track_people(frames, detect, every=1)) == 1
    assert track_people([frame(None)] * 4, detect, every=1) == []
    assert main_track({}, 160, 96) == {}


def clip_of(tmp_path: Path, frames: list[np.ndarray]) -> Row:
    write_frames_as_video(tmp_path / "a.mp4", frames)
    return {"clip_id": "a", "path": "a.mp4", "source": "video", "n_frames": len(frames), "content": ""}


@pytest.fixture
def step(tmp_path: Path) -> FacesStep:
    made = FacesStep(FacesSettings(instants=6, size=48, detector="haar", detect_every=1), tmp_path)
    made.open()
    made._detector = detect
    return made


def test_the_crops_of_each_person_show_that_person_alone(step: FacesStep, tmp_path: Path) -> None:
    row = clip_of(tmp_path, [frame(20, 110 if at < 12 else None) for at in range(24)])
    red, blue = step.people(row)
    for person, colour in ((red, RED), (blue, BLUE)):
        for crop in person["frames"]:
            centre = cv2.imdecode(np.frombuffer(crop, np.uint8), cv2.IMREAD_COLOR)[20:28, 20:28].mean((0, 1))
            assert np.abs(centre - colour).max() < 60, "also where the person is gone: the nearest crop is held"
    assert blue["found"].tolist() == [True, True, True, False, False, False]
    main = step.clip(row)
    assert main["frames"] == red["frames"], "the main face is what it was"


def test_a_clip_without_a_face_is_one_sentence(step: FacesStep, tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="no face is found"):
        step.people(clip_of(tmp_path, [frame(None)] * 6))


def test_a_clip_gives_a_result_per_person_with_its_box(tmp_path: Path) -> None:
    settings = PipelineSettings.model_validate({"faces": {"instants": 6, "size": 48, "detect_every": 1}})
    clip_of(tmp_path, [frame(20, 110)] * 12)
    with ClipPipeline(settings, stages=["faces", "motion"]) as pipeline:
        faces = pipeline.steps[0]
        assert isinstance(faces, FacesStep)
        faces.open()
        faces._detector = detect
        pipeline._open.append(faces)
        red, blue = pipeline.people(tmp_path / "a.mp4")
        assert [red.row["track"], blue.row["track"]] == [1, 2]
        assert red.row["box"][0] < 25 and blue.row["box"][0] > 90
        assert red.row["motion"].shape == blue.row["motion"].shape
        (bad,) = pipeline.people(tmp_path / "gone.mp4")
        assert "there is no file gone.mp4" in bad.error
        write_frames_as_video(tmp_path / "empty.mp4", [frame(None)] * 6)
        (none,) = pipeline.people(tmp_path / "empty.mp4")
        assert none.error == "faces: no face is found"


def test_crops_that_no_detector_made_hold_no_people(tmp_path: Path) -> None:
    settings = PipelineSettings.model_validate({"faces": {"detector": "none"}})
    with (
        ClipPipeline(settings, stages=["faces"]) as pipeline,
        pytest.raises(UserError, match=r"faces\.detector is none"),
    ):
        pipeline.people(tmp_path / "a.mp4")
