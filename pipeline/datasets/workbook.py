"""Sheets of Excel workbooks as rows of cells; a damaged or odd one is an error for people."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from grace.pipeline.datasets.list_files import decimal
from grace.pipeline.errors import UserError

MAX_ROWS, MAX_COLUMNS = 1_000_000, 200
"""More than any workbook of a data set has; a sheet may claim any number."""


def read_sheet(file: Path, required: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a workbook's first sheet with their numbers: column name to cell, as numbers or texts.

    The first row names the columns.

    Args:
        file: An ``.xlsx`` file.
        required: Columns that must be there.

    Raises:
        UserError: The file is no workbook, lacks a column, or names one twice.
    """
    (_, heading), *rows = list(read_cells(file)) or [(1, ())]
    names = ["" if cell is None else str(cell).strip() for cell in heading]
    if missing := [name for name in required if name not in names]:
        has = ", ".join(filter(None, names)) or "empty"
        raise UserError(f"{file} lacks the column {' and '.join(missing)}; its first row is {has}.")
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise UserError(f"{file} has two columns named {twice[0]}.")
    for number, cells in rows:
        yield number, dict(zip(names, cells, strict=False))


def read_cells(file: Path) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """The rows of a workbook's first sheet that hold anything, with their numbers.

    Formulas are not calculated: a cell holds what was saved with it. Raises :class:`UserError` when the file is no
    workbook.
    """
    from openpyxl import load_workbook

    try:
        with warnings.catch_warnings():  # of styles and validations, which no reader of cells needs
            warnings.simplefilter("ignore")
            book = load_workbook(file, read_only=True, data_only=True)
            lines = book.worksheets[0].iter_rows(max_row=MAX_ROWS, max_col=MAX_COLUMNS, values_only=True)
            rows = [(number, cells) for number, cells in enumerate(lines, 1) if any(cell is not None for cell in cells)]
            book.close()
    except Exception as error:  # zipfile, the XML parser and openpyxl each raise their own
        cause = f"{file} cannot be read as an Excel workbook ({type(error).__name__}): save it again."
        raise UserError(cause) from None
    yield from rows


def votes_of(file: Path, line: int, cells: Mapping[str, Any]) -> dict[str, float]:
    """Class to the number that its cell holds; an empty one holds 0.

    Args:
        file: The workbook, for the message.
        line: The row's number in its sheet, for the message.
        cells: The cell of each class.

    Raises:
        UserError: A cell is not a number from 0 up; the message names it.

    Example:
        >>> votes_of(Path("annotation.xlsx"), 2, {"anger": 7, "fear": None})
        {'anger': 7.0, 'fear': 0.0}
    """
    votes = {}
    for label, cell in cells.items():
        number = 0.0 if cell is None else decimal(str(cell))
        if number is None:
            raise UserError(f"{file}, line {line}: {label} is '{cell}', not a number from 0 up.")
        votes[label] = number
    return votes
