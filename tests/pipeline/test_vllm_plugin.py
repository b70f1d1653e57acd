"""The plugin for vLLM's processes ends those that a stage of ours started, and leaves everybody else's alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grace.pipeline.engines.vllm_plugin import OWNER

STARTER = """
import os, sys, time
from multiprocessing import get_context
from pathlib import Path

def engine(pids):
    serve(pids, "engine")
    worker = get_context("spawn").Process(target=serve_for_ever, args=(pids, "worker"))
    worker.start()
    worker.join()

def serve(pids, name):
    from grace.pipeline.engines.vllm_plugin import exit_with_parent
    exit_with_parent()
    Path(pids, f"{name}.new").write_text(str(os.getpid()))
    Path(pids, f"{name}.new").rename(Path(pids, name))

def serve_for_ever(pids, name):
    serve(pids, name)
    time.sleep(600)

if __name__ == "__main__":
    from grace.pipeline.engines.vllm import environment
    from grace.pipeline.engines.vllm_plugin import OWNER
    owner = {"ours": {OWNER: str(os.getpid())}, "stranger": {}, "of another stage": {OWNER: str(os.getppid())}}
    with environment(owner[sys.argv[2]]):
        process = get_context("spawn").Process(target=engine, args=(sys.argv[1],))
        process.start()
    process.join()
"""
"""Starts processes as vLLM does: an engine, which starts a worker; each runs the plugin first."""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(("who", "stays"), [("ours", False), ("stranger", True), ("of another stage", True)])
def test_processes_end_with_the_stage_that_started_them_and_nobody_elses_do(
    who: str, stays: bool, tmp_path: Path, project: Path
) -> None:
    script = tmp_path / "starter.py"
    script.write_text(STARTER)
    environment = {name: value for name, value in os.environ.items() if name != OWNER}
    environment["PYTHONPATH"] = str(project)
    starter = subprocess.Popen([sys.executable, str(script), str(tmp_path), who], env=environment)
    files = [tmp_path / "engine", tmp_path / "worker"]
    until = time.monotonic() + 60
    while not all(file.exists() for file in files) and time.monotonic() < until:
        time.sleep(0.02)
    pids = [int(file.read_text()) for file in files]
    try:
        assert all(map(alive, pids))
        starter.kill()
        starter.wait()
        until = time.monotonic() + (1 if stays else 30)
        while any(map(alive, pids)) and time.monotonic() < until:
            time.sleep(0.02)
        assert [alive(pid) for pid in pids] == [stays, stays]
    finally:
        for pid in filter(alive, pids):
            os.kill(pid, signal.SIGKILL)
