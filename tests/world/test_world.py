"""Worlds on disk: layouts, truth, resumption, bytes."""

from __future__ import annotations

import hashlib
import json
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from grace.pipeline.errors import UserError
from grace.pipeline.vocabulary import REGIONS
from grace.pipeline.world.actions import ACTIONS
from grace.pipeline.world.emotions import WORLD_LABELS
from grace.pipeline.world.layouts import LAYOUTS
from grace.pipeline.world.render import frame_times, render_instants
from grace.pipeline.world.sampling import clip_scenario, sample_clips
from grace.pipeline.world.settings import WorldSettings
from grace.pipeline.world.world import make_world
from tests.support.machines import leave_temporary

SMALL = WorldSettings(clips=5, identities=5, size=96, fps=12.5)


def hashes(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    make_world(SMALL, root, 0)
    return root


def test_processes_do_not_change_the_bytes(world: Path, tmp_path: Path) -> None:
    make_world(SMALL, tmp_path, 2)
    assert hashes(tmp_path) == hashes(world)


def test_an_interrupted_world_ends_with_the_same_bytes(world: Path, tmp_path: Path) -> None:
    make_world(SMALL, tmp_path, 0)
    for name in ("clips/00002.mp4", "clips/00005.mp4", "truth/frames.parquet", "clips.csv"):
        (tmp_path / name).unlink()
    (tmp_path / "unfinished").mkdir()
    leave_temporary(tmp_path / "unfinished", "00002.mp4")
    counts = make_world(SMALL, tmp_path, 0)
    assert hashes(tmp_path) == hashes(world)
    assert (counts.rendered, counts.skipped) == (2, 3)


def test_a_world_of_other_settings_is_removed_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_world(SMALL, tmp_path, 0)
    before = hashes(tmp_path)
    assert "removed" not in caplog.text
    make_world(SMALL.model_copy(update={"seed": 9, "layout": "mafw"}), tmp_path, 0)
    assert "it is removed and made again" in caplog.text
    assert not (tmp_path / "clips.csv").exists() and not (tmp_path / "clips").exists()
    assert hashes(tmp_path).keys() != before.keys()
    assert json.loads((tmp_path / "world.json").read_text())["world"]["seed"] == 9


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="not a rendered world"):
        make_world(SMALL, tmp_path, 0)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_truth_has_a_row_a_frame_and_a_row_a_clip(world: Path) -> None:
    frames = pq.read_table(world / "truth/frames.parquet").to_pandas()
    clips = pq.read_table(world / "truth/clips.parquet").to_pylist()
    assert [clip["clip_id"] for clip in clips] == [spec.clip_id for spec in sample_clips(SMALL)]
    for clip in clips:
        video = cv2.VideoCapture(str(world / "clips" / f"{clip['clip_id']}.mp4"))
        decoded = 0
        while video.read()[0]:
            decoded += 1
        own = frames[frames.clip_id == clip["clip_id"]]
        assert decoded == len(own) and own.frame.tolist() == list(range(decoded))
        assert clip["label"] in WORLD_LABELS and clip["caption"] and clip["sentences"]
        assert {event["region"] for event in clip["events"]} <= set(REGIONS)
    row = frames.iloc[0]
    assert len(row.actions) == len(ACTIONS) and len(row.regions) == 4 * len(REGIONS) and len(row.face) == 4
    assert np.allclose(row.rigid, [0, 0, 0, 1])


def test_video_coding_keeps_the_picture(world: Path) -> None:
    spec = sample_clips(SMALL)[0]
    scenario, identity = clip_scenario(SMALL, spec)
    drawn, _ = render_instants(scenario, identity, SMALL, frame_times(scenario, SMALL)[:6])
    video = cv2.VideoCapture(str(world / "clips" / f"{spec.clip_id}.mp4"))
    assert min(cv2.PSNR(video.read()[1], image) for image in drawn) > 28.0


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_read_back_by_its_adapter(name: str, tmp_path: Path) -> None:
    settings = SMALL.model_copy(update={"layout": name})
    make_world(settings, tmp_path, 0)
    listed = {clip.clip_id: clip for clip in import_module(f"grace.pipeline.datasets.{name}").read(tmp_path)}
    specs = sample_clips(settings)
    assert listed.keys() == {spec.clip_id for spec in specs}
    for spec in specs:
        clip = listed[spec.clip_id]
        assert clip.label == spec.label and not clip.problem
        assert clip.source == ("frames" if LAYOUTS[name].cropped else "video")
        tested = {fold for fold, split in clip.folds.items() if split == "test"}
        assert tested == ({spec.fold} & {1} if name == "ferv39k" else {spec.fold})
        place = tmp_path / clip.path
        assert len(list(place.glob("*.jpg"))) > 10 if LAYOUTS[name].cropped else place.stat().st_size > 1000
