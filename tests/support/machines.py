"""Machines that fail, for tests: small disks, file systems without locks, leftovers of other machines."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from grace.pipeline.store import temporary_name

WITHOUT_LOCKS = """
import fcntl, os
def flock(*_):
    raise OSError({code}, os.strerror({code}))
fcntl.flock = flock
"""
"""Python that takes locks away from the process: as on a file system that has none."""


@contextmanager
def small_disk(folder: Path, size: str = "1m", more: str = "") -> Iterator[Path]:
    """A disk of its own at ``folder``; the test is skipped where none may be mounted."""
    folder.mkdir(exist_ok=True)
    options = f"size={size}{',' + more if more else ''}"
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no disk may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Where this process is root, whom no rights bind: as a user without rights, who owns ``folder`` and all in it."""
    if os.geteuid() != 0:
        yield
        return
    nobody = 65534
    for path in (folder, *folder.rglob("*")):
        os.chown(path, nobody, nobody)
    above = [each for each in folder.parents if not each.stat().st_mode & 0o001]
    modes = [each.stat().st_mode for each in above]
    for each, mode in zip(above, modes, strict=True):
        each.chmod(mode | 0o011)
    os.seteuid(nobody)
    try:
        yield
    finally:
        os.seteuid(0)
        for each, mode in zip(above, modes, strict=True):
            each.chmod(mode)


def dead_process() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def leave_temporary(folder: Path, name: str = "00000.h5") -> Path:
    """What a killed process of this machine leaves behind in the middle of a write."""
    ours = temporary_name(folder / name).name
    left = folder / ours.replace(f"-{os.getpid()}-", f"-{dead_process()}-")
    left.write_bytes(b"half")
    return left
