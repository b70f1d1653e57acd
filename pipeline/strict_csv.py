"""CSV files: a strict reader of those that people write, and a writer whose cells no program takes for commands.

File names, labels and texts of strangers get into our tables. A spreadsheet would run a cell that begins with ``=``,
and a terminal obeys control characters. Such cells are escaped, and :func:`unescape` gives back what they held.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from grace.pipeline.errors import UserError

UTF8 = ("utf-8-sig",)
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How cells begin that spreadsheets calculate, full-width signs included."""
_NUMBER = re.compile(r"[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,4})?|-?(?:inf|nan)")
_ESCAPED = re.compile(r"\\(?:\\|x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")


def read_text(file: Path, encodings: Sequence[str] = UTF8, lenient: bool = False) -> str:
    """The text of a list file, in the first of ``encodings`` that fits; UTF-16 is recognised by its byte-order mark.

    Args:
        file: The file.
        encodings: Names of encodings, the likeliest first.
        lenient: Whether to read a file that fits none in the last of them, with � for what is damaged.

    Raises:
        UserError: None fits, or the file cannot be read; the message names it.
    """
    if file.exists() and not file.is_file():  # reading a pipe would wait for ever
        raise UserError(f"{file} is not a regular file.")
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
    known = " or ".join(encoding.removesuffix("-sig").upper() for encoding in encodings)
    raise UserError(f"{file} is not {known} text: save it as UTF-8.")


def read_rows(
    file: Path, required: Sequence[str], prose: str = "", spelling: Callable[[str], str] = str
) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV file with their line numbers: column name to cell, without blanks around either.

    Args:
        file: The file, UTF-8 or UTF-16.
        required: Columns that must be there.
        prose: A column of free text. It is an error when the cell after it looks like the rest of a text that held a
            comma.
        spelling: Gives the name under which a written column is known.

    Yields:
        The number of the line, from 1, and its cells; rows of blank cells are left out.

    Raises:
        UserError: The file is no text, a column of ``required`` is missing, two columns have one name, a row has more
            cells than there are columns, quotes are not closed, or the cell after the one of ``prose`` is as described;
            the message names the file, and the line where there is one.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "clips.csv").write_text("path, label\\na.mp4, fear\\n")
        ...     list(read_rows(Path(folder, "clips.csv"), ["path"]))
        [(2, {'path': 'a.mp4', 'label': 'fear'})]
    """
    reader = csv.reader(io.StringIO(read_text(file), newline=""), strict=True)
    try:
        names = [spelling(name.strip()) for name in next(reader, [])]
        if any("\0" in name for name in names):  # UTF-16 without its mark, UTF-32, a block that was never written
            raise UserError(f"{file} holds NUL characters and is not UTF-8 text: save it as UTF-8.")
        if missing := [name for name in required if name not in names]:
            raise UserError(
                f"{file} lacks the column {' and '.join(missing)}; it has {', '.join(names) or 'none'}: name the "
                "columns in the first line, in small letters and with commas between them."
            )
        if len(set(names)) < len(names):
            raise UserError(f"{file} has two columns of one name: {', '.join(names)}.")
        for cells in reader:
            if len(cells) > len(names):
                raise UserError(
                    f"{file}, line {reader.line_num}: more cells than the {len(names)} columns; "
                    'put texts that hold commas in "quotes".'
                )
            rest = names.index(prose) + 1 if prose else len(cells)
            if cells[rest : rest + 1] and cells[rest].startswith(" "):
                raise UserError(
                    f"{file}, line {reader.line_num}: the cell after '{prose}' begins with a blank: put texts that "
                    'hold commas in "quotes", or remove the blank.'
                )
            if any(cell.strip() for cell in cells):
                padded = [*cells, *[""] * (len(names) - len(cells))]
                yield reader.line_num, {name: cell.strip() for name, cell in zip(names, padded, strict=True)}
    except csv.Error as error:
        line = max(reader.line_num, 1)
        raise UserError(f"{file}, line {line}: {error}; a quote is open or misplaced there.") from None


def encode_rows(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A CSV file with a heading, its cells escaped.

    Args:
        names: The columns.
        rows: Their cells; numbers are written as they are.

    Example:
        >>> encode_rows(["clip", "uar"], [["=1+1", -0.5]])
        b"clip,uar\\n'=1+1,-0.5\\n"
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([escape(name) for name in names])
    table.writerows([escape(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return text.getvalue().encode("utf-8")


def decode_rows(file: Path, required: Sequence[str] = ()) -> list[Mapping[str, str]]:
    """The rows of a file that :func:`encode_rows` wrote, as they were given to it.

    Raises :class:`UserError` as :func:`read_rows` does.
    """
    return [{unescape(name): unescape(cell) for name, cell in row.items()} for _, row in read_rows(file, required)]


def escape(text: str) -> str:
    """``text`` as a cell that shows control characters and is no formula.

    Example:
        >>> escape("a\\x1b[2J"), escape("@SUM(A1)"), escape("-12.5"), escape("1, 2")
        ('a\\\\x1b[2J', "'@SUM(A1)", '-12.5', '1, 2')
    """
    if not text.isprintable() or "\\" in text or text != text.strip():
        text = "".join(map(_escape_character, text))
        if text[:1] == " " or text[-1:] == " ":  # readers cut blanks around a cell
            text = re.sub(r"^ | $", r"\\x20", text)
    if text.lstrip()[:1] in (*FORMULA, "'") and text and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def unescape(cell: str) -> str:
    """What :func:`escape` made a cell of. Any other cell, such as one that a person wrote, stays as it is.

    Example:
        >>> unescape(escape("=cmd\\x1b\\\\")) == "=cmd\\x1b\\\\"
        True
        >>> unescape("'Tis a smile")
        "'Tis a smile"
    """
    text = _ESCAPED.sub(_unescape_character, cell.removeprefix("'"))
    return text if escape(text) == cell else cell


def _unescape_character(found: re.Match[str]) -> str:
    number = int("".join(filter(None, found.groups())) or "5c", 16)
    return chr(number) if number <= sys.maxunicode else found[0]


def _escape_character(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
