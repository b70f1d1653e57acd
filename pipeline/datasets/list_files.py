"""List files as text, whatever their encoding and line ends; an error names the file and the line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from grace.pipeline.errors import UserError

UTF8 = ("utf-8-sig",)
MAX_NUMBER = 2**31 - 1
"""The largest whole number a table of clips holds."""


def read_text(file: Path, encodings: Sequence[str] = UTF8, lenient: bool = False) -> str:
    """The text of a list file, in the first of ``encodings`` that fits; UTF-16 is recognised by its byte-order mark.

    ``lenient`` reads one that fits none in the last of them, with � for what is damaged.
    Raises :class:`UserError` naming the file when none fits or it cannot be read.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from None
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encodings = ("utf-16",)
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    if lenient:
        return content.decode(encodings[-1], errors="replace")
    raise UserError(f"{file} is not {' or '.join(encodings).upper()} text: save it as UTF-8.")


def read_lines(file: Path, encodings: Sequence[str] = UTF8, lenient: bool = False) -> list[tuple[int, str]]:
    """The lines of a list file that are not blank, with their numbers, whatever its line ends."""
    # str.splitlines would also split at separators that occur within Chinese text and file names.
    text = read_text(file, encodings, lenient).replace("\r\n", "\n").replace("\r", "\n")
    return [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def read_rows(file: Path, required: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV file with their line numbers: column name to cell, without blanks around either.

    Raises :class:`UserError` naming the file, and the line where there is one, when a column of ``required`` is
    missing, two columns have one name, a row has more cells than there are columns, or quotes are not closed.
    """
    reader = csv.reader(io.StringIO(read_text(file), newline=""), strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        if missing := [name for name in required if name not in names]:
            raise UserError(f"{file} lacks the column {' and '.join(missing)}; it has {', '.join(names) or 'none'}.")
        if len(set(names)) < len(names):
            raise UserError(f"{file} has two columns of one name: {', '.join(names)}.")
        for cells in reader:
            if len(cells) > len(names):
                raise UserError(
                    f"{file}, line {reader.line_num}: more cells than the {len(names)} columns; "
                    'put texts that hold commas in "quotes".'
                )
            if any(cell.strip() for cell in cells):
                padded = [*cells, *[""] * (len(names) - len(cells))]
                yield reader.line_num, {name: cell.strip() for name, cell in zip(names, padded, strict=True)}
    except csv.Error as error:
        raise UserError(f"{file}, line {reader.line_num}: {error}; a quote is open or misplaced there.") from None


def whole_number(written: str) -> int | None:
    """The whole number that a cell holds, also as ``12.0`` (a spreadsheet's way); None when it holds none."""
    digits = written.removesuffix(".0")
    short = digits.isdecimal() and len(digits.lstrip("0")) <= len(str(MAX_NUMBER))  # int refuses thousands of digits
    return number if short and (number := int(digits.lstrip("0") or "0")) <= MAX_NUMBER else None


def decimal(written: str) -> float | None:
    """The number from 0 up that a cell holds; None when it holds none."""
    try:
        number = float(written)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
