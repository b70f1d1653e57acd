"""Where audited texts come from: a data set's captions and descriptions, or any table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grace.pipeline.datasets.labels import canonical
from grace.pipeline.errors import UserError
from grace.pipeline.messages import one_line, printable
from grace.pipeline.store import Clips, Row, Store
from grace.pipeline.store.schemas import CAPTIONS, DESCRIPTIONS

if TYPE_CHECKING:
    import pandas as pd

_CELLS = "close every quote, and give each row as many cells as the heading"
SUFFIXES = {
    ".csv": _CELLS,
    ".tsv": _CELLS,
    ".parquet": "write it again",
    ".jsonl": "write a whole JSON object on each line",
}
"""Endings of tables that can be read, and what to do where one cannot."""


@dataclass(frozen=True)
class AuditedText:
    """One text about one clip. Clips of one ``group`` (a person, a film) are never on both sides of a fold."""

    clip_id: str
    text: str
    label: str = ""
    group: str = ""
    status: str = "ok"
    cut_short: bool = False
    """Whether its engine reports that it reached the length limit."""
    error: str = ""
    """Why the text is not all that the model was asked for."""
    attempts: int = 0
    """How often the model was asked; 0 where that is not known."""


TextsByKind = dict[str, list[AuditedText]]
"""Texts by kind: ``caption`` and ``description``, or the column of a table."""


def read_dataset_texts(folder: Path) -> TextsByKind:
    """The captions and descriptions of a data set's folder (``data/<dataset>``), as far as they exist.

    Raises :class:`UserError` when neither does.
    """
    clips = Clips(folder, ["label", "subject"])
    known = {row["clip_id"]: row for row in clips.rows}
    texts: TextsByKind = {}
    for name, store in (
        ("caption", Store(folder / "captions", CAPTIONS)),
        ("description", Store(folder / "descriptions", DESCRIPTIONS)),
    ):
        if store.shards():
            texts[name] = [
                _text(known.get(row["clip_id"], {}), row, text)
                for row in store.rows()
                for text in (row[name], *(row.get("samples") or ()))
            ]
    if not texts:
        raise UserError(f"{folder} holds no captions yet: run `grace caption --dataset {folder.name}` first.")
    return texts


def _text(clip: Row, row: Row, text: str) -> AuditedText:
    return AuditedText(
        clip_id=row["clip_id"],
        text=text,
        label=clip.get("label", ""),
        group=clip.get("subject", "") or row["clip_id"],
        status=row["status"],
        cut_short=row.get("finish_reason") == "length",
        error=row["error"],
        attempts=row.get("attempts") or 0,
    )


def read_table_texts(
    files: Sequence[Path], text: str, labels: Sequence[str], clip: str | None = None, group: str | None = None
) -> TextsByKind:
    """The texts in the column ``text`` of CSV, TSV, Parquet or JSON-lines files, one below the other.

    Args:
        files: The tables; :data:`SUFFIXES` are the endings that can be read.
        text: The column of the texts; a cell that holds no text counts as an empty one.
        labels: One column that names the emotion, several columns of numbers of which the largest does, or nothing.
        clip: The column of the clip that a text is about; the row's number, after the file's name, when not given.
        group: The column of what clips have in common (the person, the film); the clip itself when not given.

    Returns:
        The texts, under the name of their column.

    Raises:
        UserError: A file or a column is not there, a file is no such table, several label columns do not hold numbers,
            or no file has a row.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.csv").write_text("text,emotion\\nThe brows rise.,Fear\\n")
        ...     texts = read_table_texts([Path(folder, "a.csv")], "text", ["emotion"])
        >>> [(each.clip_id, each.text, each.label) for each in texts["text"]]
        [('a.csv:1', 'The brows rise.', 'fear')]
    """
    rows: list[AuditedText] = []
    for file in files:
        table = _read(file)
        for column in filter(None, (text, *labels, clip, group)):
            if column not in table.columns:
                there = ", ".join(printable(str(name), 100) for name in table.columns[:20])
                raise UserError(f"{file} has no column '{column}'; it has {there}: name one of these.")
        emotions = _labels(table, labels, file)
        for number, (content, emotion) in enumerate(zip(table[text], emotions, strict=True)):
            clip_id = str(table[clip].iloc[number]) if clip else f"{file.name}:{number + 1}"
            group_id = str(table[group].iloc[number]) if group else clip_id
            rows.append(AuditedText(clip_id, content if isinstance(content, str) else "", emotion, group_id))
    if not rows:
        raise UserError(f"{', '.join(map(str, files))}: there is no row to audit.")
    return {text: rows}


def _read(file: Path) -> pd.DataFrame:
    import pandas as pd

    if file.suffix not in SUFFIXES:
        raise UserError(f"{file} is no table that can be read: give one that ends in {', '.join(SUFFIXES)}.")
    try:
        if file.suffix == ".parquet":
            return pd.read_parquet(file)
        if file.suffix == ".jsonl":
            return pd.read_json(file, lines=True)
        return pd.read_csv(file, sep="\t" if file.suffix == ".tsv" else ",")
    except FileNotFoundError:
        raise UserError(f"There is no file {file}.") from None
    except UnicodeDecodeError:
        raise UserError(f"{file} is not UTF-8 text: save it as UTF-8.") from None
    except pd.errors.EmptyDataError:
        raise UserError(f"{file} is empty: it needs a heading and a row for each text.") from None
    except (ValueError, OSError) as error:  # what pandas and Arrow raise for a bad file
        raise UserError(f"{file} cannot be read as a table ({one_line(error)}): {SUFFIXES[file.suffix]}.") from None


def _labels(table: pd.DataFrame, columns: Sequence[str], file: Path) -> list[str]:
    """The emotion of each row under its canonical name, where it has one; another name stays as it is."""
    import pandas as pd

    if not columns:
        return [""] * len(table)
    if len(columns) == 1:
        named: list[Any] = ["" if pd.isna(value) else str(value).strip() for value in table[columns[0]]]
    else:
        try:
            scores = table[list(columns)].to_numpy(dtype=float)
        except ValueError:
            raise UserError(f"{file}: several label columns must hold numbers, the largest one is the label.") from None
        named = [columns[int(row.argmax())] if row.max() > 0 else "" for row in scores]
    return [canonical(name) or name for name in named]
