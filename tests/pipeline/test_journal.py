"""An index that was killed goes on where it stopped, and believes nothing that may have changed meanwhile."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from grace.pipeline.datasets import Listing
from grace.pipeline.index import counting
from grace.pipeline.index import index as indexing
from grace.pipeline.index.counting import PARTIAL
from grace.pipeline.media.content import content_digest
from grace.pipeline.store import Clips
from grace.pipeline.store.journal import Journal, state_of
from tests.support.fake_step import files
from tests.support.videos import write_video


def make_set(root: Path, clips: int) -> None:
    root.mkdir()
    for number in range(clips):
        write_video(root / f"{number:02d}.mp4", 3 + number % 3)
    lines = [f"{number:02d}.mp4,fear" for number in range(clips)]
    (root / "clips.csv").write_text("path,label\n" + "\n".join(lines) + "\n")


def index(root: Path, folder: Path) -> None:
    indexing.index("own", root, folder, workers=1)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many clips each following index counts."""
    numbers: list[int] = []
    real = counting.run_in_processes

    def noting(task, jobs, **more):  # type: ignore[no-untyped-def]
        numbers.append(sum(len(job) for job in jobs))
        return real(task, jobs, **more)

    monkeypatch.setattr(counting, "run_in_processes", noting)
    return numbers


def interrupt(root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that ends when all is counted and nothing is written yet."""
    with monkeypatch.context() as patch:

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(indexing, "write_clips", killed)
        with pytest.raises(KeyboardInterrupt):
            index(root, folder)


def test_what_was_counted_before_a_kill_is_not_counted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_set(tmp_path / "raw", 20)
    index(tmp_path / "raw", tmp_path / "alone")
    interrupt(tmp_path / "raw", tmp_path / "own", monkeypatch)
    journal = tmp_path / "own" / PARTIAL
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == 20
    damaged = lines[2].replace(b'"n_frames": ', b'"n_frames": 9')
    journal.write_bytes(b"".join([*lines[:2], damaged, *lines[3:15], lines[15][:-30]]))
    (tmp_path / "raw" / "00.mp4").write_bytes((tmp_path / "raw" / "01.mp4").read_bytes())
    numbers = counted(monkeypatch)
    index(tmp_path / "raw", tmp_path / "own")
    assert numbers == [7]  # five that were not written whole, the damaged line, the clip that changed
    assert not journal.exists()
    shutil.rmtree(tmp_path / "alone")
    index(tmp_path / "raw", tmp_path / "alone")
    assert files(tmp_path / "own") == files(tmp_path / "alone")
    assert len(Clips(tmp_path / "own")) == 20


def test_a_whole_index_leaves_no_journal_and_counts_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_set(tmp_path / "raw", 2)
    numbers = counted(monkeypatch)
    index(tmp_path / "raw", tmp_path / "own")
    index(tmp_path / "raw", tmp_path / "own")
    assert numbers == [2, 2]
    assert not (tmp_path / "own" / PARTIAL).exists()


def test_other_options_another_root_or_another_file_are_not_believed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.mp4").write_bytes(b"content")
    Journal(tmp_path / PARTIAL, tmp_path / "a", {"hash": True}).add("x.mp4", {"n_frames": 1})
    assert Journal(tmp_path / PARTIAL, tmp_path / "a", {"hash": True}).get("x.mp4") == {"n_frames": 1}
    assert Journal(tmp_path / PARTIAL, tmp_path / "a", {"hash": False}).get("x.mp4") is None
    assert Journal(tmp_path / PARTIAL, tmp_path / "b", {"hash": True}).get("x.mp4") is None
    before = (tmp_path / "a" / "x.mp4").stat()
    (tmp_path / "a" / "x.mp4").write_bytes(b"CONTENT")
    os.utime(tmp_path / "a" / "x.mp4", ns=(before.st_atime_ns, before.st_mtime_ns))  # as `cp -p` and rsync do
    assert Journal(tmp_path / PARTIAL, tmp_path / "a", {"hash": True}).get("x.mp4") is None


def test_a_clip_that_went_or_changed_while_it_was_counted_is_not_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path / PARTIAL, tmp_path)
    journal.add("gone.mp4", {"n_frames": 1})
    assert not journal.path.exists()
    (tmp_path / "x.mp4").write_bytes(b"one")
    state = state_of(tmp_path / "x.mp4")
    (tmp_path / "x.mp4").write_bytes(b"two, longer")
    journal.add("x.mp4", {"n_frames": 1}, state)
    assert Journal(tmp_path / PARTIAL, tmp_path).get("x.mp4") is None


@pytest.mark.parametrize("replacements", [1, 9])
def test_count_and_digest_are_of_one_file(replacements: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is replaced after its frames are counted and before its content is read: once, and each time."""
    make_set(tmp_path / "raw", 1)
    clip, others = tmp_path / "raw" / "00.mp4", tmp_path / "others"
    copies = [write_video(others / f"{number}.mp4", 6 + number) for number in range(replacements)]
    last = content_digest(copies[-1], "video")

    def replacing(path: Path, source: str, hash_images: bool) -> str:
        if copies:
            copies.pop(0).replace(path)
        return content_digest(path, source, hash_images)

    monkeypatch.setattr(counting, "content_digest", replacing)
    task = counting.CountTask(tmp_path / "raw", hash_images=False, links=())
    ((state, contents),) = task.run([Listing("00", "00.mp4", "video", "fear")], {}, lambda position: None)
    if replacements == 1:
        assert isinstance(contents, counting.Contents)
        assert (contents.probe.n_frames, contents.digest, state) == (6, last, state_of(clip))
    else:
        assert isinstance(contents, counting.Unusable)
        assert "changed while they were read" in contents.cause
        assert state == ""
