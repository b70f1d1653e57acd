"""List files as lines, whatever their encoding and line ends; an error names the file and the line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from grace.pipeline.strict_csv import UTF8, read_text

MAX_NUMBER = 2**31 - 1
"""The largest whole number a table of clips holds."""


def read_lines(file: Path, encodings: Sequence[str] = UTF8, lenient: bool = False) -> list[tuple[int, str]]:
    """The lines of a list file that are not blank, with their numbers, whatever its line ends.

    Args:
        file: The list file.
        encodings: Those to try, as :func:`~grace.pipeline.strict_csv.read_text` does.
        lenient: Whether to read a file that fits none in the last of them, with � for what is damaged.

    Returns:
        Number, from 1, and text of each line.

    Raises:
        UserError: The file cannot be read, or fits none of the encodings.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "train.txt").write_bytes(b"a.mp4 1\\r\\n\\r\\nb.mp4 2")
        ...     read_lines(Path(folder, "train.txt"))
        [(1, 'a.mp4 1'), (3, 'b.mp4 2')]
    """
    # str.splitlines would also split at separators that occur within Chinese text and file names.
    text = read_text(file, encodings, lenient).replace("\r\n", "\n").replace("\r", "\n")
    return [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def whole_number(written: str) -> int | None:
    """The whole number that a cell holds, also as ``12.0`` (a spreadsheet's way); None when it holds none."""
    digits = written.removesuffix(".0")
    significant = digits.lstrip("0") or "0"
    if not digits.isdecimal() or len(significant) > len(str(MAX_NUMBER)):  # int() itself refuses thousands of digits
        return None
    return int(significant) if int(significant) <= MAX_NUMBER else None


def decimal(written: str) -> float | None:
    """The number from 0 up that a cell holds; None when it holds none."""
    try:
        number = float(written)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
