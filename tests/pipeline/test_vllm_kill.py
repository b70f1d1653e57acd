"""A stage with vLLM in it that is killed, ended or interrupted leaves no process behind, and is taken up again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from grace.pipeline.store import Store
from grace.pipeline.store.schemas import CAPTIONS
from tests.support.face_stores import write_clips_with_faces

pytestmark = [
    pytest.mark.slow,
    pytest.mark.vllm,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed: run scripts/vllm_env.sh"),
]
CLIPS, SIZE = 96, 4
PATIENCE = 120.0
"""Seconds that vLLM's processes have to go; without anybody to end them they stay for ever."""


def hears_interrupts() -> None:
    """A shell's background job ignores SIGINT and its children inherit that: begin as a command at a terminal does."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Stage:
    """``grace caption`` with engine vllm in a session of its own, by which its processes are known, orphans too."""

    def __init__(self, project: Path, data: Path, log: Path, copies: int) -> None:
        given = [
            f"data={data}",
            f"shards.clips={SIZE}",
            "max_failed=1",
            "caption.engine=vllm",
            f"caption.model={project / 'pocket/vlm'}",
            "caption.dtype=float32",
            "caption.prefetch_clips=8",
            "caption.max_tokens=48",
            "caption.vllm.options={enforce_eager: true, max_num_seqs: 4}",
            f"caption.vllm.data_parallel={copies}",
        ]
        command = [sys.executable, "-m", "stages", "caption", "-d", "set"]
        command += [part for setting in given for part in ("-S", setting)]
        environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", **os.environ}
        self.log = log
        self.store = Store(data / "set" / "captions", CAPTIONS)
        self.found = len(self.store.shards())
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command,
                cwd=project,
                env=environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
                preexec_fn=hears_interrupts,
            )

    def living(self) -> list[int]:
        """Processes of this session that are not zombies."""
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(session) == self.process.pid and state != "Z":
                    found.append(int(entry.name))
        return found

    def workers(self) -> int:
        """vLLM's workers that hold a model or are about to."""
        names = []
        for process in self.living():
            with suppress(OSError):
                names.append(Path(f"/proc/{process}/cmdline").read_bytes())
        return sum(b"VLLM::Worker" in name for name in names)

    def reach(self, moment: str) -> None:
        """Wait until it starts vLLM's workers, or has committed two shards."""
        while not (self.workers() if moment == "while it starts" else len(self.store.shards()) >= self.found + 2):
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.02)

    def end(self, how: signal.Signals) -> int:
        """End it as ``kill`` or a terminal does, and wait until nothing of it is left; its exit code."""
        if how == signal.SIGINT:
            os.killpg(self.process.pid, how)
        else:
            self.process.send_signal(how)
        return self.gone()

    def gone(self, seconds: float = PATIENCE) -> int:
        """Wait until it has ended, and then until its processes have; its exit code."""
        code = self.process.wait(seconds)
        until = time.monotonic() + PATIENCE
        while self.living() and time.monotonic() < until:
            time.sleep(0.02)
        assert not self.living()
        return code


@pytest.fixture
def stage(project: Path, tmp_path: Path) -> Iterator[Callable[[int], Stage]]:
    """Starts a stage over the clips of one data set."""
    write_clips_with_faces(tmp_path / "set", CLIPS, instants=8, size=SIZE)
    started: list[Stage] = []

    def start(copies: int) -> Stage:
        started.append(Stage(project, tmp_path, tmp_path / "stage.log", copies))
        return started[-1]

    yield start
    for each in started:
        with suppress(ProcessLookupError):
            os.killpg(each.process.pid, signal.SIGKILL)
        each.process.wait()


def memory() -> set[str]:
    """The pieces of memory by which vLLM's processes talk; they outlive them unless somebody frees them."""
    return {path.name for path in Path("/dev/shm").glob("psm_*")}


ENDS = [
    ("while it starts", signal.SIGKILL, 1),
    ("in mid-run", signal.SIGKILL, 2),
    ("in mid-run", signal.SIGTERM, 1),
    ("in mid-run", signal.SIGINT, 1),
]
"""When a stage is ended, how, and how many copies of the model it then has."""


def test_a_stage_ended_in_any_way_leaves_no_process_and_goes_on_where_it_was(stage: Callable[[int], Stage]) -> None:
    kept: dict[Path, int] = {}
    shared = memory()
    for moment, how, copies in ENDS:
        running = stage(copies)
        running.reach(moment)
        assert running.workers() == copies
        assert running.end(how) == (130 if how == signal.SIGINT else -how)
        assert all(path.stat().st_mtime_ns == written for path, written in kept.items()), "a shard was made again"
        kept = {path: path.stat().st_mtime_ns for path in map(running.store.path, running.store.shards())}
    interrupted = "error: Interrupted. What is done is kept: the same command goes on from there."
    assert running.log.read_text().splitlines()[-1] == interrupted
    assert 6 <= len(kept) < CLIPS // SIZE
    last = stage(1)
    assert last.gone(1800) == 0, last.log.read_text()
    rows = list(last.store.rows())
    assert len(rows) == len({row["clip_id"] for row in rows}) == CLIPS
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items())
    assert memory() <= shared
