"""Clips that a person marked leave the folds, and the index says so; a wrong file is named with its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from grace.pipeline.errors import UserError
from grace.pipeline.index.index import index
from grace.pipeline.index.marks import Mark, read_marks, write_marks
from grace.pipeline.store import Clips
from grace.pipeline.text.overrides import read_override_rows, read_overrides
from tests.support.videos import write_video


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    for name in ("a", "b", "c"):
        write_video(folder / f"{name}.mp4", 3)
    (folder / "clips.csv").write_text("path,label,fold\na.mp4,fear,1\nb.mp4,fear,1\nc.mp4,fear,2\n")
    return folder


def test_marked_clips_leave_all_folds_and_are_counted(root: Path, tmp_path: Path) -> None:
    marks = tmp_path / "set.clips.csv"
    write_marks(marks, {"a": Mark("unusable", "a hand, no face"), "b": Mark("doubtful", "she laughs")})
    found = index("set", root, tmp_path / "data", marks=marks, workers=1, strict=True)
    first, second, third = Clips(tmp_path / "data").rows
    assert (first["status"], first["error"]) == ("failed", "index: marked unusable by hand: a hand, no face")
    assert (second["status"], second["label"], third["fold_1"]) == ("ok", "fear", "train")
    assert {row[f"fold_{k}"] for row in (first, second) for k in (1, 2)} == {""}
    assert (found.count("marked unusable"), found.count("label marked doubtful")) == (1, 1)
    marks.unlink()
    index("set", root, tmp_path / "data", marks=marks, workers=1)
    assert [row["fold_1"] for row in Clips(tmp_path / "data").rows] == ["test", "test", "train"]


def test_a_mark_of_no_clip_is_named(root: Path, tmp_path: Path) -> None:
    marks = tmp_path / "set.clips.csv"
    write_marks(marks, {"nobody": Mark("unusable", "x")})
    with pytest.raises(UserError, match="no clip 'nobody'"):
        index("set", root, tmp_path / "data", marks=marks, workers=1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("clip_id,mark\na,unusable\n", "lacks the column reason"),
        ("clip_id,mark,reason\na,bad,x\n", "line 2: the mark is 'bad'"),
        ("clip_id,mark,reason\na,unusable,\n", "line 2: the mark of clip 'a' has no reason"),
        ("clip_id,mark,reason\na,unusable,x\na,doubtful,y\n", "line 3: clip 'a' stands there twice"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(text: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "set.clips.csv"
    file.write_text(text)
    with pytest.raises(UserError, match=sentence):
        read_marks(file)


@pytest.mark.parametrize("read", [read_marks, read_override_rows, lambda file: read_overrides(file, file.parent)])
def test_what_is_there_but_no_file_is_one_sentence(read: Callable[[Path], object], tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "link.csv").symlink_to("gone.csv")
    (tmp_path / "linked").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"folder\.csv is not a regular file"):
        read(tmp_path / "folder.csv")
    with pytest.raises(UserError, match=r"link\.csv is a link to gone\.csv, which is not there"):
        read(tmp_path / "link.csv")
    with pytest.raises(UserError, match=r"linked is a link to nowhere, which is not there"):
        read(tmp_path / "linked" / "set.csv")
    (tmp_path / "overrides").write_text("")
    with pytest.raises(UserError, match=r"overrides is not a folder"):
        read(tmp_path / "overrides" / "set.csv")
    assert read(tmp_path / "absent.csv") == read(tmp_path / "no folder" / "set.csv") == {}
