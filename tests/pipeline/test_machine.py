"""The machine fails: one sentence that says what to do, and nothing that was done is lost."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

import cv2
import h5py
import numpy as np
import pytest

from grace.pipeline.engines.base import Response
from grace.pipeline.engines.responses import ResponseStore
from grace.pipeline.errors import GraceError, UserError, sentence_of
from grace.pipeline.execution.runner import run
from grace.pipeline.store import Store, atomic, folder_lock, temporary_name, write_atomic
from grace.pipeline.store.schemas import FACES
from grace.pipeline.world import world
from grace.pipeline.world.footage import write_frames, write_video
from grace.pipeline.world.settings import WorldSettings
from tests.support.fake_step import DrawStep, files, write_demo_clips
from tests.support.machines import WITHOUT_LOCKS, leave_temporary, small_disk


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """A data set with four clips and their faces."""
    folder = tmp_path / "demo"
    write_demo_clips(folder, 4)
    run(DrawStep(), folder, size=2)
    return folder


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, 524])
def test_a_disk_without_locks_is_said_and_used(
    code: int, done: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def flock(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    before = files(done)
    summary = run(DrawStep(), done, size=2)
    assert (summary.done, summary.skipped) == (0, 4)
    assert files(done) == before
    assert [record.message for record in caplog.records if "has no file locks" in record.message]
    assert "remove" not in caplog.text


def test_a_lock_that_another_process_holds_on_a_shard_keeps_nobody_from_reading_it(done: Path) -> None:
    """h5py takes locks of its own, which fail on network disks; no file of ours is written in place."""
    path = Store(done / "faces", FACES).path(0)
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert len(Store(done / "faces", FACES).read(0)) == 2
        with pytest.raises(OSError, match="lock"):
            h5py.File(path, "r", locking=True)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EACCES, errno.EIO, errno.ESTALE])
def test_a_shard_that_cannot_be_opened_now_is_not_made_again(
    code: int, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be whole: what the machine says is no word about the file."""
    before, real = files(done), Path.open

    def failing(path: Path, *arguments: Any, **more: Any) -> Any:
        if path.suffix == ".h5":
            raise OSError(code, os.strerror(code), str(path))
        return real(path, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", failing)
        with pytest.raises(GraceError, match=r"00000\.h5 cannot be read") as caught:
            run(DrawStep(), done, size=2)
    assert "remove" not in str(caught.value)
    assert files(done) == before


def test_too_few_file_handles_are_said(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, before[1]))
    try:
        with pytest.raises(GraceError, match=r"too many files are open: raise the limit \(`ulimit -n"):
            write_atomic(tmp_path / "a.json", b"{}")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("blocked", ["data", "data/demo", "data/demo/faces"])
def test_a_file_in_the_place_of_a_folder_is_named(blocked: str, tmp_path: Path) -> None:
    path = tmp_path / blocked
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    sentence = f"{path} is no folder: move it away"
    with pytest.raises(GraceError, match=sentence):
        write_atomic(tmp_path / "data/demo/faces/00000.h5", b"x")
    with pytest.raises(GraceError, match=sentence), folder_lock(tmp_path / "data/demo/faces"):
        raise AssertionError
    assert path.read_text() == "mine"


def test_a_name_that_is_too_long_is_said(tmp_path: Path) -> None:
    with pytest.raises(GraceError, match="its name is too long"):
        write_atomic(tmp_path / ("x" * 300), b"")


def test_a_read_only_disk_and_a_full_one_are_said(tmp_path: Path) -> None:
    with small_disk(tmp_path / "full", "256k") as folder:
        with pytest.raises(GraceError, match=r"The disk is full: .* needs 1\.0 MB"):
            write_atomic(folder / "a.h5", bytes(1_000_000))
        assert not list(folder.iterdir())
    with (
        small_disk(tmp_path / "fixed", more="ro") as folder,
        pytest.raises(GraceError, match="its disk is read-only"),
        folder_lock(folder / "faces"),
    ):
        raise AssertionError


def test_a_quota_that_is_used_up_is_said() -> None:
    sentence = sentence_of(OSError(errno.EDQUOT, "Disk quota exceeded", "data/demo/a.h5"))
    assert sentence == "The quota is used up: data/demo/a.h5 cannot be used; free some space and run it again."


def test_a_folder_of_somebody_else_is_said(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can take its rights away")
    tmp_path.chmod(0o755)
    code = """
        import os
        from pathlib import Path
        from grace.pipeline.errors import GraceError
        from grace.pipeline.store import folder_lock, write_atomic
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
        try:
            write_atomic(Path("a.json"), b"{}")
        except GraceError as error:
            print(error)
        try:
            with folder_lock(Path("faces")):
                pass
        except GraceError as error:
            print(error)
    """
    said = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    sentence = "{} cannot be written (Permission denied): check the rights and the disk and run it again.\n"
    assert said.stdout == sentence.format("a.json") + sentence.format("faces"), said.stderr
    assert not list(tmp_path.iterdir())


def test_what_another_machine_is_writing_stays_and_what_is_abandoned_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = leave_temporary(tmp_path)
    ours = temporary_name(tmp_path / "00001.h5")
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "MACHINE", "01234567")
        theirs, very_old = temporary_name(tmp_path / "00002.h5"), temporary_name(tmp_path / "00003.h5")
    for path in (ours, theirs, very_old):
        path.write_bytes(b"half")
    os.utime(very_old, (1, 1))
    with folder_lock(tmp_path):
        assert not dead.exists()
        assert not very_old.exists()
    assert {path.name for path in tmp_path.iterdir()} == {ours.name, theirs.name}


def test_two_machines_whose_locks_do_not_reach_lose_nothing(tmp_path: Path) -> None:
    folder, alone = tmp_path / "shared", tmp_path / "alone"
    for each in (folder, alone):
        write_demo_clips(each, 24)
    run(DrawStep(), alone, size=2)
    code = (
        WITHOUT_LOCKS.format(code=errno.ENOLCK)
        + f"""
import sys
from pathlib import Path
from grace.pipeline.store import atomic
atomic.MACHINE = sys.argv[1]
from grace.pipeline.execution.runner import run
from tests.support.fake_step import DrawStep
run(DrawStep(seconds=0.01), Path({str(folder)!r}), size=2)
"""
    )
    machines = [
        subprocess.Popen([sys.executable, "-c", code, name], stderr=subprocess.PIPE, text=True)
        for name in ("aaaaaaaa", "bbbbbbbb")
    ]
    for machine in machines:
        said = machine.communicate(timeout=60)[1]
        assert machine.returncode == 0, said
    assert files(folder) == files(alone)


def test_a_response_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    """The disk fills up in the middle of an answer, and has room again for the next one."""
    with small_disk(tmp_path / "disk", "64k") as folder:
        store = ResponseStore(folder / "responses")
        store.add("first", Response("The brows rise."))
        with pytest.raises(GraceError, match="The disk is full"):
            store.add("too long", Response("x" * 200_000))
        store.add("last", Response("The lips part."))
        again = ResponseStore(store.folder)
        texts = [found.text if (found := again.get(key)) else None for key in ("first", "too long", "last")]
        store.close()
    assert texts == ["The brows rise.", None, "The lips part."]


@pytest.mark.slow
def test_time_in_which_everything_slept_does_not_count_against_a_clip(tmp_path: Path) -> None:
    """The whole group of processes is stopped for longer than a clip may take, as by Ctrl-Z, and goes on."""
    write_demo_clips(tmp_path, 6)
    code = f"""
if __name__ == "__main__":
    from pathlib import Path
    from grace.pipeline.execution.runner import run
    from tests.support.fake_step import DrawStep
    print("started", flush=True)
    summary = run(DrawStep(seconds=1.5), Path({str(tmp_path)!r}), size=2, workers=1, clip_timeout=4)
    print(summary.done, dict(summary.failed), flush=True)
"""
    script = tmp_path / "stage.py"
    script.write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}  # for tests.support
    stage = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, start_new_session=True, env=environment
    )
    assert stage.stdout is not None
    assert stage.stdout.readline() == "started\n"
    while not list(tmp_path.glob("faces/0*.h5")):
        time.sleep(0.05)
    os.killpg(stage.pid, signal.SIGSTOP)
    time.sleep(6)
    os.killpg(stage.pid, signal.SIGCONT)
    assert stage.communicate(timeout=60)[0] == "6 {}\n"


FRAMES = [np.random.default_rng(k).integers(0, 256, (96, 96, 3), dtype=np.uint8) for k in range(40)]


def as_video(path: Path, unfinished: Path) -> None:
    write_video(path, FRAMES, 25.0, unfinished)


def as_frames(path: Path, unfinished: Path) -> None:
    write_frames(path, FRAMES, unfinished)


@pytest.mark.parametrize("write", [as_video, as_frames])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_full_disk_leaves_no_broken_clip(write: Callable[[Path, Path], None], share: float, tmp_path: Path) -> None:
    write(tmp_path / "whole.mp4", tmp_path)
    needed = sum(len(content) for content in files(tmp_path).values())
    with small_disk(tmp_path / "disk", str(int(share * needed))) as folder:
        (folder / "unfinished").mkdir()
        with pytest.raises(GraceError, match="disk"):
            write(folder / "00001.mp4", folder / "unfinished")
        assert [path.name for path in folder.rglob("*")] == ["unfinished"]


def test_a_clip_that_fits_has_all_its_frames(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", FRAMES, 25.0, tmp_path)
    video = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    assert sum(1 for _ in iter(video.grab, False)) == len(FRAMES)


def test_a_world_on_a_full_disk_is_finished_when_there_is_room(tmp_path: Path) -> None:
    tiny = WorldSettings(clips=4, identities=2, folds=1, size=96, fps=5)
    world.make_world(tiny, tmp_path / "alone", workers=0)
    with small_disk(tmp_path / "disk", "4m") as disk:
        (disk / "ballast").write_bytes(bytes(4 * 1024 * 1024 - 16 * 4096))
        with pytest.raises(GraceError, match="disk"):
            world.make_world(tiny, disk / "world", workers=0)
        (disk / "ballast").unlink()
        world.make_world(tiny, disk / "world", workers=0)
        assert files(disk / "world") == files(tmp_path / "alone")


def test_a_renderer_that_is_killed_is_said(tmp_path: Path) -> None:
    tiny = WorldSettings(clips=40, identities=2, folds=1, size=128, fps=25)
    stop = Event()

    def kill_one() -> None:
        while not stop.wait(0.05):
            for child in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
                if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text():
                    os.kill(int(child), signal.SIGKILL)
                    return

    killer = Thread(target=kill_one)
    killer.start()
    try:
        with pytest.raises(GraceError, match=r"killed .*set workers to a smaller number"):
            world.make_world(tiny, tmp_path / "world", workers=1)
    finally:
        stop.set()
        killer.join()


def test_a_bug_of_ours_is_no_error_of_the_machine() -> None:
    assert sentence_of(OSError(errno.EBADF, "Bad file descriptor")) is None
    assert "memory" in str(sentence_of(MemoryError()))


def test_a_missing_shard_is_still_the_users_error(done: Path) -> None:
    store = Store(done / "faces", FACES)
    store.path(1).unlink()
    with pytest.raises(UserError, match="is missing: run `grace faces`"):
        store.read(1)
