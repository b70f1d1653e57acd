"""A checksum of a file inside the file itself: a changed bit is noticed before any parser sees it.

A file that is built in memory carries a placeholder somewhere (Parquet and HDF5 in their metadata, others at the end);
:func:`seal` puts the checksum of all other bytes in its place, :func:`verify` checks it. So a file and its checksum are
renamed into place together, whatever the format, and the file is still what pandas, h5py or a viewer expects.
XXH3 finds accidents (bit rot, torn writes, edits); it is no protection against a forger.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import xxhash

from grace.pipeline.errors import UserError

MARK = "grace-xxh3-128:"
PLACEHOLDER = MARK + "0" * 32
"""What stands where the checksum will be."""
PIECE = 4 << 20
"""Bytes of a file that are in memory at a time while it is checked."""
HDF5 = b"\x89HDF"
"""How files of HDF5 begin."""

_verified: set[tuple[str, int, int, int]] = set()
_lock = Lock()


def seal(content: bytes) -> bytes:
    """Put the checksum in the place of the placeholder, or at the end where there is none.

    Example:
        >>> sealed = seal(b"some bytes " + PLACEHOLDER.encode() + b" more")
        >>> is_intact(sealed), is_intact(sealed.replace(b"some", b"same"))
        (True, False)
    """
    if PLACEHOLDER.encode() not in content:
        content += PLACEHOLDER.encode()
    start = _place(content) + len(MARK)
    digest = xxhash.xxh3_128_hexdigest(content).encode()
    return content[:start] + digest + content[start + len(digest) :]


def seal_file(file: BinaryIO) -> None:
    """Put the checksum in the place of the placeholder that a file holds, which is not loaded into memory for it.

    Args:
        file: Written whole, and open for reading and writing, as by :func:`~grace.pipeline.store.atomic.open_atomic`.
    """
    file.flush()
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = _place(content) + len(MARK)
        digest = _digest(content, start)
    file.seek(start)
    file.write(digest)
    file.seek(0, os.SEEK_END)


def is_intact(content: bytes | mmap.mmap) -> bool:
    """Whether a sealed content is as it was sealed; False where it holds no checksum."""
    start = _place(content)
    if start < 0:
        return False
    start += len(MARK)
    return _digest(content, start) == content[start : start + 32]


def _digest(content: bytes | mmap.mmap, start: int) -> bytes:
    """The checksum of a content whose own checksum begins at ``start``."""
    state = xxhash.xxh3_128()
    with memoryview(content) as view:
        for part in (view[:start], memoryview(b"0" * 32), view[start + 32 :]):
            for begin in range(0, len(part), PIECE):
                state.update(part[begin : begin + PIECE])
                if isinstance(content, mmap.mmap):
                    content.madvise(mmap.MADV_DONTNEED)  # what was read counts as memory of the process until then
    return state.hexdigest().encode()


def _place(content: bytes | mmap.mmap) -> int:
    """Where the mark stands, or -1. A text in the file may hold it as well, by accident or design: HDF5 has its
    metadata before its columns, all other files have the mark after whatever they hold."""
    find = content.find if content[: len(HDF5)] == HDF5 else content.rfind
    return find(MARK.encode())


def unsealed(content: bytes) -> bytes:
    """What was sealed, of a content whose checksum stands at its end."""
    return content[: -len(PLACEHOLDER)]


def verify(path: Path, remedy: str) -> None:
    """Check a file against the checksum in it, once per process and state of the file (inode, size, time of change).

    Args:
        path: A file that was written sealed.
        remedy: What to do when it is damaged: the end of the sentence, such as ``run `grace faces` again``.

    Raises:
        UserError: The file is damaged.
        FileNotFoundError: There is no such file.
    """
    with Path(path).open("rb") as file:
        found = os.fstat(file.fileno())
        state = (os.path.realpath(path), found.st_ino, found.st_size, found.st_mtime_ns)
        with _lock:
            if state in _verified:
                return
        intact = found.st_size > 0
        if intact:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                intact = is_intact(content)
    if not intact:
        raise UserError(f"{path} is damaged (its content does not fit its checksum): {remedy}.")
    with _lock:
        _verified.add(state)
