"""Sheets of Excel workbooks as rows of cells; a damaged or odd one is an error for people."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from grace.pipeline.errors import UserError

MAX_ROWS, MAX_COLUMNS = 1_000_000, 200
"""More than any workbook of a data set has; a sheet may claim any number."""


def read_sheet(file: Path, required: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a workbook's first sheet with their numbers: column name to cell, as numbers or texts.

    The first row names the columns. Formulas are not calculated: a cell holds what was saved with it.

    Args:
        file: An ``.xlsx`` file.
        required: Columns that must be there.

    Raises:
        UserError: The file is no workbook, lacks a column, or names one twice.
    """
    from openpyxl import load_workbook

    try:
        with warnings.catch_warnings():  # of styles and validations, which no reader of cells needs
            warnings.simplefilter("ignore")
            book = load_workbook(file, read_only=True, data_only=True)
            lines = book.worksheets[0].iter_rows(max_row=MAX_ROWS, max_col=MAX_COLUMNS, values_only=True)
            names = ["" if cell is None else str(cell).strip() for cell in next(lines, ())]
            rows = [(number, cells) for number, cells in enumerate(lines, 2) if any(cell is not None for cell in cells)]
            book.close()
    except Exception as error:  # zipfile, the XML parser and openpyxl each raise their own
        cause = f"{file} cannot be read as an Excel workbook ({type(error).__name__}): save it again."
        raise UserError(cause) from None
    if missing := [name for name in required if name not in names]:
        has = ", ".join(filter(None, names)) or "empty"
        raise UserError(f"{file} lacks the column {' and '.join(missing)}; its first row is {has}.")
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise UserError(f"{file} has two columns named {twice[0]}.")
    for number, cells in rows:
        yield number, dict(zip(names, cells, strict=False))
