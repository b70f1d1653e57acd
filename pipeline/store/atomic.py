"""Files that exist whole or not at all, and one writer per folder."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from grace.pipeline.errors import GraceError

logger = logging.getLogger(__name__)

TEMPORARY = ".tmp-"
"""How the names of unfinished files begin."""


def write_atomic(path: Path, content: bytes | memoryview) -> None:
    """Write ``content`` under a temporary name, flush it to the disk, then rename it to ``path``.

    Args:
        path: The file; its folder is made if it is not there. An existing file is replaced, never written into.
        content: All of its bytes.

    Raises:
        GraceError: When the disk is full or the folder cannot be written; nothing is left behind then.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomic(Path(folder) / "metrics.json", b"{}")
        ...     [file.name for file in Path(folder).iterdir()]
        ['metrics.json']
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
        with suppress(OSError):  # a name that is too long, or below a file, cannot be removed either
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
    """Hold the exclusive right to write into ``folder``; wait while another process holds it.

    The lock is on the folder itself and ends with the process, however that ends: nothing is left to clean up.
    Temporary files of killed writers are removed when the lock is taken and when it is released.

    Args:
        folder: The folder, made if it is not there.

    Raises:
        GraceError: When the folder cannot be made or opened.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, folder_lock(Path(folder)):
        ...     write_atomic(Path(folder) / "00000.parquet", b"")
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
            logger.warning("Another process is writing to %s; waiting for it to finish.", folder)
            fcntl.flock(handle, fcntl.LOCK_EX)
        _clear(folder)
        try:
            yield
        finally:
            _clear(folder)
    finally:
        os.close(handle)


def _clear(folder: Path) -> None:
    """Remove what killed writers left behind."""
    for leftover in folder.glob(f"{TEMPORARY}*"):
        leftover.unlink(missing_ok=True)
