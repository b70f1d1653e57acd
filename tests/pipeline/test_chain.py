"""Shards that belong to other clips, or to shards that were made again since, are not built upon."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from grace.pipeline.errors import UserError
from grace.pipeline.execution.runner import run
from grace.pipeline.execution.step import Step
from grace.pipeline.faces.settings import FacesSettings
from grace.pipeline.faces.step import FacesStep
from grace.pipeline.index.index import index
from grace.pipeline.motion.settings import MotionSettings
from grace.pipeline.motion.step import MotionStep
from grace.pipeline.store import Clips, Store, write_clips
from grace.pipeline.store.chain import Chain
from grace.pipeline.store.schemas import FACES, MOTION
from grace.pipeline.store.verify import files_of, problems
from tests.support.videos import write_video


def faces(root: Path, **settings: int) -> Step:
    return FacesStep(FacesSettings(detector="none", instants=2, size=32, **settings), root)


def make(place: Path, name: str, frames: int) -> Path:
    """A data set of two videos with faces and motion; those of the same names in another one are other videos."""
    root, folder = place / f"raw-{name}", place / name
    for number in range(2):
        write_video(root / f"{number}.mp4", frames + number)
    index("mine", root, folder, workers=1)
    for step in (faces(root), MotionStep(MotionSettings())):
        run(step, folder, size=1, workers=0)
    return folder


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two data sets with the same ids."""
    place = tmp_path_factory.mktemp("sets")
    make(place, "one", 4)
    make(place, "two", 6)
    return place


@pytest.fixture
def one(sets: Path, tmp_path: Path) -> Path:
    shutil.copytree(sets, tmp_path / "sets")
    return tmp_path / "sets/one"


def faces_of_another(folder: Path) -> None:
    shutil.copy(Store(folder.parent / "two/faces", FACES).path(1), folder / "faces")


def another_table(folder: Path) -> None:
    shutil.copy(folder.parent / "two/clips.parquet", folder)


def clip_in_front(folder: Path) -> None:
    clips = Clips(folder)
    write_clips(folder, [{**clips.rows[0], "clip_id": "+"}, *clips.rows], clips.labels)


@pytest.mark.parametrize("change", [faces_of_another, another_table, clip_in_front])
def test_a_stage_refuses_shards_of_other_clips_and_verify_names_them(change: Callable[[Path], None], one: Path) -> None:
    assert not [sentence for path in files_of(one) for sentence in problems(one, path)]
    change(one)
    sentence = r"faces/0000\d\.h5 was made from another clips\.parquet than there is now: run `grace faces`\."
    with pytest.raises(UserError, match=sentence):
        run(MotionStep(MotionSettings()), one, size=1, workers=0)
    assert any("faces" in sentence for path in files_of(one) for sentence in problems(one, path))


def test_made_again_from_the_first_stage_on_all_is_well(one: Path) -> None:
    another_table(one)
    root = one.parent / "raw-two"
    run(faces(root), one, size=1, workers=0)
    assert run(MotionStep(MotionSettings()), one, size=1, workers=0).done == 2
    assert Store(one / "motion", MOTION).fingerprint(0) == Store(one.parent / "two/motion", MOTION).fingerprint(0)


def test_a_video_that_was_replaced_and_not_indexed_again_is_not_cropped(one: Path) -> None:
    root = one.parent / "raw-one"
    shutil.copy(one.parent / "raw-two/1.mp4", root)
    run(faces(root, quality=50), one, size=1, workers=0, max_failed=1.0)
    first, second = Store(one / "faces", FACES).rows(["clip_id", "status", "error"])
    assert first["status"] == "ok"
    assert second["error"] == "faces: its file is not the one that was indexed: run `grace index` again"


def stopped(folder: Path) -> None:
    """Faces made again with another setting, and killed after the first of two shards."""
    first = (folder / "faces/00001.h5").read_bytes()
    run(faces(folder.parent / "raw-one", quality=50), folder, size=1, workers=0)
    (folder / "faces/00001.h5").write_bytes(first)


def test_a_store_of_two_settings_is_refused_until_its_stage_has_ended(one: Path) -> None:
    stopped(one)
    before = (one / "motion/00000.h5").read_bytes()
    sentence = (
        r"faces mixes shards of different parameters or models \(00001\.h5 differs from 00000\.h5\): "
        "run `grace faces` again"
    )
    with pytest.raises(UserError, match=sentence):
        run(MotionStep(MotionSettings()), one, size=1, workers=0)
    assert (one / "motion/00000.h5").read_bytes() == before
    assert "grace faces" in Chain(one).first_problem("motion"), "what was made from it is mixed, too"
    assert run(faces(one.parent / "raw-one", quality=50), one, size=1, workers=0).done == 1
    assert not Chain(one).first_problem("faces")
    assert run(MotionStep(MotionSettings()), one, size=1, workers=0).done == 2
    assert not Chain(one).first_problem()


def test_a_store_that_is_not_complete_yet_is_not_mixed(one: Path) -> None:
    (one / "faces/00000.h5").unlink()
    assert not Chain(one).first_problem("motion")
    assert run(faces(one.parent / "raw-one"), one, size=1, workers=0).done == 1
    assert run(MotionStep(MotionSettings()), one, size=1, workers=0).skipped == 2
