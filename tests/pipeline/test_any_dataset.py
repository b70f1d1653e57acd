"""Any folder, any classes, any folds: what a data set need not have, and what is said about what it has."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from grace.pipeline.datasets import read
from grace.pipeline.datasets.file_tree import Tree
from grace.pipeline.datasets.settings import LabelNames, ListFilesSettings
from grace.pipeline.errors import GraceError, UserError
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


def test_votes_under_two_spellings_are_added_and_those_for_no_class_are_found(tmp_path: Path) -> None:
    lines = ["a,happy,3,1,,0", "b,sad,,1,9,0", "c,sad,3,3,4,0"]
    root = table(tmp_path, "path,label,votes_happy,votes_joy,votes_bored,votes_none", *lines)
    for name in "abc":
        write_images(root / name, 2)
    found = index("mine", root, tmp_path / "data")
    assert Clips(tmp_path / "data").labels == ["happiness", "sadness"]
    rows = rows_of(tmp_path / "data")
    assert {name: list(row["votes"]) for name, row in rows.items()} == {"a": [4, 0], "b": [], "c": [6, 0]}
    assert found.findings["votes for no class"] == [
        ("b", "bored: 9 of 10; its votes are not kept"),
        ("c", "bored: 4 of 10"),
    ]
    assert found.faults() == {"votes for no class": 2}


def test_votes_alone_make_classes_and_a_misspelt_one_is_named(tmp_path: Path) -> None:
    root = table(tmp_path, "path,votes_fear,votes_surprize!", "a,3,1", "b,2,")
    for name in "ab":
        write_images(root / name, 2)
    found = index("mine", root, tmp_path / "data")
    rows = rows_of(tmp_path / "data")
    assert [list(rows[name]["votes"]) for name in "ab"] == [[3, 1], [2, 0]]
    assert found.findings["class looks misspelt"] == [("a", "is the class 'surprize!' meant to be 'surprise'?")]


def test_named_classes_are_what_votes_mean_too(tmp_path: Path) -> None:
    root = table(tmp_path, "path,label,votes_0,votes_1,votes_calm", "a,0,1,8,1")
    (clip,), classes, *_ = read("mine", root, labels=["calm", "angry"])
    assert (clip.votes, classes) == ({"calm": 2, "anger": 8}, ["calm", "anger"])


def test_columns_are_known_in_any_case(tmp_path: Path) -> None:
    root = table(tmp_path, "Path,Label,FOLD_2,Votes_Happy,Session", "a,joy,test,2,s1")
    (clip,), *_, notes = read("mine", root)
    assert (clip.clip_id, clip.label, clip.folds, clip.votes) == ("a", "happiness", {2: "test"}, {"happiness": 2})
    assert (clip.columns, notes) == ({"Session": "s1"}, [])
    table(tmp_path, "path,label,Label", "a,joy,fear")
    with pytest.raises(UserError, match="two columns of one name"):
        read("mine", root)


def test_a_table_whose_labels_have_another_name_is_noted(tmp_path: Path) -> None:
    root = table(tmp_path, "path,emotion,scene,subject", "a,joy,street,anna")
    said = f"{root / 'clips.csv'} has no column 'label', so that no clip has one; it has emotion."
    assert read("mine", root).notes == [said]
    assert read("mine", table(tmp_path, "path,subject", "a,anna")).notes == []


@pytest.mark.parametrize("name", ["meld", "folder", "mafw", "mafw-compound", "ravdess", "afew", "dfew", "cremad"])
def test_any_folder_may_bear_the_name_of_a_known_set(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    write_video(root / "one.mp4", 3)
    with pytest.raises(UserError):
        read(name, root)
    listed = read(name, root, any_folder=True)
    assert [clip.clip_id for clip in listed.listings] == ["one"]
    assert f"{root} is not {name} as its owner ships it, and is read as videos." in listed.notes[0]
    table(root, "path,label", "one.mp4,joy")
    assert read(name, root, any_folder=True).classes == ["happiness"]


def test_a_known_set_that_is_damaged_is_no_bare_folder(tmp_path: Path) -> None:
    write_video(tmp_path / "one.mp4", 3)
    (tmp_path / "test_sent_emo.csv").write_text("Dialogue_ID,Utterance_ID,Speaker,Emotion\nx,1,Joey,joy\n")
    with pytest.raises(UserError, match="line 2: Dialogue_ID"):
        read("meld", tmp_path, any_folder=True)


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


def test_a_person_or_file_in_train_and_val_is_a_finding(tmp_path: Path) -> None:
    lines = [
        "a,joy,train,anna",
        "b,joy,val,anna",
        "c,fear,train,bob",
        "d,fear,val,",
        "e,joy,test,cleo",
        "f,joy,val,cleo",
    ]
    root = table(tmp_path / "raw", "path,label,split,subject", *lines)
    for count, name in enumerate("abcef", 1):
        write_images(root / name, count)
    shutil.copytree(root / "c", root / "d")
    found = index("mine", root, tmp_path / "data", hash_images=True)
    assert found.findings["person in train and val"] == [("b", "fold 1: anna is in train too (a)")]
    assert found.findings["same content in train and val"] == [("d", "fold 1: the same content is in train too (c)")]
    assert found.findings["person in train and test"] == [("e", "fold 1: cleo is in val too (f)")]
    with pytest.raises(GraceError, match="person in train and val: 1, same content in train and val: 1"):
        index("mine", root, tmp_path / "data", hash_images=True, strict=True)
    known = ["person in train and val", "same content in train and val", "person in train and test"]
    index("mine", root, tmp_path / "data", hash_images=True, strict=True, accept=known)


SEVEN = ["happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear"]


@pytest.mark.parametrize("numbers", [range(1, 8), [7], [1, 7, 7]])
def test_numbers_of_a_table_that_begin_at_one_are_refused(tmp_path: Path, numbers: list[int]) -> None:
    root = table(tmp_path, "path,label", *(f"c{place},{number}" for place, number in enumerate(numbers)))
    with pytest.raises(UserError, match=r"index\.labels\.mine in params\.yaml has 7 names") as caught:
        read("mine", root, labels=SEVEN)
    assert "Then write index.labels.mine: {1: happiness, 2: sadness" in str(caught.value)


@pytest.mark.parametrize("comes_as", ["table", "votes", "mapping", "lists"])
def test_a_class_that_no_clip_has_while_numbers_begin_at_one_is_asked_about(tmp_path: Path, comes_as: str) -> None:
    root, clips = tmp_path / "raw", range(1, 7)
    for number in clips:
        write_images(root / f"c{number}", number)
    (root / "a.txt").write_text("".join(f"c{number} {number} {number}\n" for number in clips))
    lists = ListFilesSettings.model_validate({"folds": {1: {"train": "a.txt"}}, "labels": SEVEN})
    labels: LabelNames = dict(enumerate(SEVEN)) if comes_as == "mapping" else SEVEN
    if comes_as == "votes":
        votes = [",".join("3" if at == number else "" for at in clips) for number in clips]
        table(root, ",".join(["path", *(f"votes_{at}" for at in clips)]), *(f"c{k + 1},{votes[k]}" for k in range(6)))
    else:
        table(root, "path,label", *(f"c{number},{number}" for number in clips))
    said = {"lists": lists} if comes_as == "lists" else {"labels": labels}
    found = index("mine", root, tmp_path / "data", **said)
    ((clip, question),) = found.findings["classes may be one off"]
    assert clip == "c1"
    assert question.startswith("no clip has the number 0 (happiness): do the numbers begin at 1? Then write ")
    with pytest.raises(GraceError, match="classes may be one off: 1"):
        index("mine", root, tmp_path / "data", strict=True, **said)


def test_numbers_that_begin_below_the_named_ones_are_asked_about(tmp_path: Path) -> None:
    root = table(tmp_path, "path,label", *(f"c{number},{number}" for number in range(7)))
    labels: LabelNames = dict(enumerate(SEVEN, 1))
    assert "no clip has the number 7 (fear): do the numbers begin at 0?" in read("mine", root, labels=labels).one_off


@pytest.mark.parametrize("written", [["0", "1"], ["happiness", "1", "2"], ["2", "3"], ["sad", "fear"], ["0", "7"]])
def test_numbers_that_fit_their_names_raise_no_question(tmp_path: Path, written: list[str]) -> None:
    root = table(tmp_path, "path,label", *(f"c{place},{label}" for place, label in enumerate(written)))
    assert read("mine", root, labels=SEVEN).one_off == ""


def test_labels_of_a_folder_without_a_table_are_said_to_be_unused(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", 2)
    (note,) = read("mine", tmp_path, labels=SEVEN).notes
    assert note == f"index.labels.mine is not used: {tmp_path} has no clips.csv, and is read as videos."


def test_columns_of_one_table_may_not_contradict_each_other(tmp_path: Path) -> None:
    root = table(tmp_path, "path,label,split,fold", "a,joy,test,1", "b,joy,val,2")
    with pytest.raises(UserError, match="line 3: by the column split the clip is in val of fold 1, by fold in train"):
        read("mine", root)
    table(tmp_path, "path,label,fold,fold_1", "a,joy,1,train", "b,joy,2,")
    with pytest.raises(UserError, match="by the column fold the clip is in test of fold 1, by fold_1 in train"):
        read("mine", root)
    table(tmp_path, "path,label,split,fold", "a,joy,test,1", "b,joy,train,2", "c,joy,val,")
    assert [clip.folds for clip in read("mine", root)[0]] == [
        {1: "test", 2: "train"},
        {1: "train", 2: "test"},
        {1: "val"},
    ]


def test_columns_of_folds_are_known_however_they_are_written(tmp_path: Path) -> None:
    root = table(tmp_path, "path,label,fold_1,fold_02,Fold_3,fold 4,FOLD-5", "a,joy,train,test,val,train,test")
    (clip,), *_ = read("mine", root)
    assert clip.folds == {1: "train", 2: "test", 3: "val", 4: "train", 5: "test"}
    table(tmp_path, "path,label,fold_2,fold_02", "a,joy,train,test")
    with pytest.raises(UserError, match="two columns of one name"):
        read("mine", root)
    for column in ("fold_0", "fold 00", "Fold_12345"):
        table(tmp_path, f"path,label,{column},fold_1", "a,joy,train,test")
        with pytest.raises(UserError, match=f"the column '{column}' names no fold: folds have numbers from 1 to 9999"):
            read("mine", root)


def test_names_are_equal_whatever_characters_they_are_made_of(tmp_path: Path) -> None:
    lines = [
        "a,happy\u200b,Jos\u00e9,train",
        "b,\ufeffcalm,bob,train",
        "c,happy,Jose\u0301,test",
        "d,calm,bob\u200d,test",
    ]
    root = table(tmp_path / "raw", "path,label,subject,split", *lines)
    for count, name in enumerate("abcd", 1):
        write_images(root / name, count)
    found = index("mine", root, tmp_path / "data")
    assert found.classes == {"happiness": 2, "calm": 2}
    assert [clip for clip, _ in found.findings["person in train and test"]] == ["c", "d"]
    assert read("mine", table(tmp_path, "path,label", "a,\u200b1"), labels=["calm", "fear"])[0][0].label == "fear"


def test_what_programs_write_for_a_missing_label_is_no_class(tmp_path: Path) -> None:
    lines = [f"{number},{label}" for number, label in enumerate(["nan", "NA", "N/A", "<NA>", "null", "joy", "none"])]
    listings, classes, *_ = read("mine", table(tmp_path, "path,label", *lines))
    assert classes == ["happiness", "none"]
    assert [clip.label for clip in listings] == [*[""] * 5, "happiness", "none"]
    assert read("mine", tmp_path, labels={"NA": "neutral", "joy": "happy"})[0][1].label == "neutral"


def test_a_rare_class_very_near_to_a_frequent_one_is_a_finding(tmp_path: Path) -> None:
    labels = ["calm", "calm", "clam", "very_bored", "very_bored", "very_boerd", "level 1", "level 1", "level 2"]
    root = table(tmp_path / "raw", "path,label", *(f"c{place},{label}" for place, label in enumerate(labels)))
    for place in range(len(labels)):
        write_images(root / f"c{place}", place + 1)
    found = index("mine", root, tmp_path / "data")
    assert found.findings["class looks misspelt"] == [
        ("c2", "is the class 'clam' meant to be 'calm'?"),
        ("c5", "is the class 'very_boerd' meant to be 'very_bored'?"),
    ]


def test_of_two_names_that_look_alike_each_is_its_own_file(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    root = table(tmp_path, "path,label", f"{composed}.mp4,joy", f"{decomposed}.mp4,fear", f"{decomposed}/x,joy")
    write_video(root / f"{composed}.mp4", 3)
    write_video(root / f"{decomposed}.mp4", 5)
    write_images(root / composed / "x", 2)
    index("mine", root, tmp_path / "data")
    rows = rows_of(tmp_path / "data")
    assert [rows[name]["n_frames"] for name in (composed, decomposed)] == [3, 5]
    assert rows[f"{decomposed}/x"]["path"] == f"{composed}/x", "what is not there as written is found as it looks"
    tree = Tree(root)
    assert [tree.find("", name).relative for name in (composed, decomposed)] == [composed, f"{decomposed}.mp4"]
