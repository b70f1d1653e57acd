"""Errors that are for people: one plain sentence of what is wrong, where, and what to do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from grace.pipeline.messages import byte_size


class GraceError(Exception):
    """Something went wrong that a person can put right; printed without a traceback.

    Example:
        >>> error = GraceError("The disk is full: free some space, then run it again.")
        >>> str(error), error.exit_code
        ('The disk is full: free some space, then run it again.', 1)
    """

    exit_code = 1
    """What the command line exits with."""


class UserError(GraceError):
    """The user's mistake: a wrong path, key, name or file; exit code 2."""

    exit_code = 2


class ClipError(Exception):
    """One clip cannot be done; the message becomes the ``error`` of its row. Raise it inside a step."""


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, 524)
"""What file systems without locks say; 524 is the kernel's own ENOTSUPP, which NFS lets through."""
OF_THE_MACHINE = (
    *FULL,
    *TOO_MANY_FILES,
    *NO_LOCKS,
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EIO, errno.ESTALE),
)
"""Errors that a person can put right, or whose cause is the machine's: none of them is a bug of ours."""


def os_error_sentence(error: OSError, path: Path | str, size: int = 0, *, done: str = "written") -> str:
    """What an error of the operating system means for a file or folder, and what to do.

    Args:
        error: What the system says.
        path: The file or folder.
        size: The bytes that were to be written.
        done: What was to be done with it: ``written`` or ``read``.

    Example:
        >>> os_error_sentence(OSError(errno.EROFS, ""), "data/demo")
        'data/demo cannot be written, since its disk is read-only: name a folder on another one, and run it again.'
    """
    again = "and run it again"
    cannot = f"{path} cannot be {done}"
    if error.errno in FULL:
        what = "The quota is used up" if error.errno == errno.EDQUOT else "The disk is full"
        return f"{what}: {f'{path} needs {byte_size(size)}' if size else cannot}; free some space {again}."
    if error.errno in TOO_MANY_FILES:
        return f"{cannot}, since too many files are open: raise the limit (`ulimit -n 4096`) {again}."
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        above = (each for each in (Path(path), *Path(path).parents) if os.path.lexists(each) and not each.is_dir())
        return f"{cannot}, since {next(above, 'something in its path')} is no folder: move it away {again}."
    if error.errno == errno.ENAMETOOLONG:
        return f"{cannot}, since its name is too long: name a shorter folder {again}."
    if error.errno == errno.EROFS:
        return f"{cannot}, since its disk is read-only: name a folder on another one, {again}."
    return f"{cannot} ({error.strerror or error}): check the rights and the disk {again}."


def sentence_of(error: OSError | MemoryError) -> str | None:
    """The sentence for an error that reached the command line; None when its cause is not the machine's.

    Example:
        >>> sentence_of(OSError(errno.EMFILE, "Too many open files", "a.h5"))
        'a.h5 cannot be used, since too many files are open: raise the limit (`ulimit -n 4096`) and run it again.'
        >>> sentence_of(OSError(errno.EBADF, "Bad file descriptor"))
    """
    if isinstance(error, MemoryError):
        return "There is not enough memory: set workers or batch to a smaller number and run it again."
    if error.errno not in OF_THE_MACHINE:
        return None
    return os_error_sentence(error, error.filename or "A file", done="used")
