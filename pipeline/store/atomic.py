"""Files that exist whole or not at all, and one writer a folder."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from grace.pipeline.errors import GraceError

TEMPORARY = ".tmp-"


def write_atomic(path: Path, content: bytes | memoryview) -> None:
    """Write ``content`` under a temporary name, flush it to the disk, then rename it to ``path``.

    Raises :class:`GraceError` when the disk is full or the folder cannot be written; nothing is left behind then.
    """
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise GraceError(_explain(error, path, len(content))) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _explain(error: OSError, path: Path, size: int) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"The disk is full: {path} needs {size / 1e6:.1f} MB; free some space and run the same command again."
    return f"{path} cannot be written ({error.strerror or error}): check the folder's rights and run it again."


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold the only right to write into ``folder``; wait for another process that has it. Clears temporary files.

    The lock is on the folder itself and goes when the process does, however it ends: nothing to clean up.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise GraceError(_explain(error, folder, 0)) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another process is writing to {folder}; waiting for it to finish.", file=sys.stderr)
            fcntl.flock(handle, fcntl.LOCK_EX)
        _clear(folder)
        try:
            yield
        finally:
            _clear(folder)
    finally:
        os.close(handle)


def _clear(folder: Path) -> None:
    """Remove what writers left behind that were killed."""
    for leftover in folder.glob(f"{TEMPORARY}*"):
        leftover.unlink(missing_ok=True)
