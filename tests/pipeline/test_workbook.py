"""MAFW's workbooks of votes and FERV39k's lists of scenes, under their real names and columns."""

from __future__ import annotations

from pathlib import Path

import pytest
from openpyxl import Workbook

from grace.pipeline.datasets import read
from grace.pipeline.datasets.mafw import CLASSES
from grace.pipeline.datasets.workbook import read_sheet
from grace.pipeline.errors import UserError
from grace.pipeline.index.index import index
from grace.pipeline.index.settings import SplitSettings
from grace.pipeline.store import Clips
from tests.support.videos import write_images, write_video

COLUMNS = (
    *("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"),
    *("contempt", "anxiety", "helplessness", "disappointment"),
)
"""In the workbooks' own order, which is not the canonical one."""


def workbook(file: Path, *rows: tuple[object, ...]) -> Path:
    book = Workbook()
    for row in rows:
        book.active.append(row)
    file.parent.mkdir(parents=True, exist_ok=True)
    book.save(file)
    return file


def mafw(root: Path) -> Path:
    """A tree of three clips: 00001 in both workbooks, 00002 in the larger one only, 00003 in none."""
    for number, part in ((1, "train"), (2, "train"), (3, "test")):
        write_video(root / f"data/clips/0000{number}.mp4", 2 + number)
        lists = root / "Train & Test Set/single/no_caption/set_1"
        lists.mkdir(parents=True, exist_ok=True)
        with (lists / f"{part}.txt").open("a") as file:
            file.write(f"0000{number}.mp4 anger\n")
    single = ("00001.mp4", 7, 4, *[0] * 9, 1)
    workbook(root / "Labels/single-set.xlsx", ("clip", *COLUMNS, "single_label"), single)
    annotated = [("00001.mp4", 0, 11, *[0] * 10), ("00002.mp4", -1, 0.91, None, 0.09, *[0] * 8), (None,) * 13]
    workbook(root / "Labels/annotation.xlsx", ("clip", "invalid", *COLUMNS), *annotated)
    return root


def test_mafw_votes_come_from_the_workbooks(tmp_path: Path) -> None:
    index("mafw", mafw(tmp_path / "MAFW"), tmp_path / "data")
    votes = {row["clip_id"]: list(row["votes"]) for row in Clips(tmp_path / "data").rows}
    assert len(votes["00001"]) == len(CLASSES)
    first, second = (dict(zip(CLASSES, votes[name], strict=True)) for name in ("00001", "00002"))
    assert {label: share for label, share in first.items() if share} == {"anger": 7, "disgust": 4}
    assert {label: round(share, 2) for label, share in second.items() if share} == {"anger": 0.91, "fear": 0.09}
    assert votes["00003"] == []


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([("clip", *COLUMNS[1:])], "lacks the column anger"),
        ([("clip", *COLUMNS, "fear")], "two columns named fear"),
        ([("clip", *COLUMNS), ("00001.mp4", "seven", *[0] * 10)], "line 2: anger is 'seven', not a number"),
        ([("clip", *COLUMNS), ("00001.mp4", -1, *[0] * 10)], "line 2: anger is '-1', not a number from 0 up"),
        ([], "its first row is empty"),
    ],
)
def test_an_odd_workbook_is_one_sentence(tmp_path: Path, rows: list[tuple[object, ...]], sentence: str) -> None:
    root = mafw(tmp_path)
    workbook(root / "Labels/single-set.xlsx", *rows)
    with pytest.raises(UserError, match=sentence):
        read("mafw", root)


def dfew(root: Path, *rows: tuple[object, ...]) -> Path:
    for name, part in (("1", "train"), ("2", "test")):
        write_images(root / f"Clip/clip_224x224/{name.zfill(5)}", int(name))
        lists = root / f"EmoLabel_DataSplit/{part}(single-labeled)"
        lists.mkdir(parents=True, exist_ok=True)
        (lists / "set_1.csv").write_text(f"video_name,label\n{name},1\n")
    workbook(root / "Annotation/annotation.xlsx", *rows)
    return root


NAMED = (*(f"vote_{number}" for number in range(1, 8)), "clip_name", "annotation")


@pytest.mark.parametrize("heading", [[], [NAMED]])
def test_dfew_votes_come_from_the_workbook_with_and_without_a_heading(
    tmp_path: Path, heading: list[tuple[object, ...]]
) -> None:
    root = dfew(tmp_path, *heading, (8, 0, 2, 0, 0, 0, 0, "1.mp4", 1), (0, 4, 4, 1, 0, 0, 1, 3, 0))
    listings, classes, *_ = read("dfew", root)
    votes = {clip.clip_id: {label: count for label, count in clip.votes.items() if count} for clip in listings}
    assert votes == {"00001": {"happiness": 8, "neutral": 2}, "00002": {}}
    assert list(listings[0].votes) == classes
    found = index("dfew", root, tmp_path / "made")
    assert found.findings["votes that name no clip"] == [("00003", "")]
    assert found.faults() == {}, "its owner's annotators judged more clips than the lists name"


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ((8, 0, 2, 0, 0, 0, "x", 1, 1), "line 2: fear is 'x', not a number"),
        ((8, 0, 2), "line 2: expected 7 votes and a clip"),
    ],
)
def test_an_odd_row_of_dfew_is_one_sentence(tmp_path: Path, row: tuple[object, ...], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        read("dfew", dfew(tmp_path, NAMED, row))


def test_a_damaged_workbook_is_one_sentence(tmp_path: Path) -> None:
    file = workbook(tmp_path / "annotation.xlsx", ("clip",))
    for content in (b"", b"no zip", file.read_bytes()[:-40]):
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"annotation\.xlsx cannot be read as an Excel workbook"):
            list(read_sheet(file, ("clip",)))


def test_ferv39k_scenes_are_kept_and_make_folds(tmp_path: Path) -> None:
    root = tmp_path / "FERV39k"
    for scene in ("Action", "Crime", "School"):
        for part, number in (("train", "0001"), ("test", "0002")):
            write_images(root / f"2_ClipsforFaceCrop/{scene}/Happy/{number}", len(scene) + len(part))
            file = root / f"4_setups/22_scenes/{part}_{scene}.csv"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{scene}/Happy/{number} Happy\n")
    index("ferv39k", root, tmp_path / "data")
    rows = Clips(tmp_path / "data").rows
    assert [(row["clip_id"], row["scene"], row["fold_1"]) for row in rows][:3] == [
        ("Action/Happy/0001", "Action", "train"),
        ("Action/Happy/0002", "Action", "test"),
        ("Crime/Happy/0001", "Crime", "train"),
    ]
    whole = root / "4_setups/All_scenes/train_All.csv"
    whole.parent.mkdir()
    whole.write_text("School/Happy/0001 Happy\n")
    assert [clip.clip_id for clip in read("ferv39k", root)[0]] == ["School/Happy/0001"], "the whole split comes first"
    whole.unlink()
    index("ferv39k", root, tmp_path / "by-scene", split=SplitSettings(by="scene"))
    clips = Clips(tmp_path / "by-scene", ["scene"], folds=True)
    assert clips.folds == [1, 2, 3]
    assert {row["scene"] for row in clips.rows if row["fold_1"] == "test"} == {"Action"}


def test_a_tree_without_lists_names_both_kinds(tmp_path: Path) -> None:
    (tmp_path / "4_setups").mkdir()
    with pytest.raises(UserError, match=r"All_scenes/train_All\.csv.*22_scenes/train_Action\.csv"):
        read("ferv39k", tmp_path)
