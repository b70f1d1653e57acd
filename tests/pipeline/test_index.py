"""The index counts real frames, has a row for every listed clip, and reports what does not fit."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from grace.pipeline.errors import GraceError, UserError
from grace.pipeline.index.index import index
from grace.pipeline.index.reconciliation import DAMAGED, FINDINGS, MISSPELT, VOTED_NO_CLIP, Reconciliation
from grace.pipeline.store import Clips, Row
from tests.support.videos import write_hanging, write_images, write_video

LABELS = ["happiness", "sadness", "fear"]


def write_set(root: Path) -> Path:
    """A folder data set with one of every trouble."""
    write_video(root / "clips/good.mp4", 30)
    (root / "clips/copy.mp4").write_bytes((root / "clips/good.mp4").read_bytes())
    write_images(root / "clips/frames", 12)
    write_video(root / "clips/unlisted.mp4", 5)
    write_images(root / "clips/deep/unlisted", 2)
    write_images(root / "clips/twice", 3)
    (root / "clips/empty.mp4").touch()
    (root / "clips/text.mp4").write_text("no video" * 50)
    (root / "clips/bare").mkdir()
    (root / "clips/circle").symlink_to(root / "clips/circle")
    (root / "clips/again").symlink_to(root / "clips")
    whole = write_video(root / "clips/cut.avi", 100, codec="MJPG").read_bytes()
    (root / "clips/cut.avi").write_bytes(whole[: len(whole) // 2])
    lines = [
        "path,label,subject,fold_1,fold_2,frames,clip_id,fold_3,votes_happy,votes_joy,votes_bored",
        "clips/good.mp4,Happy,p1,test,train,31,,train,3,1,9",
        "clips/frames,sad,p2,train,test,12,",
        "clips/cut.avi,sad,p2,train,test,,",
        "clips/empty.mp4,fear,p3,test,train,,",
        "clips/text.mp4,fear,p3,train,test,,",
        "clips/copy.mp4,,p9,train,,,",
        "clips/gone.mp4,fear,p4,test,train,,",
        "clips/bare,fear,p4,test,train,,",
        "clips/circle,fear,p4,test,train,,",
        "../outside.mp4,fear,p4,test,train,,",
        "clips/odd.mp4,joyful rage,p4,test,train,,",
        "clips/twice,fear,p4,train,,3,",
        "clips/twice,fear,p4,test,,3,",
        "clips/good.mp4,fear,p4,train,test,,same",
        "clips/frames,fear,p4,train,test,,same",
        "clips/good.mp4,fear,p4,train,test,,torn",
        "clips/good.mp4,sad,p4,train,test,,torn",
    ]
    (root / "clips.csv").write_text("\n".join(lines) + "\n")
    return root


def rows_of(folder: Path) -> dict[str, Row]:
    return {row["clip_id"]: row for row in Clips(folder).rows}


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reconciliation]:
    parent = tmp_path_factory.mktemp("indexed")
    return parent / "data", index("mine", write_set(parent / "raw"), parent / "data", labels=LABELS)


def test_every_listed_clip_has_a_row_with_its_cause(indexed: tuple[Path, Reconciliation]) -> None:
    folder, found = indexed
    rows = rows_of(folder)
    assert len(rows) == found.annotated == 14
    assert found.usable == 5
    assert Clips(folder).labels == ["happiness", "sadness", "fear"]
    good, frames, cut = rows["clips/good"], rows["clips/frames"], rows["clips/cut"]
    assert (good["n_frames"], good["width"], good["height"], good["fps"]) == (30, 96, 64, 25.0)
    assert (good["label"], good["label_id"], good["subject"]) == ("happiness", 0, "p1")
    assert (good["fold_1"], good["fold_2"], good["fold_3"], "fold_4" in good) == ("test", "train", "train", False)
    assert list(good["votes"]) == []
    assert (frames["source"], frames["n_frames"], frames["annotated_frames"]) == ("frames", 12, 12)
    assert 30 < cut["n_frames"] < 70
    assert cut["status"] == "fallback"
    assert f"{cut['n_frames']} of 100 frames" in cut["error"]
    causes = {
        "clips/empty": "zero bytes",
        "clips/text": "cannot be opened",
        "clips/gone": "missing",
        "clips/bare": "no images",
        "clips/circle": "symbolic links",
        "outside": "leads out of",
        "clips/odd": "'joyful rage' is unknown",
        "same": "two clips have this id: clips/good.mp4 and clips/frames",
        "torn": "labelled fear in one place and sadness in another",
    }
    for clip_id, cause in causes.items():
        assert rows[clip_id]["status"] == "failed"
        assert rows[clip_id]["error"].startswith("index: ")
        assert cause in rows[clip_id]["error"]


def test_reconciliation_counts_each_trouble_and_keeps_every_one(indexed: tuple[Path, Reconciliation]) -> None:
    folder, found = indexed
    counts = {finding: found.count(finding) for finding in FINDINGS}
    assert counts == {
        "missing": 1,
        "unreadable": 2,
        "zero frames": 2,
        "ends early": 1,
        "decoding errors": 0,
        "frame count differs": 1,
        "listed twice": 3,
        "in train and test of one fold": 1,
        "person in train and test": 4,
        "same content in train and test": 1,
        "label unknown": 1,
        "class looks misspelt": 0,
        "no label": 1,
        "fold without a train or test part": 1,
        "votes for no class": 1,
        "votes that name no clip": 0,
        "two clips with one id": 1,
        "contradictory lines": 1,
        "path cannot be followed": 1,
        "files that no list names": 2,
    }
    assert found.findings["fold without a train or test part"] == [("fold 3", "1 train, 0 test")]
    assert found.findings["votes for no class"] == [("clips/good", "bored: 9 of 13; its votes are not kept")]
    assert (found.videos, found.folders) == (6, 3)
    assert found.differences == {-1: 1}
    assert found.distribution() == [("-1", 1)]
    assert found.folds[1] == {"train": 6, "test": 8}
    with (folder / "reconciliation.csv").open(encoding="utf-8", newline="") as file:
        kept = [(row["finding"], row["clip"]) for row in csv.DictReader(file)]
    assert len(kept) == sum(counts.values())
    assert ("files that no list names", "clips/deep/unlisted") in kept
    assert ("files that no list names", "clips/unlisted.mp4") in kept
    assert ("in train and test of one fold", "clips/twice") in kept


def test_strict_makes_whatever_does_not_fit_an_error(tmp_path: Path) -> None:
    write_images(tmp_path / "clips/a", 3)
    (tmp_path / "clips.csv").write_text("path,label,frames\nclips/a,fear,3\n")
    index("mine", tmp_path, tmp_path / "data", strict=True)
    write_images(tmp_path / "clips/b", 3)
    with pytest.raises(GraceError, match=r"index\.strict is set \(files that no list names: 1\)"):
        index("mine", tmp_path, tmp_path / "data", strict=True)
    assert index("mine", tmp_path, tmp_path / "data").usable == 1


SHOWN = [finding for finding in FINDINGS if finding not in (DAMAGED, MISSPELT, VOTED_NO_CLIP)]
"""Classes that are named are not misspelt, a table of clips holds its own votes; damage: test_damaged_footage.py."""


@pytest.mark.parametrize("finding", SHOWN)
def test_every_finding_is_a_fault_unless_it_is_accepted(indexed: tuple[Path, Reconciliation], finding: str) -> None:
    found = indexed[1]
    others = [name for name in SHOWN if name != finding]
    assert found.faults(others) == {finding: found.count(finding)}
    assert found.count(finding) > 0
    assert finding not in found.faults([finding])
    assert len(found.faults()) == len(SHOWN)


def test_accepting_what_is_no_finding_is_an_error(tmp_path: Path) -> None:
    write_images(tmp_path / "a", 3)
    (tmp_path / "clips.csv").write_text("path,label\na,fear\n")
    with pytest.raises(UserError, match=r"index\.accept\.mine names 'mising': the findings are missing, "):
        index("mine", tmp_path, tmp_path / "data", accept=["mising"])


def test_official_dfew_holds_clips_without_a_single_label(tmp_path: Path) -> None:
    for split, clip in (("train", 1), ("test", 2)):
        lists = tmp_path / f"EmoLabel_DataSplit/{split}(single-labeled)"
        lists.mkdir(parents=True)
        (lists / "set_1.csv").write_text(f"video_name,label\n{clip},1\n")
    for count, clip in enumerate(("00001", "00002", "00003"), 2):
        write_images(tmp_path / "Clip/clip_224x224" / clip, count, ".jpg")
    with pytest.raises(GraceError, match=r"files that no list names: 1"):
        index("dfew", tmp_path, tmp_path / "data", strict=True)
    found = index("dfew", tmp_path, tmp_path / "data", strict=True, accept=["files that no list names"])
    assert found.findings["files that no list names"] == [("Clip/clip_224x224/00003", "")]


def test_distribution_gathers_large_differences() -> None:
    found = Reconciliation()
    found.differences.update({-1: 40, 1: 3, 2: 1, -7: 2, -200: 5, 12: 1, 90: 1})
    assert found.distribution() == [
        ("-10 or less", 5),
        ("-9 … -4", 2),
        ("-1", 40),
        ("+1", 3),
        ("+2", 1),
        ("+10 or more", 2),
    ]


def test_no_absolute_path_is_stored_and_the_bytes_are_the_same_elsewhere(
    indexed: tuple[Path, Reconciliation], tmp_path: Path
) -> None:
    folder, _ = indexed
    index("mine", write_set(tmp_path / "there/else/raw"), tmp_path / "data", labels=LABELS, workers=3)
    for name in ("clips.parquet", "reconciliation.csv"):
        content = (tmp_path / "data" / name).read_bytes()
        assert content == (folder / name).read_bytes()
        assert str(tmp_path).encode() not in content


def test_a_root_without_the_clips_stops_the_pipeline(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text("path,label\na.mp4,fear\nb.mp4,sad\n")
    with pytest.raises(GraceError, match=r"None of the 2 clips .* roots\.mine"):
        index("mine", tmp_path, tmp_path / "data")
    assert all(row["status"] == "failed" for row in Clips(tmp_path / "data").rows)


def test_a_decoder_that_hangs_costs_that_clip_only(tmp_path: Path) -> None:
    write_video(tmp_path / "good.mp4", 5)
    write_hanging(tmp_path / "hang.mp4")
    write_images(tmp_path / "frames", 2)
    os.mkfifo(tmp_path / "frames/0.jpg")  # before 0.png: a pipe that nobody writes to
    write_video(tmp_path / "last.mp4", 5)
    names = ("good.mp4", "hang.mp4", "frames", "last.mp4")
    (tmp_path / "clips.csv").write_text("path,label\n" + "".join(f"{name},fear\n" for name in names))
    found = index("mine", tmp_path, tmp_path / "data", clip_timeout=4)
    rows = rows_of(tmp_path / "data")
    assert {clip_id: row["n_frames"] for clip_id, row in rows.items()} == {"frames": 0, "good": 5, "hang": 0, "last": 5}
    assert found.count("unreadable") == 2
    assert "frame 0.jpg cannot be read: the path is no file but a pipe" in rows["frames"]["error"]
    assert "given up after 4 seconds (clip_timeout): its decoder hangs" in rows["hang"]["error"]


def test_names_no_encoding_knows_are_reported_and_break_nothing(tmp_path: Path) -> None:
    write_video(tmp_path / "clips/good.mp4", 3)
    try:
        Path(os.fsdecode(os.fsencode(tmp_path / "clips") + b"/\xff\xfe.mp4")).touch()
    except OSError:
        pytest.skip("this file system needs names to be text")
    (tmp_path / "clips.csv").write_text("path,label\nclips/good.mp4,fear\n")
    assert index("mine", tmp_path, tmp_path / "data").count("files that no list names") == 1
    assert "clips/\\udcff\\udcfe.mp4" in (tmp_path / "data/reconciliation.csv").read_text()


def test_labels_are_numbered_in_the_order_of_the_classes(tmp_path: Path) -> None:
    lists = tmp_path / "Train & Test Set/compound/no_caption/set_1"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("00001.mp4 fear_surprise\n00002.mp4 fear\n")
    for name in ("00001", "00002"):
        write_images(tmp_path / "data/frames" / name, 2)
    index("mafw-compound", tmp_path, tmp_path / "made")
    rows = rows_of(tmp_path / "made")
    assert [(rows[name]["label"], rows[name]["label_id"]) for name in sorted(rows)] == [
        ("surprise_fear", 1),
        ("fear", 0),
    ]


def test_clips_of_one_frame_and_of_grey_frames_are_counted(tmp_path: Path) -> None:
    write_video(tmp_path / "one.mp4", 1)
    (tmp_path / "grey").mkdir()
    cv2.imwrite(str(tmp_path / "grey/1.png"), np.full((40, 30), 90, dtype=np.uint16))
    (tmp_path / "clips.csv").write_text("path,label\none.mp4,fear\ngrey,fear\n")
    index("mine", tmp_path, tmp_path / "data")
    rows = rows_of(tmp_path / "data")
    assert (rows["one"]["n_frames"], rows["one"]["status"]) == (1, "ok")
    assert (rows["grey"]["n_frames"], rows["grey"]["width"], rows["grey"]["height"]) == (1, 30, 40)
