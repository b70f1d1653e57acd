"""Adapters of sets that one may download, on their real tables where these are at hand and on trees of their names."""

from __future__ import annotations

import re
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from grace.pipeline.datasets import Listing, read
from grace.pipeline.errors import GraceError, UserError
from grace.pipeline.index.index import index
from grace.pipeline.store import Clips
from tests.support.videos import write_video


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def people_by_part(listings: list[Listing], fold: int) -> dict[str, set[str]]:
    people = defaultdict(set)
    for listing in listings:
        people[listing.folds[fold]].add(listing.subject)
    return people


def test_real_cremad_tables(shared: Path, tmp_path: Path) -> None:
    source = shared / "annotations/cremad"
    shutil.copy(source / "SentenceFilenames.csv", tmp_path)
    touch(tmp_path, *(source / "VideoFlash_files.txt").read_text().split())
    listings, classes, *_ = read("cremad", tmp_path)
    assert len(listings) == 7442
    assert classes == ["happiness", "sadness", "neutral", "anger", "disgust", "fear"]
    assert Counter(listing.label for listing in listings)["neutral"] == 1087
    assert len({listing.subject for listing in listings}) == 91
    assert {listing.path.rpartition(".")[2] for listing in listings} == {"flv"}
    for fold in range(1, 6):
        people = people_by_part(listings, fold)
        assert 17 <= len(people["test"]) <= 19
        assert not people["train"] & people["test"]
    assert read("any name", tmp_path)[0] == listings, "the tree is known by its folder"


def test_cremad_votes_are_those_on_the_face(tmp_path: Path) -> None:
    write_video(tmp_path / "VideoFlash/1001_DFA_ANG_XX.avi", 3, codec="MJPG")
    touch(tmp_path, "VideoFlash/1002_DFA_HAP_XX.flv")
    (tmp_path / "SentenceFilenames.csv").write_text(
        '"Stimulus_Number","Filename"\n1,"1001_DFA_ANG_XX"\n2,"1002_DFA_HAP_XX"\n3,"1076_MTI_SAD_XX"\n'
    )
    (tmp_path / "processedResults").mkdir()
    (tmp_path / "processedResults/tabulatedVotes.csv").write_text(
        '"","A","D","F","H","N","S","fileName"\n"100001",1,0,0,0,9,0,"1001_DFA_ANG_XX"\n'
        '"200001",8,1,0,0,1,0,"1001_DFA_ANG_XX"\n"300001",9,0,0,0,1,0,"1001_DFA_ANG_XX"\n'
    )
    found = index("cremad", tmp_path, tmp_path / "made")
    rows = {row["clip_id"]: row for row in Clips(tmp_path / "made").rows}
    assert list(rows["1001_DFA_ANG_XX"]["votes"]) == [0, 0, 1, 8, 1, 0]
    assert list(rows["1002_DFA_HAP_XX"]["votes"]) == []
    assert (found.usable, found.count("unreadable"), found.count("missing")) == (1, 1, 1)


def test_cremad_votes_may_name_files_and_those_of_no_clip_are_found(tmp_path: Path) -> None:
    write_video(tmp_path / "VideoFlash/1001_DFA_ANG_XX.avi", 3, codec="MJPG")
    (tmp_path / "SentenceFilenames.csv").write_text("Stimulus_Number,Filename\n1,1001_DFA_ANG_XX\n")
    (tmp_path / "processedResults").mkdir()
    (tmp_path / "processedResults/tabulatedVotes.csv").write_text(
        '"","A","D","F","H","N","S","fileName"\n"200001",8,1,0,0,1,0,"1001_DFA_ANG_XX.flv"\n'
        '"200002",5,0,0,0,5,0,"9999_DFA_ANG_XX"\n'
    )
    found = index("cremad", tmp_path, tmp_path / "made")
    assert list(Clips(tmp_path / "made").rows[0]["votes"]) == [0, 0, 1, 8, 1, 0]
    assert found.findings["votes that name no clip"] == [("9999_DFA_ANG_XX", "")]
    assert "votes that name no clip" in found.faults()


@pytest.mark.parametrize(
    ("dataset", "file", "content", "clip"),
    [
        (
            "meld",
            "test_sent_emo.csv",
            "Dialogue_ID,Utterance_ID,Speaker,Emotion\n0,0,Joey,joy\n",
            "output_repeated_splits_test/dia0_utt0.mp4",
        ),
        ("afew", "notes.txt", "", "Val_AFEW/Angry/000149120.mp4"),
        (
            "dfew",
            "EmoLabel_DataSplit/test(single-labeled)/set_1.csv",
            "video_name,label\n1,1\n",
            "Clip/original/1.mp4",
        ),
    ],
)
def test_half_a_set_is_a_fault(tmp_path: Path, dataset: str, file: str, content: str, clip: str) -> None:
    touch(tmp_path, file)
    (tmp_path / file).write_text(content)
    write_video(tmp_path / clip, 3)
    found = index(dataset, tmp_path, tmp_path / "made")
    assert found.findings["fold without a train or test part"] == [("fold 1", "0 train, 1 test")]
    with pytest.raises(GraceError, match="fold without a train or test part: 1"):
        index(dataset, tmp_path, tmp_path / "made", strict=True)


def test_ravdess_is_one_clip_per_performance(tmp_path: Path) -> None:
    for actor in range(1, 25):
        names = [
            f"{m}-{c}-0{e}-01-01-01-{actor:02d}.mp4" for m in ("01", "02") for c in ("01", "02") for e in (1, 2, 8)
        ]
        touch(tmp_path, *(f"Actor_{actor:02d}/{name}" for name in names))
    touch(tmp_path, "Actor_01/03-01-06-01-02-01-01.wav", "Actor_02/02-01-06-02-02-01-02.mp4", "Actor_02/notes.mp4")
    listings, classes, *_ = read("ravdess", tmp_path)
    assert len(listings) == 24 * 6 + 1
    assert classes[-1] == "calm"
    assert Counter(listing.label for listing in listings) == {"neutral": 48, "calm": 48, "surprise": 48, "fear": 1}
    paths = {listing.clip_id: listing.path for listing in listings}
    assert paths["01-01-01-01-01-07"] == "Actor_07/01-01-01-01-01-01-07.mp4"
    assert paths["01-06-02-02-01-02"] == "Actor_02/02-01-06-02-02-01-02.mp4", "without sound where that is all there is"
    assert {listing.columns["channel"] for listing in listings} == {"speech", "song"}
    for fold in range(1, 7):
        people = people_by_part(listings, fold)
        assert len(people["test"]) == 4
        assert not people["train"] & people["test"]


def test_real_meld_lists(shared: Path, tmp_path: Path) -> None:
    for part in ("dev", "test"):
        shutil.copy(shared / f"annotations/meld/{part}_sent_emo.csv", tmp_path)
    touch(tmp_path, "dev_splits_complete/dia0_utt0.mp4", "output_repeated_splits_test/dia0_utt0.mp4")
    listings, classes, *_ = read("meld", tmp_path)
    assert len(listings) == 800
    assert classes == ["happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear"]
    clips = {listing.clip_id: listing for listing in listings}
    assert (clips["test/dia0_utt0"].label, clips["test/dia0_utt0"].folds) == ("surprise", {1: "test"})
    assert (clips["val/dia0_utt0"].label, clips["val/dia0_utt0"].subject) == ("sadness", "Phoebe")
    assert clips["val/dia0_utt0"].path == "dev_splits_complete/dia0_utt0.mp4"
    assert not any(listing.problem for listing in listings)


def test_afew_is_its_folders(tmp_path: Path) -> None:
    touch(tmp_path, "Train_AFEW/Angry/000046280.avi", "Train_AFEW/Happy/1.avi", "Val_AFEW/Sad/000149120.avi")
    listings, *_ = read("afew", tmp_path)
    assert [(clip.clip_id, clip.label, clip.folds) for clip in listings] == [
        ("Train_AFEW/Angry/000046280", "anger", {1: "train"}),
        ("Train_AFEW/Happy/1", "happiness", {1: "train"}),
        ("Val_AFEW/Sad/000149120", "sadness", {1: "test"}),
    ]


@pytest.mark.parametrize(
    ("dataset", "file", "content", "named"),
    [
        ("cremad", "SentenceFilenames.csv", "Filename\n1001_DFA_BORED\n", "line 2: expected a name such as"),
        ("cremad", "SentenceFilenames.csv", "Name\nx\n", "lacks the column Filename"),
        ("meld", "dev_sent_emo.csv", "Dialogue_ID,Utterance_ID,Speaker,Emotion\nx,1,Joey,joy\n", "line 2: Dialogue_ID"),
        ("meld", "notes.txt", "", "holds none of train_sent_emo.csv"),
        ("ravdess", "Actor_01/x.mp4", "", "holds no video named as RAVDESS names its own"),
        ("afew", "Val_AFEW/x.avi", "", "holds no clip in Train_AFEW/Angry or Val_AFEW/Angry"),
    ],
)
def test_a_tree_that_half_fits_is_one_clear_error(
    tmp_path: Path, dataset: str, file: str, content: str, named: str
) -> None:
    touch(tmp_path, file, "VideoFlash/x.flv")
    (tmp_path / file).write_text(content)
    with pytest.raises(UserError, match=re.escape(named)):
        read(dataset, tmp_path)
