"""Adapters read the lists as their owners ship them, real ones where they are at hand."""

from __future__ import annotations

import re
import shutil
import unicodedata
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from grace.pipeline.datasets import (
    CANONICAL_LABELS,
    DATASETS,
    Listing,
    canonical,
    find_adapter,
    read,
    root_of,
)
from grace.pipeline.datasets.settings import ListFilesSettings
from grace.pipeline.errors import UserError
from grace.settings import load_settings

SINGLE = "Train & Test Set/single"
COMPOUND = "Train & Test Set/compound"
SPLITS = "EmoLabel_DataSplit"


def write(path: Path, content: str | bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def clips(dataset: str, root: Path, chosen: str | None = None) -> dict[str, Listing]:
    return {listing.clip_id: listing for listing in read(dataset, root, chosen)[0]}


def real(shared: Path, dataset: str, root: Path, clips: str) -> Path:
    shutil.copytree(shared / "annotations" / dataset, root)
    (root / clips).mkdir(parents=True)
    return root


def test_labels_are_in_the_canonical_order() -> None:
    assert CANONICAL_LABELS[:7] == ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear")
    assert CANONICAL_LABELS[7:] == ("contempt", "anxiety", "helplessness", "disappointment")
    names = ("Happy", " ANGRY", "fear", "joyful rage", "", "fear_fear")
    assert [canonical(name) for name in names] == ["happiness", "anger", "fear", None, None, None]
    assert canonical("Fear_Surprise") == canonical("surprised_fear") == "surprise_fear"


def test_every_docstring_shows_a_tree() -> None:
    for adapter in DATASETS.values():
        module = import_module(f"grace.pipeline.datasets.{adapter.name.replace('-', '_')}")
        assert re.search(r"<root>/\n(?: +\S.*\n)+", module.__doc__ or ""), module.__name__


def test_real_mafw_lists_are_read_whole(shared: Path, tmp_path: Path) -> None:
    listings, classes, *_ = read("mafw", real(shared, "mafw", tmp_path / "mafw", "data/clips"))
    assert len(listings) == 1839 + 7333
    assert classes == list(CANONICAL_LABELS)
    assert Counter(listing.folds[1] for listing in listings) == {"train": 7333, "test": 1839}
    assert Counter(listing.label for listing in listings)["disappointment"] == 182
    assert {listing.path for listing in listings} >= {"data/clips/03747"}
    assert not any(listing.problem or listing.repeated or listing.leaked for listing in listings)


def test_real_dfew_lists_are_read_whole(shared: Path, tmp_path: Path) -> None:
    listings, classes, *_ = read("dfew", real(shared, "dfew", tmp_path / "dfew", "Clip/clip_224x224"))
    assert len(listings) == 9356 + 2341
    assert classes == list(CANONICAL_LABELS[:7])
    first = listings[0]
    assert (first.clip_id, first.path, first.source) == ("00001", "Clip/clip_224x224/00001", "frames")
    assert (first.label, first.folds) == ("sadness", {1: "test"})
    assert Counter(listing.label for listing in listings)["happiness"] == 2445
    assert not any(listing.problem or listing.repeated or listing.leaked for listing in listings)


def test_real_ferv39k_list_is_read_whole(shared: Path, tmp_path: Path) -> None:
    listings, classes, *_ = read("ferv39k", real(shared, "ferv39k", tmp_path / "ferv39k", "2_ClipsforFaceCrop"))
    assert len(listings) == 7847
    assert listings[0].clip_id.startswith("Action/Angry/")
    assert listings[0].label == "anger"
    assert classes == list(CANONICAL_LABELS[:7])
    # The folder of a clip names its emotion too.
    assert all(canonical(listing.clip_id.split("/")[1]) == listing.label for listing in listings)


def test_real_list_files_say_what_the_official_ones_do(shared: Path, tmp_path: Path) -> None:
    """Somebody else's `path n_frames label` list of the fold that MAFW's own list describes."""
    root = real(shared, "mafw", tmp_path / "mafw", "data/clips")
    there = shared / "annotations/list_format"
    lists = ListFilesSettings.model_validate(
        {
            "folds": {1: {split: str(there / f"MAFW_set_1_{split}.txt") for split in ("train", "test")}},
            "labels": list(CANONICAL_LABELS),
            "paths": {"/data/EECS-IoannisLab/datasets/MAFW/data/faces": "data/faces"},
        }
    )
    listed, classes, *_ = read("mafw-faces", root, lists=lists)
    official = clips("mafw", root)
    assert classes == list(CANONICAL_LABELS)
    assert {clip.clip_id: (clip.label, clip.folds) for clip in listed} == {
        clip_id: (clip.label, clip.folds) for clip_id, clip in official.items()
    }
    assert (listed[0].path, listed[0].source) == (f"data/faces/{listed[0].clip_id}", "frames")
    assert {clip.clip_id: clip.annotated_frames for clip in listed}["00025"] == 47


def test_mafw_captions_and_folds_come_together(tmp_path: Path) -> None:
    write(tmp_path / SINGLE / "no_caption/set_1/train.txt", "00001.mp4 anger\n00002.mp4 fear\n00003.mp4 neutral\n")
    write(tmp_path / SINGLE / "no_caption/set_2/test.txt", "00001.mp4 anger\n")
    text = "00001.mp4\tanger\t他皱着眉头\tHe frowns.\r\n".encode("gb18030")
    damaged = b"00002.mp4\tfear\t\x81\xff\xcb\tShe\xa1\xafs afraid, \x93really\x94.\r\n"
    write(tmp_path / SINGLE / "with_caption/set_1/train.txt", text + damaged)
    (tmp_path / "data/frames/00001").mkdir(parents=True)
    found = clips("mafw", tmp_path)
    one, two = found["00001"], found["00002"]
    assert (one.folds, one.caption_human, one.source) == ({1: "train", 2: "test"}, "He frowns.", "frames")
    assert not one.repeated
    assert (two.label, two.caption_human[:3], two.problem) == ("fear", "She", None)
    assert found["00003"].caption_human == ""


def test_mafw_compound_labels_become_classes_of_their_own(tmp_path: Path) -> None:
    text = "00001.mp4 fear_surprise\n00002.mp4 fear\n00003.mp4 anger_disgust\n00004.mp4 anger_joyous\n"
    write(tmp_path / COMPOUND / "no_caption/set_1/train.txt", text)
    write(tmp_path / COMPOUND / "no_caption/set_2/test.txt", "00001.mp4 surprise_fear\n")
    write(tmp_path / "data/clips/00001.mp4")
    listings, classes, *_ = read("mafw-compound", tmp_path)
    assert classes == ["fear", "anger_disgust", "surprise_fear"]
    assert (listings[0].label, listings[0].folds) == ("surprise_fear", {1: "train", 2: "test"})
    assert listings[3].problem is not None
    assert listings[3].problem.finding == "label unknown"


def test_clips_or_frames_whichever_is_there_and_never_a_mixture(tmp_path: Path) -> None:
    lists = tmp_path / SPLITS / "train(single-labeled)/set_1.csv"
    write(lists, b"\xef\xbb\xbfvideo_name,label\r\n7,1\r\n8,2\r\n9,3\r\n")
    write(tmp_path / "Clip/original/7.mp4")
    write(tmp_path / "Clip/original/8.MP4")
    found = clips("dfew", tmp_path)
    assert (found["00007"].path, found["00007"].source) == ("Clip/original/7.mp4", "video")
    assert (found["00008"].path, found["00008"].source) == ("Clip/original/8.MP4", "video")
    assert found["00009"].path == "Clip/original/00009.mp4"
    (tmp_path / "Clip/jpg_256/00008").mkdir(parents=True)
    found = clips(
        "dfew", tmp_path
    )  # crops are what the field uses; a clip without is missing, not taken from elsewhere
    assert (found["00008"].path, found["00008"].source) == ("Clip/jpg_256/00008", "frames")
    assert (found["00007"].path, found["00007"].source) == ("Clip/jpg_256/00007", "frames")
    assert clips("dfew", tmp_path, "Clip/original")["00007"].source == "video"
    with pytest.raises(UserError, match=r"Clip/none, which index\.folders names"):
        clips("dfew", tmp_path, "Clip/none")


def test_two_files_for_one_clip_are_not_chosen_from(tmp_path: Path) -> None:
    write(tmp_path / SINGLE / "no_caption/set_1/train.txt", "00001.mp4 anger\n")
    write(tmp_path / "data/clips/00001.mp4")
    write(tmp_path / "data/clips/00001.avi")
    problem = clips("mafw", tmp_path)["00001"].problem
    assert problem is not None
    assert "two files could be this clip" in problem.cause


def test_names_are_compared_as_unicode_has_it(tmp_path: Path) -> None:
    """A disk from another system has letter and accent apart, the list has them in one."""
    apart = unicodedata.normalize("NFD", "Café/plač 😀 'quoted\"泣き顔")
    write(tmp_path / f"{apart}.mp4")
    row = 'Café/plač 😀 \'quoted""泣き顔.mp4'
    write(tmp_path / "clips.csv", f'path,label\n"{row}",sadness\n')
    (clip,), *_ = read("mine", tmp_path)
    assert (clip.path, clip.source) == (f"{apart}.mp4", "video")
    assert clip.clip_id == "Café/plač 😀 'quoted\"泣き顔"


def test_folder_reads_marks_line_ends_folds_and_subjects(tmp_path: Path) -> None:
    lines = "path,label,subject,fold,frames\r\na/one.mp4,Happy,p1,1,12.0\r\ntwo.mp4,sad,p2,2.0,\r\nthree,Fear,p3\r\n"
    write(tmp_path / "clips.csv", b"\xef\xbb\xbf" + lines.encode())
    (tmp_path / "three").mkdir()
    (one, three, two), classes, *_ = read("mine", tmp_path)
    assert (one.clip_id, one.label, one.subject, one.folds) == ("a/one", "happiness", "p1", {1: "test", 2: "train"})
    assert one.annotated_frames == 12
    assert two.folds == {1: "train", 2: "test"}
    assert (three.source, three.folds) == ("frames", {})
    assert classes == ["happiness", "sadness", "fear"]


def test_folder_reads_utf16_quotes_and_explicit_folds(tmp_path: Path) -> None:
    text = 'path,label,fold_1,fold_3,caption\nplač.mp4,sadness,train,TEST,"He weeps,\nthen\u2028laughs."\n'
    write(tmp_path / "clips.csv", text.encode("utf-16"))
    (one,), *_ = read("mine", tmp_path)
    assert (one.path, one.folds) == ("plač.mp4", {1: "train", 3: "test"})
    assert one.caption_human == "He weeps,\nthen\u2028laughs."


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"file,label\nx.mp4,fear\n", "lacks the column path"),
        (b"", "lacks the column path; it has none"),
        (b"path,label,label\nx.mp4,fear,joy\n", "two columns of one name"),
        (b"path,label,fold\nx.mp4,fear,0\n", "line 2: the fold '0'"),
        (b"path,label,fold\nx.mp4,fear," + b"9" * 5000 + b"\n", "line 2: the fold '99999999999999999999…'"),
        (b"path,label,votes_fear\nx.mp4,fear,some\n", "votes_fear is 'some'"),
        (b"path,label,fold_1\nx.mp4,fear,later\n", "fold_1 is 'later'"),
        (b"path,label,frames\nx.mp4,fear,many\n", "frames is 'many'"),
        (b"path,label,frames\nx.mp4,fear,99999999999\n", "frames is '99999999999'"),
        (b"path,label\n\xff\xfa\xe9.mp4,fear\n", "save it as UTF-8"),
        (b'path,label\n"x.mp4,fear\ny.mp4,fear\n', "a quote is open"),
        (b"path,label,caption\nx.mp4,fear,He weeps, then laughs\n", "line 2: more cells than the 3 columns"),
        (b"path,label\n", "name no clip"),
    ],
)
def test_bad_folder_table_is_one_clear_error(tmp_path: Path, content: bytes, named: str) -> None:
    write(tmp_path / "clips.csv", content)
    with pytest.raises(UserError, match=re.escape(named)):
        read("mine", tmp_path)


@pytest.mark.parametrize(
    ("dataset", "file", "content", "named"),
    [
        ("mafw", f"{SINGLE}/no_caption/set_1/train.txt", "00001.mp4\n", "line 1: expected a video and a label"),
        ("dfew", f"{SPLITS}/test(single-labeled)/set_2.csv", "name,label\n1,2\n", "lacks the column video_name"),
        ("dfew", f"{SPLITS}/test(single-labeled)/set_2.csv", "video_name,label\n,2\n", "line 2: no video_name"),
        ("ferv39k", "4_setups/All_scenes/test_All.csv", "Action/Happy/0015\n", "line 1: expected a clip and a label"),
    ],
)
def test_bad_official_list_is_one_clear_error(
    tmp_path: Path, dataset: str, file: str, content: str, named: str
) -> None:
    write(tmp_path / file, content)
    for place in ("data/clips", "Clip/original", "0_7_LabelClips"):
        (tmp_path / place).mkdir(parents=True)
    with pytest.raises(UserError, match=re.escape(named)):
        read(dataset, tmp_path)


def test_a_listed_path_out_of_the_root_never_becomes_a_clip_within(tmp_path: Path) -> None:
    write(tmp_path / SINGLE / "no_caption/set_1/train.txt", "../../x/00001.mp4 anger\n/etc/00001.mp4 anger\n")
    write(tmp_path / SPLITS / "test(single-labeled)/set_1.csv", "video_name,label\n../1,2\n")
    write(tmp_path / "4_setups/All_scenes/test_All.csv", "../Action/Happy/1 Happy\n")
    for place in ("data/clips/00001.mp4", "Clip/original/1.mp4", "0_7_LabelClips/Action/Happy/1.mp4"):
        write(tmp_path / place)
    for dataset in ("mafw", "dfew", "ferv39k"):
        for clip in clips(dataset, tmp_path).values():
            assert clip.problem is not None
            assert clip.problem.finding == "path cannot be followed"
            assert clip.path == ""


def test_contradictions_make_a_clip_unusable_and_leaks_stay_in_test(tmp_path: Path) -> None:
    lists = tmp_path / SINGLE / "no_caption"
    write(lists / "set_1/train.txt", "00001.mp4 anger\n00002.mp4 fear\n00002.mp4 fear\n00003.mp4 sadness\n")
    write(lists / "set_1/test.txt", "00001.mp4 disgust\n00003.mp4 sadness\n00004.mp4 anger_disgust\n")
    (tmp_path / "clips").mkdir()
    (one, two, three, four), *_ = read("mafw", tmp_path)
    assert one.problem is not None and four.problem is not None
    assert "labelled anger in one place and disgust in another" in one.problem.cause
    assert two.repeated
    assert (three.leaked, three.folds, three.problem) == ((1,), {1: "test"}, None)
    assert "anger_disgust' is unknown" in four.problem.cause


def test_paths_outside_the_root_and_shared_ids_are_problems(tmp_path: Path) -> None:
    rows = [
        "../x.mp4,fear",
        "/etc/x.mp4,fear",
        "a/../../y.mp4,fear",
        "a.mp4,fear",
        "a.avi,fear",
        ",fear",
        "D:\\z.mp4,fear",
    ]
    write(tmp_path / "clips.csv", "path,label\n" + "\n".join(rows) + "\n")
    listings, *_ = read("mine", tmp_path)
    problems = {listing.clip_id: listing.problem.cause for listing in listings if listing.problem}
    assert "leads out of" in problems["y"]
    assert problems["x"]
    assert "absolute" in problems["etc/x"]
    assert "absolute" in problems["D:/z"]
    assert "two clips have this id: a.mp4 and a.avi" in problems["a"]
    assert "gives no path" in problems["line 7"]
    assert not any(listing.path.startswith(("/", "..")) for listing in listings)


def test_list_files_map_roots_and_number_labels_as_settings_say(tmp_path: Path) -> None:
    write(tmp_path / "train.txt", "D:\\sets\\clips\\two words 47 1\nD:\\sets\\clips\\b.mp4 12 2\r\n/else/c 3 fear\n")
    write(tmp_path / "test.txt", "D:\\sets\\clips\\two words 47 1\nD:\\sets\\clips\\d 5 9\n")
    (tmp_path / "clips/two words").mkdir(parents=True)
    write(
        tmp_path / "params.yaml",
        "lists: {mine: {folds: {2: {train: train.txt, test: test.txt}}, labels: {1: happy, 2: Sad, fear: fear}, "
        "paths: {'D:\\sets\\clips': clips}}}",
    )
    lists = load_settings(tmp_path / "params.yaml").lists["mine"]
    listings, classes, *_ = read("mine", tmp_path, lists=lists)
    found = {listing.clip_id: listing for listing in listings}
    assert classes == ["happiness", "sadness", "fear"]
    one = found["two words"]
    assert (one.path, one.source, one.annotated_frames) == ("clips/two words", "frames", 47)
    assert (one.label, one.folds, one.leaked) == ("happiness", {2: "test"}, (2,))
    assert (found["b"].path, found["b"].label) == ("clips/b.mp4", "sadness")
    assert found["/else/c"].problem is not None and "absolute" in found["/else/c"].problem.cause
    assert found["d"].problem is not None and "'9' is unknown" in found["d"].problem.cause


@pytest.mark.parametrize(
    ("lists", "content", "named"),
    [
        ({"folds": {1: {"train": "gone.txt"}}, "labels": ["fear"]}, "", "gone.txt cannot be read"),
        (
            {"folds": {1: {"train": "a.txt"}}, "labels": ["fear"]},
            "x 3\n",
            "line 1: expected a path, a number of frames",
        ),
        ({"folds": {1: {"train": "a.txt"}}, "labels": ["fear"]}, "x many 0\n", "line 1: expected a path, a number"),
    ],
)
def test_bad_list_files_are_one_clear_error(tmp_path: Path, lists: object, content: str, named: str) -> None:
    write(tmp_path / "a.txt", content)
    with pytest.raises(UserError, match=re.escape(named)):
        read("mine", tmp_path, lists=ListFilesSettings.model_validate(lists))


def test_a_folder_that_links_to_itself_breaks_nothing(tmp_path: Path) -> None:
    write(tmp_path / SINGLE / "no_caption/set_1/train.txt", "00001.mp4 anger\n")
    write(tmp_path / "data/clips/00001.mp4")
    (tmp_path / "data/clips/circle").symlink_to(tmp_path / "data/clips/circle")
    (tmp_path / "data/clips/again").symlink_to(tmp_path / "data/clips")
    assert clips("mafw", tmp_path)["00001"].path == "data/clips/00001.mp4"


def test_the_tree_shows_the_adapter_and_a_wrong_root_names_the_key(tmp_path: Path) -> None:
    write(tmp_path / "clips.csv", "path,label\n")
    assert find_adapter("demo", tmp_path).name == "folder"
    with pytest.raises(UserError, match=r"^The root of data set 'demo', x{300}, is not a folder: set roots.demo"):
        root_of({"demo": "x" * 100_000}, "demo")
    assert root_of({"demo": str(tmp_path)}, "demo") == root_of({}, "demo", tmp_path) == tmp_path
    for root in (None, tmp_path / "gone"):
        with pytest.raises(UserError, match=r"roots\.demo"):
            root_of({}, "demo", root)
        with pytest.raises(UserError, match=r"roots\.demo"):
            read("demo", root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"clips\.csv"):
        find_adapter("demo", tmp_path / "empty")
    with pytest.raises(UserError, match="no_caption"):
        read("mafw", tmp_path / "empty")
