"""What the index takes for a clip: animations like videos, nothing that a link brings in from elsewhere."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from PIL import Image

from grace.pipeline.datasets.file_tree import Tree, without_suffix
from grace.pipeline.errors import GraceError
from grace.pipeline.index.index import index
from grace.pipeline.store import Clips, Row
from tests.support.videos import numbered, write_images, write_video


def write_animation(path: Path, count: int = 6) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [Image.fromarray(numbered(number)) for number in range(count)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)
    return path


def rows_of(folder: Path) -> dict[str, Row]:
    return {row["clip_id"]: row for row in Clips(folder).rows}


def test_animations_are_listed_named_and_missed_like_any_video(tmp_path: Path) -> None:
    for name in ("a.gif", "b.webp", "unlisted.gif", "unlisted.webp"):
        write_animation(tmp_path / "clips" / name)
    write_video(tmp_path / "clips/c.mp4", 6)
    cv2.imwrite(str(tmp_path / "clips/thumbnail.webp"), numbered(1))
    (tmp_path / "clips.csv").write_text(
        "path,label\n" + "".join(f"clips/{x},fear\n" for x in ("a.gif", "b.webp", "c.mp4"))
    )
    found = index("mine", tmp_path, tmp_path / "data")
    rows = rows_of(tmp_path / "data")
    assert {clip_id: (row["source"], row["n_frames"], row["status"]) for clip_id, row in rows.items()} == dict.fromkeys(
        ("clips/a", "clips/b", "clips/c"), ("video", 6, "ok")
    )
    assert len({row["content"] for row in rows.values()}) == 3
    unlisted = [path for path, _ in found.findings["files that no list names"]]
    assert unlisted == ["clips/unlisted.gif", "clips/unlisted.webp"]


def test_a_clip_is_found_by_its_name_whatever_its_suffix(tmp_path: Path) -> None:
    write_animation(tmp_path / "clips/00001.GIF")
    write_animation(tmp_path / "clips/00002.webp")
    write_video(tmp_path / "clips/00003.mp4", 3)
    cv2.imwrite(str(tmp_path / "clips/00003.webp"), numbered(1))  # a picture beside it is no second clip
    tree = Tree(tmp_path)
    assert [tree.find("clips", name).relative for name in ("00001", "00002", "00003")] == [
        "clips/00001.GIF",
        "clips/00002.webp",
        "clips/00003.mp4",
    ]
    assert tree.find("clips", "00003").problem is None
    assert [without_suffix(name) for name in ("x/00001.GIF", "00002.webp")] == ["x/00001", "00002"]


def test_links_stay_inside_the_root_unless_their_place_is_named(tmp_path: Path) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    write_video(root / "real.mp4", 5)
    (root / "inside.mp4").symlink_to("real.mp4")
    (root / "outside.mp4").symlink_to(write_video(other / "private.mp4", 5))
    (root / "folder").symlink_to(write_images(other / "frames", 3))
    (write_images(root / "mixed", 3) / "3.png").symlink_to(other / "frames/2.png")
    (root / "away").symlink_to(other)
    names = ("real.mp4", "inside.mp4", "outside.mp4", "folder", "mixed", "away/private.mp4")
    (root / "clips.csv").write_text("path,label\n" + "".join(f"{name},fear\n" for name in names))
    found = index("mine", root, tmp_path / "data")
    rows = rows_of(tmp_path / "data")
    assert {clip_id for clip_id, row in rows.items() if row["status"] == "ok"} == {"real", "inside"}
    assert found.count("path cannot be followed") == 4
    assert f"a link leads out of the data set's root, to {other / 'private.mp4'}" in rows["outside"]["error"]
    assert all(not row["content"] for row in rows.values() if row["status"] != "ok")
    index("mine", root, tmp_path / "data", links=[str(other)])
    assert {row["status"] for row in rows_of(tmp_path / "data").values()} == {"ok"}


def test_a_root_that_is_itself_a_link_is_no_way_out(tmp_path: Path) -> None:
    write_video(tmp_path / "real/a.mp4", 5)
    (tmp_path / "real/clips.csv").write_text("path,label\na.mp4,fear\n")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    index("mine", tmp_path / "link", tmp_path / "data")
    assert rows_of(tmp_path / "data")["a"]["status"] == "ok"


def test_a_folder_of_clips_that_is_a_link_says_what_to_set(tmp_path: Path) -> None:
    write_video(tmp_path / "disk/a.mp4", 5)
    (tmp_path / "root").mkdir()
    (tmp_path / "root/clips").symlink_to(tmp_path / "disk")
    (tmp_path / "root/clips.csv").write_text("path,label\nclips/a.mp4,fear\n")
    with pytest.raises(GraceError, match=r"name that folder in index\.links"):
        index("mine", tmp_path / "root", tmp_path / "data")
