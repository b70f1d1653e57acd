"""cluster/grace.sbatch on a real Slurm of one node: killed and submitted again, a job ends with the same bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.slurm import Slurm, missing_programs, running_slurm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing_programs()), reason=f"no Slurm here: {', '.join(missing_programs())}"),
    pytest.mark.skipif(os.geteuid() != 0, reason="slurmd starts jobs as root only"),
]
SETTINGS = ("-S", "shards.clips=2", "-S", "faces.instants=8", "-S", "workers=1")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    with running_slurm(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture
def demo(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with an indexed world of 24 clips, on nodes that find `grace` by the path of the submitting shell."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(project))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for command in (
        ["init", "."],
        ["world", "--out", "raw/demo", "-S", "world.clips=24"],
        ["index", "--dataset", "demo"],
    ):
        grace(tmp_path, *command)
    return tmp_path


def grace(folder: Path, *command: str) -> None:
    subprocess.run([sys.executable, "-m", "stages", *command], cwd=folder, check=True, capture_output=True)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.h5"))}


def wait_for_shards(folder: Path, count: int) -> None:
    end = time.monotonic() + 240
    while len(list(folder.glob("*.h5"))) < count:
        assert time.monotonic() < end, "the job makes no shard"
        time.sleep(0.02)


@pytest.mark.parametrize("runner", ["processes", "ray"])
def test_a_killed_job_goes_on_and_ends_with_the_same_bytes(
    slurm: Slurm, project: Path, demo: Path, runner: str
) -> None:
    if runner == "ray":
        pytest.importorskip("ray")
    grace(demo, "faces", *SETTINGS)
    expected = digests(demo / "data/demo/faces")
    assert len(expected) == 12
    (demo / "data/demo/faces").rename(demo / "whole")
    script = project / "cluster/grace.sbatch"
    with_runner = (*SETTINGS, "-S", f"runner={runner}", "-S", "ray.gpus=0")
    job = slurm.submit(script, "grace", "faces", *with_runner, cwd=demo)
    wait_for_shards(demo / "data/demo/faces", 2)
    slurm.call("scancel", "--signal=KILL", "--full", str(job))
    assert slurm.wait(job) in ("FAILED", "CANCELLED", "NODE_FAIL")
    made = len(digests(demo / "data/demo/faces"))
    assert 2 <= made < 12, "it was killed in the middle"
    again = slurm.submit(script, "grace", "faces", *with_runner, cwd=demo)
    assert slurm.wait(again) == "COMPLETED", (demo / f"grace-{again}.log").read_text()[-3000:]
    assert digests(demo / "data/demo/faces") == expected
    log = (demo / f"grace-{again}.log").read_text()
    assert "skipped (done before)" in log
    assert (runner == "ray") == ("ray" in log.lower()), log[-3000:]


def test_a_job_without_a_command_says_so(slurm: Slurm, project: Path, tmp_path: Path) -> None:
    job = slurm.submit(project / "cluster/grace.sbatch", cwd=tmp_path)
    assert slurm.wait(job) == "FAILED"
    assert "error: name a command" in (tmp_path / f"grace-{job}.log").read_text()
