"""Files that exist whole or not at all, and one writer per folder."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import xxhash

from grace.pipeline.errors import NO_LOCKS, GraceError, os_error_sentence

logger = logging.getLogger(__name__)

TEMPORARY = ".tmp-"
"""How the names of unfinished files begin: then come the machine and the process that write them."""
ABANDONED = 24 * 3600.0
"""Seconds after which an unfinished file of another machine, whose processes nobody here can see, has no writer."""


def _machine() -> str:
    """This machine, short, for names of files; two containers with one host name differ by whose processes they see."""
    try:
        processes = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        processes = ""
    return xxhash.xxh3_64_hexdigest(f"{socket.gethostname()}\0{processes}".encode("utf-8", "surrogateescape"))[:8]


MACHINE = _machine()


def write_atomic(path: Path, content: bytes | memoryview) -> None:
    """Write ``content`` under a temporary name, flush it to the disk, then rename it to ``path``.

    Args:
        path: The file; its folder is made if it is not there. An existing file is replaced, never written into.
        content: All of its bytes; :func:`open_atomic` writes what does not fit into memory.

    Raises:
        GraceError: When the disk is full or the folder cannot be written; nothing is left behind then.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomic(Path(folder) / "metrics.json", b"{}")
        ...     [file.name for file in Path(folder).iterdir()]
        ['metrics.json']
    """
    with open_atomic(path, len(content)) as file:
        file.write(content)


@contextmanager
def open_atomic(path: Path, size: int = 0) -> Iterator[BinaryIO]:
    """A file to write into piece by piece that becomes ``path`` when the block ends, and nothing when it fails.

    Args:
        path: As in :func:`write_atomic`.
        size: Bytes that will be written, where they are known; said when the disk is full.

    Raises:
        GraceError: When the disk is full or the folder cannot be written; nothing is left behind then.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with open_atomic(Path(folder) / "means.bin") as file:
        ...         written = [file.write(bytes(8)) for _ in range(3)]
        ...     (Path(folder) / "means.bin").stat().st_size
        24
    """
    temporary = temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        _remove(temporary)
        raise GraceError(os_error_sentence(error, path, size)) from error
    except BaseException:
        _remove(temporary)
        raise


def temporary_name(path: Path) -> Path:
    """The name under which this process writes a file before it is whole."""
    return path.with_name(f"{TEMPORARY}{MACHINE}-{os.getpid()}-{path.name}")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):  # some network disks do not sync folders
            raise
    finally:
        os.close(handle)


def _remove(temporary: Path) -> None:
    with suppress(OSError):  # why the file could not be written is what is to be said
        temporary.unlink(missing_ok=True)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold the exclusive right to write into ``folder``; wait while another process holds it.

    The lock is on the folder itself and ends with the process, however that ends: nothing is left to clean up.
    Temporary files of killed writers are removed when the lock is taken and when it is released. Where the file system
    has no locks, a warning says so and the work goes on: whole files are renamed into place, so that two writers
    repeat work, but lose nothing.

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
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise GraceError(os_error_sentence(error, folder)) from error
    try:
        _lock(handle, folder)
        clear_abandoned(folder)
        try:
            yield
        finally:
            clear_abandoned(folder)
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.warning("Another process is writing to %s; waiting for it to finish.", folder)
            fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise GraceError(f"{folder} cannot be locked ({error.strerror or error}): run it again.") from error
        logger.warning(
            "The disk of %s has no file locks (%s): take care that no other process writes there meanwhile.",
            folder,
            os.strerror(error.errno) if error.errno != 524 else "not supported",
        )


def clear_abandoned(folder: Path) -> None:
    """Remove what killed writers left behind in a folder: what ended processes of this machine started, and what is
    very old. What another machine, or a thread of this process, may still be writing stays."""
    with suppress(OSError):
        for leftover in folder.glob(f"{TEMPORARY}*"):
            with suppress(OSError):
                if not _is_abandoned(leftover):
                    continue
                if leftover.is_dir():
                    shutil.rmtree(leftover, ignore_errors=True)
                else:
                    leftover.unlink(missing_ok=True)


def _is_abandoned(temporary: Path) -> bool:
    if time.time() - temporary.stat().st_mtime > ABANDONED:
        return True
    machine, _, rest = temporary.name.removeprefix(TEMPORARY).partition("-")
    process = rest.partition("-")[0]
    return machine == MACHINE and process.isdecimal() and not _is_running(int(process))


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another user's
        return True
    return True
