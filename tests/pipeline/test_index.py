"""The index counts real frames, has a row for every listed clip, and tells what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import GraceError
from pipeline.index import index
from pipeline.store import Clips
from tests.pipeline.footage import write_images, write_video


def write_set(root: Path) -> Path:
    """A folder data set with one of every trouble."""
    write_video(root / "clips/good.mp4", 30)
    write_images(root / "clips/frames", 12)
    write_video(root / "clips/unlisted.mp4", 5)
    (root / "clips/empty.mp4").touch()
    (root / "clips/text.mp4").write_text("no video" * 50)
    (root / "clips/bare").mkdir()
    lines = [
        "path,label,subject,fold,frames",
        "clips/good.mp4,Happy,p1,1,31",
        "clips/frames,sad,p2,2,12",
        "clips/empty.mp4,fear,p3,1,",
        "clips/text.mp4,fear,p3,2,",
        "clips/gone.mp4,fear,p4,1,",
        "clips/bare,fear,p4,1,",
        "../outside.mp4,fear,p4,1,",
        "clips/odd.mp4,joyful rage,p4,1,",
    ]
    (root / "clips.csv").write_text("\n".join(lines) + "\n")
    return root


def test_every_listed_clip_has_a_row_with_its_cause(tmp_path: Path) -> None:
    root = write_set(tmp_path / "raw")
    found = index("mine", root, tmp_path / "data")
    clips = Clips(tmp_path / "data")
    rows = {row["clip_id"]: row for row in clips.rows}
    assert len(rows) == found.annotated == 8
    assert found.usable == 2
    assert clips.labels == ["happiness", "sadness", "fear"]
    good, frames = rows["clips/good"], rows["clips/frames"]
    assert (good["n_frames"], good["width"], good["height"], good["fps"]) == (30, 96, 64, 25.0)
    assert (good["label"], good["label_id"], good["subject"]) == ("happiness", 0, "p1")
    assert (good["fold_1"], good["fold_2"], good["fold_3"]) == ("test", "train", "")
    assert (frames["source"], frames["n_frames"], frames["annotated_frames"]) == ("frames", 12, 12)
    causes = {
        "clips/empty": "zero bytes",
        "clips/text": "cannot be opened",
        "clips/gone": "missing",
        "clips/bare": "no images",
        "outside": "leads out of",
        "clips/odd": "'joyful rage' is unknown",
    }
    for clip_id, cause in causes.items():
        assert rows[clip_id]["status"] == "failed"
        assert rows[clip_id]["error"].startswith("index: ")
        assert cause in rows[clip_id]["error"]


def test_reconciliation_counts_each_trouble(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = index("mine", write_set(tmp_path / "raw"), tmp_path / "data")
    assert (found.missing, found.unreadable, found.no_frames) == (1, 1, 2)
    assert (found.unknown_label, found.contradictory, found.unlisted) == (1, 1, 1)
    assert found.differences == {-1: 1}
    printed = capsys.readouterr().out
    assert "files that no list names" in printed
    assert "clips/unlisted.mp4" in printed


def test_no_absolute_path_is_stored_and_the_bytes_are_the_same_elsewhere(tmp_path: Path) -> None:
    for place in ("here", "there/else"):
        index("mine", write_set(tmp_path / place / "raw"), tmp_path / place / "data", workers=3)
    first, second = ((tmp_path / place / "data/clips.parquet").read_bytes() for place in ("here", "there/else"))
    assert first == second
    assert str(tmp_path).encode() not in first


def test_a_root_without_the_clips_stops_the_road(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text("path,label\na.mp4,fear\nb.mp4,sad\n")
    with pytest.raises(GraceError, match=r"None of the 2 clips .* roots\.mine"):
        index("mine", tmp_path, tmp_path / "data")
    assert all(row["status"] == "failed" for row in Clips(tmp_path / "data").rows)


def test_video_cut_off_in_the_middle_is_told_and_used_so_far(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    whole = write_video(root / "clip.avi", 100, codec="MJPG").read_bytes()
    (root / "clip.avi").write_bytes(whole[: len(whole) // 2])
    (root / "clips.csv").write_text("path,label\nclip.avi,fear\n")
    found = index("mine", root, tmp_path / "data")
    (row,) = Clips(tmp_path / "data").rows
    assert 30 < row["n_frames"] < 70
    assert (row["status"], found.ends_early) == ("fallback", 1)
    assert f"{row['n_frames']} of 100 frames" in row["error"]
