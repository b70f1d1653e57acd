"""Any folder, any classes, any folds: what a data set need not have, and what is said about what it has."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from grace.pipeline.datasets import read
from grace.pipeline.errors import UserError
from grace.pipeline.index.index import index
from grace.pipeline.index.settings import SplitSettings
from grace.pipeline.store import Clips, Row
from tests.support.videos import write_images, write_video


def rows_of(folder: Path) -> dict[str, Row]:
    return {row["clip_id"]: row for row in Clips(folder).rows}


def table(root: Path, *lines: str) -> Path:
    root.mkdir(exist_ok=True)
    (root / "clips.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def test_a_bare_folder_is_a_data_set(tmp_path: Path) -> None:
    root = tmp_path / "footage"
    write_video(root / "one.mp4", 3)
    write_video(root / "deep/er/two words.avi", 2, codec="MJPG")
    write_images(root / "deep/frames", 4)
    write_images(root / "deep/.hidden", 4)
    (root / "one.jpg").write_bytes((root / "deep/frames").glob("*").__next__().read_bytes())
    (root / "notes.txt").write_text("no clip")
    (root / "deep/circle").symlink_to(root)
    found = index("footage", root, tmp_path / "data")
    rows = rows_of(tmp_path / "data")
    assert {name: row["n_frames"] for name, row in rows.items()} == {"one": 3, "deep/er/two words": 2, "deep/frames": 4}
    assert {(row["label"], row["label_id"], *row["votes"]) for row in rows.values()} == {("", -1)}
    clips = Clips(tmp_path / "data")
    assert (clips.labels, clips.folds) == ([], [])
    assert (found.usable, found.faults()) == (3, {}), "clips without labels are no fault where none has one"


def test_two_files_of_one_name_are_two_clips(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", 2)
    write_video(tmp_path / "a.avi", 3, codec="MJPG")
    assert [clip.clip_id for clip in read("mine", tmp_path)[0]] == ["a.avi", "a.mp4"]


def test_a_folder_without_any_clip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no clip")
    with pytest.raises(UserError, match=r"roots\.mine is .* holds no video or folder of frames"):
        read("mine", tmp_path)


def test_classes_are_the_sets_own_in_any_spelling(tmp_path: Path) -> None:
    lines = ["a,ANG", "b,hap", "c,Calm", "d,boredom", "e,", "f,angry", "g,calm", "h,boredon", "i,boredom"]
    listings, classes, *_ = read("mine", table(tmp_path, "path,label", *lines))
    assert classes == ["happiness", "anger", "calm", "boredom", "boredon"]
    assert [clip.label for clip in listings][:5] == ["anger", "happiness", "calm", "boredom", ""]
    for name in "abcdefghi":
        write_images(tmp_path / name, 2)
    found = index("mine", tmp_path, tmp_path / "data")
    assert found.findings["class looks misspelt"] == [("h", "is the class 'boredon' meant to be 'boredom'?")]
    assert found.findings["no label"] == [("e", "")]
    assert found.classes == {"happiness": 1, "anger": 2, "calm": 2, "boredom": 2, "boredon": 1}
    assert {row["label_id"] for row in rows_of(tmp_path / "data").values()} == {-1, 0, 1, 2, 3, 4}


def test_named_classes_give_the_order_and_what_numbers_mean(tmp_path: Path) -> None:
    root = table(tmp_path, "path,label", "a,1", "b,0", "c,calm", "d,2")
    listings, classes, *_ = read("mine", root, labels=["calm", "Angry"])
    assert classes == ["calm", "anger"]
    assert [clip.label for clip in listings] == ["anger", "calm", "calm", "2"]
    assert listings[3].problem is not None
    assert listings[3].problem.cause == "the label '2' is unknown: use one of calm, anger"
    assert read("mine", root, labels={"1": "boredom", "0": "joy"})[1] == ["boredom", "happiness"]


def test_votes_and_splits_are_kept(tmp_path: Path) -> None:
    lines = ["a,fear,train,7,3", "b,joy,dev,,", "c,joy,test,0,10"]
    root = table(tmp_path, "path,label,split,votes_scared,votes_happy", *lines)
    for name in "abc":
        write_images(root / name, 2)
    index("mine", root, tmp_path / "data")
    rows = rows_of(tmp_path / "data")
    assert [list(rows[name]["votes"]) for name in "abc"] == [[3.0, 7.0], [], [10.0, 0.0]]
    assert [rows[name]["fold_1"] for name in "abc"] == ["train", "val", "test"]


def test_more_than_five_folds(tmp_path: Path) -> None:
    root = table(tmp_path, "path,label,fold", *(f"c{k},fear,{k % 12 + 1}" for k in range(24)))
    listings, *_ = read("mine", root)
    assert sorted(listings[0].folds) == list(range(1, 13))
    assert Counter(listings[0].folds.values()) == {"train": 11, "test": 1}


def test_folds_by_people_or_any_column_have_nobody_on_both_sides(tmp_path: Path) -> None:
    people = [f"p{k % 7}" if k % 9 else "" for k in range(40)]
    lines = [f"c{k:02d},{'fear' if k % 2 else 'joy'},{people[k]},s{k % 3}" for k in range(40)]
    root = table(tmp_path, "path,label,subject,session", *lines)
    for k in range(40):
        write_images(root / f"c{k:02d}", 1)
    for split, count in (
        (SplitSettings(folds=4), 4),
        (SplitSettings(by="session"), 3),
        (SplitSettings(by="clip", folds=5), 5),
    ):
        index("mine", root, tmp_path / "data", split=split)
        rows = rows_of(tmp_path / "data")
        assert Clips(tmp_path / "data").folds == list(range(1, count + 1))
        tested = Counter(row[f"fold_{k}"] for row in rows.values() for k in range(1, count + 1))
        assert tested["test"] == 40, "every clip is tested once"
        if split.by == "subject":
            for fold in range(1, 5):
                people_of: dict[str, set[str]] = {"train": set(), "test": set()}
                for row in rows.values():
                    people_of[row[f"fold_{fold}"]].add(row["subject"])
                assert people_of["train"] & people_of["test"] <= {""}


@pytest.mark.parametrize(
    ("split", "named"),
    [
        (SplitSettings(by="speaker"), "which no clip of mine names: use one of subject, clip, session"),
        (SplitSettings(by="subject"), "which no clip of mine names"),
        (SplitSettings(by="session"), "would make 1 folds of 1 groups"),
        (SplitSettings(by="clip", folds=300), "would make 300 folds of 4 groups by 'clip'"),
    ],
)
def test_folds_that_cannot_be_made_are_refused(tmp_path: Path, split: SplitSettings, named: str) -> None:
    root = table(tmp_path, "path,label,session", *(f"c{k},fear,s" for k in range(4)))
    with pytest.raises(UserError, match=named):
        index("mine", root, tmp_path / "data", split=split)
