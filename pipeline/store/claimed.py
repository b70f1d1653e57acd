"""A folder that a command writes into: never one that holds anything else."""

from __future__ import annotations

from pathlib import Path

from grace.pipeline.errors import UserError
from grace.pipeline.store.atomic import write_atomic


def claim_folder(folder: Path, mark: str, said: str) -> None:
    """Mark a folder as ours; one that is marked already, an empty and a new one may be written into.

    Args:
        folder: Made where it does not exist.
        mark: Name of the file that marks it.
        said: What that file says: by whom the folder was written. Another mark of the same name is not ours.

    Raises:
        UserError: It is a file, or holds anything else.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as made:
        ...     claim_folder(Path(made, "out"), "mark.txt", "Written by an example.")
        ...     claim_folder(Path(made, "out"), "mark.txt", "Written by an example.")
        ...     claim_folder(Path(made, "out"), "mark.txt", "Written by another.")
        Traceback (most recent call last):
            ...
        grace.pipeline.errors.UserError: .../out holds other files: name an empty folder or a new one.
    """
    if folder.exists():
        if not folder.is_dir():
            raise UserError(f"{folder} is a file: name a folder.")
        marked = folder / mark
        ours = marked.is_file() and marked.read_text(encoding="utf-8", errors="replace") == said
        if any(folder.iterdir()) and not ours:
            raise UserError(f"{folder} holds other files: name an empty folder or a new one.")
    write_atomic(folder / mark, said.encode())
