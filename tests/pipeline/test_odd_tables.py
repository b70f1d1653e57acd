"""Odd cells of a data set's tables cost their row, or are one sentence; never the stage."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from grace.pipeline.datasets import read
from grace.pipeline.datasets.list_files import MAX_NUMBER, whole_number
from grace.pipeline.datasets.settings import ListFilesSettings
from grace.pipeline.errors import UserError
from grace.pipeline.execution.runner import run
from grace.pipeline.faces.settings import FacesSettings
from grace.pipeline.faces.step import FacesStep
from grace.pipeline.index.index import index
from grace.pipeline.index.reconciliation import UNLISTED
from grace.pipeline.store import Clips, Store
from grace.pipeline.store.schemas import FACES
from tests.support.videos import write_images, write_video

SEVEN = ["happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear"]
LISTS = ListFilesSettings.model_validate({"folds": {1: {"train": "a.txt"}}, "labels": SEVEN})

CELLS = {
    "NUL in an id": ("x,fear,a\0b", "control character"),
    "ESC in an id": ("x,fear,\x1b[2J", "control character"),
    "line separator in an id": ("x,fear,a\u2028b", "control character"),
    "a long id": (f"x,fear,{'a' * 5_000}", "more than 1,000 characters"),
    "NUL in a path": ("x\0y,fear,", "control character|NUL"),
    "NUL in an absolute path": ("/x\0y,fear,a", "absolute"),
    "a long path": (f"{'x/' * 60_000},fear,a", "more than"),
    "an absolute long path": (f"/{'x/' * 60_000},fear,a", "more than 4,096 characters"),
    "NUL in a label": ("x,fe\0ar,a", "unknown"),
    "NUL in a missing file's name": ("gone\x01,fear,a", "gone"),
}


@pytest.mark.parametrize("cell", CELLS)
def test_an_odd_cell_costs_its_row_in_every_stage(cell: str, tmp_path: Path) -> None:
    line, cause = CELLS[cell]
    root, folder = tmp_path / "root", tmp_path / "data"
    write_images(root / "x", 3)
    write_images(root / "good", 3)
    (root / "clips.csv").write_text(f"path,label,clip_id\ngood,fear,good\n{line}\n")
    found = index("mine", root, folder, workers=1)
    assert (found.annotated, found.usable) == (2, 1)
    run(FacesStep(FacesSettings(detector="none", instants=2), root), folder, size=4, workers=0, max_failed=1.0)
    for rows in (Clips(folder).rows, list(Store(folder / "faces", FACES).rows())):
        good, odd = sorted(rows, key=lambda row: row["status"] == "failed")
        assert (good["clip_id"], good["status"]) == ("good", "ok")
        assert odd["status"] == "failed"
        assert any(word in odd["error"] for word in cause.split("|"))
        assert f"{odd['clip_id']}{odd['error']}".isprintable()
        assert len(odd["error"]) < 2_500


@pytest.mark.parametrize(
    "digits", ["9" * 5_000, "1" * 20, "-1", "1.5", "", "x", "1e3", "٣" * 30, "²", str(MAX_NUMBER + 1)]
)
def test_what_is_no_small_whole_number_is_none(digits: str, tmp_path: Path) -> None:
    assert whole_number(digits) is None
    (tmp_path / "clips.csv").write_text(f"path,label,fold,frames\nx,fear,{digits or 'y'},\n")
    with pytest.raises(UserError, match="line 2: the fold"):
        read("mine", tmp_path)
    (tmp_path / "clips.csv").write_text(f"path,label,fold,frames\nx,fear,1,{digits or 'y'}\n")
    with pytest.raises(UserError, match="line 2: frames"):
        read("mine", tmp_path)


def test_a_whole_number_may_have_zeros_before_it() -> None:
    assert [whole_number(text) for text in ("7", "7.0", "007", "0" * 5_000 + "7", "0", str(MAX_NUMBER))] == [
        *(7, 7, 7, 7, 0, MAX_NUMBER)
    ]


@pytest.mark.parametrize("numbers", [range(1, 8), [7], [1, 7], [7, 7, 2]])
def test_numbers_that_begin_at_one_are_asked_about(numbers: list[int], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(f"clip{place} 3 {label}\n" for place, label in enumerate(numbers)))
    with pytest.raises(UserError, match="do the numbers begin at 1") as error:
        read("mine", tmp_path, lists=LISTS)
    assert "labels: {1: happiness, 2: sadness" in str(error.value)


@pytest.mark.parametrize("numbers", [range(7), [0, 7], [1, 6], [8, 0], [1, 9]])
def test_numbers_that_begin_at_zero_are_taken(numbers: list[int], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(f"clip{place} 3 {label}\n" for place, label in enumerate(numbers)))
    assert len(read("mine", tmp_path, lists=LISTS)[0]) == len(numbers)


def test_folders_nested_deeper_than_functions_are_walked(tmp_path: Path) -> None:
    root, deep = tmp_path / "root", "/".join("d" * 1_200)
    write_images(root / "top" / "good", 3)
    (root / "clips.csv").write_text(f"path,label\ntop/good,fear\ntop/{deep},fear\n")
    try:
        with contextlib.chdir(root / "top"):
            for _ in range(1_200):
                Path("d").mkdir()
                os.chdir("d")
        found = index("mine", root, tmp_path / "data", workers=1)
    finally:  # pytest's own clean-up would fail at it, in this session and in later ones
        subprocess.run(["rm", "-rf", str(root)], check=True)
    assert (found.usable, found.annotated, found.count(UNLISTED)) == (1, 2, 0)


def test_a_name_that_is_no_text_costs_its_row(tmp_path: Path) -> None:
    root, folder = tmp_path / "root", tmp_path / "data"
    good = write_video(root / "good.mp4", 3)
    (root / os.fsdecode(b"a\xff\xfeb.mp4")).write_bytes(good.read_bytes())
    found = index("mine", root, folder, workers=1)
    assert (found.annotated, found.usable) == (2, 1)
    odd, _ = Clips(folder).rows
    assert odd["clip_id"] == "a\\udcff\\udcfeb"
    assert "no UTF-8" in odd["error"]


def test_links_that_lead_to_themselves_are_no_clips(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_video(root / "good.mp4", 3)
    for name in ("bad.mp4", "bad.png", "bad"):
        (root / name).symlink_to(name)
    assert index("mine", root, tmp_path / "data", workers=1).annotated == 1
