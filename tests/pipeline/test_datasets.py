"""Adapters read the lists as their owners ship them, real ones where they are at hand."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from pipeline.datasets import LABELS, adapter, canonical, classes, folder, read
from pipeline.errors import UserError


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def real(shared: Path, dataset: str, root: Path, clips: str) -> Path:
    shutil.copytree(shared / "annotations" / dataset, root)
    (root / clips).mkdir(parents=True)
    return root


def test_labels_are_in_the_canonical_order() -> None:
    assert LABELS[:7] == ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear")
    assert LABELS[7:] == ("contempt", "anxiety", "helplessness", "disappointment")
    assert [canonical(name) for name in ("Happy", " ANGRY", "fear", "joyful rage")] == [
        "happiness",
        "anger",
        "fear",
        None,
    ]


def test_real_mafw_lists_are_read_whole(shared: Path, tmp_path: Path) -> None:
    listings = read("mafw", real(shared, "mafw", tmp_path / "mafw", "data/clips"))
    assert len(listings) == 1839 + 7333
    assert Counter(listing.folds[1] for listing in listings) == {"train": 7333, "test": 1839}
    assert Counter(listing.label for listing in listings)["disappointment"] == 182
    assert {listing.path for listing in listings} >= {"data/clips/03747.mp4"}
    assert not any(listing.problem or listing.repeated or listing.leaked for listing in listings)


def test_real_dfew_lists_are_read_whole(shared: Path, tmp_path: Path) -> None:
    listings = read("dfew", real(shared, "dfew", tmp_path / "dfew", "Clip/clip_224x224"))
    assert len(listings) == 9356 + 2341
    first = listings[0]
    assert (first.clip_id, first.path, first.source) == ("00001", "Clip/clip_224x224/00001", "frames")
    assert (first.label, first.folds) == ("sadness", {1: "test"})
    assert Counter(listing.label for listing in listings)["happiness"] == 2445


def test_real_ferv39k_list_is_read_whole(shared: Path, tmp_path: Path) -> None:
    root = real(shared, "ferv39k", tmp_path / "ferv39k", "2_ClipsforFaceCrop")
    listings = read("ferv39k", root)
    assert len(listings) == 7847
    assert listings[0].clip_id.startswith("Action/Angry/")
    assert listings[0].label == "anger"
    assert classes("ferv39k", root, listings) == list(LABELS[:7])


def test_mafw_captions_and_folds_come_together(tmp_path: Path) -> None:
    lists = tmp_path / "Train & Test Set" / "single"
    write(lists / "no_caption/set_1/train.txt", "00001.mp4 anger\n00002.mp4 fear\n")
    write(lists / "no_caption/set_2/test.txt", "00001.mp4 anger\n")
    text = "00001.mp4\tanger\t他皱着眉头\tHe frowns.\n"
    write(lists / "with_caption/set_1/train.txt", text.encode("gb18030"))
    (tmp_path / "data/frames/00001").mkdir(parents=True)
    one, two = read("mafw", tmp_path)
    assert (one.folds, one.caption_human, one.source) == ({1: "train", 2: "test"}, "He frowns.", "frames")
    assert not one.repeated
    assert (two.clip_id, two.label) == ("00002", "fear")


def test_clips_or_frames_whichever_is_there(tmp_path: Path) -> None:
    write(tmp_path / "EmoLabel_DataSplit/train(single-labeled)/set_1.csv", "video_name,label\n7,1\n8,2\n9,3\n")
    write(tmp_path / "Clip/original/7.mp4", b"x")
    (tmp_path / "Clip/jpg_256/00008").mkdir(parents=True)
    found = {listing.clip_id: (listing.path, listing.source) for listing in read("dfew", tmp_path)}
    assert found["00007"] == ("Clip/original/7.mp4", "video")
    assert found["00008"] == ("Clip/jpg_256/00008", "frames")


def test_folder_reads_marks_line_ends_folds_and_subjects(tmp_path: Path) -> None:
    lines = "path,label,subject,fold\r\na/one.mp4,Happy,p1,1\r\ntwo.mp4,sad,p2,2\r\nthree,Fear,p3,\r\n"
    write(tmp_path / "clips.csv", b"\xef\xbb\xbf" + lines.encode())
    (tmp_path / "three").mkdir()
    one, three, two = read("mine", tmp_path)
    assert (one.clip_id, one.label, one.subject, one.folds) == ("a/one", "happiness", "p1", {1: "test", 2: "train"})
    assert two.folds == {1: "train", 2: "test"}
    assert (three.source, three.folds) == ("frames", {})
    assert classes("mine", tmp_path, [one, two, three]) == ["happiness", "sadness", "fear"]


def test_folder_reads_utf16_and_explicit_folds(tmp_path: Path) -> None:
    write(tmp_path / "clips.csv", "path,label,fold_1,fold_3\nplač.mp4,sadness,train,TEST\n".encode("utf-16"))
    (one,) = read("mine", tmp_path)
    assert (one.path, one.folds) == ("plač.mp4", {1: "train", 3: "test"})


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"file,label\nx.mp4,fear\n", "lacks the column path"),
        (b"", "lacks the column path and label"),
        (b"path,label,fold\nx.mp4,fear,6\n", "line 2: the fold '6'"),
        (b"path,label,fold_1\nx.mp4,fear,dev\n", "fold_1 is 'dev'"),
        (b"path,label\n\xff\xfa\xe9.mp4,fear\n", "save it as UTF-8"),
        (b"path,label\n", "name no clip"),
    ],
)
def test_bad_folder_table_is_one_clear_error(tmp_path: Path, content: bytes, named: str) -> None:
    write(tmp_path / "clips.csv", content)
    with pytest.raises(UserError, match=named):
        read("mine", tmp_path)


def test_contradictions_make_a_clip_unusable_and_leaks_stay_in_test(tmp_path: Path) -> None:
    lists = tmp_path / "Train & Test Set/single/no_caption"
    write(lists / "set_1/train.txt", "00001.mp4 anger\n00002.mp4 fear\n00002.mp4 fear\n00003.mp4 sadness\n")
    write(lists / "set_1/test.txt", "00001.mp4 disgust\n00003.mp4 sadness\n00004.mp4 anger_disgust\n")
    (tmp_path / "clips").mkdir()
    one, two, three, four = read("mafw", tmp_path)
    assert "labelled anger in one place and disgust in another" in one.problem
    assert two.repeated
    assert (three.leaked, three.folds, three.problem) == ((1,), {1: "test"}, "")
    assert "anger_disgust' is unknown" in four.problem


def test_paths_outside_the_root_and_shared_ids_are_problems(tmp_path: Path) -> None:
    rows = ["../x.mp4,fear", "/etc/x.mp4,fear", "a/../../y.mp4,fear", "a.mp4,fear", "a.avi,fear", ",fear"]
    write(tmp_path / "clips.csv", "path,label\n" + "\n".join(rows) + "\n")
    problems = {listing.clip_id: listing.problem for listing in read("mine", tmp_path)}
    assert "leads out of" in problems["a/y"]
    assert problems["x"]
    assert "absolute" in problems["etc/x"]
    assert "two clips have this id: a.mp4 and a.avi" in problems["a"]
    assert "gives no path" in problems["line 7"]
    assert not any(listing.path.startswith(("/", "..")) for listing in read("mine", tmp_path))


def test_the_tree_tells_the_adapter_and_a_wrong_root_names_the_key(tmp_path: Path) -> None:
    write(tmp_path / "clips.csv", "path,label\n")
    assert adapter("demo", tmp_path) is folder
    for root in (None, tmp_path / "gone"):
        with pytest.raises(UserError, match=r"roots\.demo"):
            adapter("demo", root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"clips\.csv"):
        adapter("demo", tmp_path / "empty")
    with pytest.raises(UserError, match="no_caption"):
        read("mafw", tmp_path / "empty")
