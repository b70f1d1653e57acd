"""Any clips, listed in one CSV file.

The tree::

    <root>/
      clips.csv               path[,label][,clip_id][,subject][,split | ,fold | ,fold_1,fold_2 …][,frames][,caption]
      any/where/clip.mp4      a video, or
      any/where/clip/*.jpg    a folder of frames

``path`` is relative to the root; without ``clip_id`` a clip's id is its path without the suffix. ``label`` is any
class, or empty; known emotions are recognised in many spellings, and ``index.labels`` in ``params.yaml`` says what
numbers mean. ``split`` is ``train``, ``val`` or ``test``: one fold. ``fold`` is the number of the fold that tests the
clip; it trains in all the other folds that the table knows. ``fold_1``, ``fold_2`` … say it outright: ``train``,
``val``, ``test`` or nothing. No two columns may contradict each other. ``frames`` is the number of frames the
annotation promises, ``votes_<class>`` how many annotators chose a class. Folds can be made by any other column
(``index.split``). These columns are known in any case.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from grace.pipeline.datasets.base import SCENE, SPLITS, Adapter, Entry, Listing, Split, merge, named
from grace.pipeline.datasets.file_tree import Tree, without_suffix
from grace.pipeline.datasets.labels import label_names
from grace.pipeline.datasets.list_files import decimal, whole_number
from grace.pipeline.datasets.settings import LabelNames
from grace.pipeline.errors import UserError
from grace.pipeline.strict_csv import read_rows

MARKER = "clips.csv"
REQUIRED = ("path",)
KNOWN = (*REQUIRED, "label", "clip_id", "subject", "split", "fold", "frames", "caption")
PARTS: dict[str, Split] = {
    **{split: split for split in SPLITS},
    "training": "train",
    **dict.fromkeys(("validation", "valid", "dev"), SPLITS[1]),
}
"""What cells that name a part of a fold may say."""
VOTES = "votes_"
MAX_FOLD = 9999
_FOLD_COLUMN = re.compile(r"fold[\s_-]*0*([1-9]\d{0,3})", re.ASCII)
_FOLD_NUMBER = re.compile(r"fold[\s_-]*\d+", re.IGNORECASE)


def adapter(dataset: str, labels: LabelNames) -> Adapter:
    """The adapter of a data set with ``clips.csv`` whose classes are named: any other label is a finding.

    A list gives the classes in order, by which labels may be named or numbered from 0; a mapping says what each label
    means as it is written.
    """
    names = label_names(labels)
    classes = tuple(dict.fromkeys(names.values()))

    def read(root: Path, folder: str | None = None) -> list[Listing]:
        return merge((named(entry, names) for entry in entries(root)), classes)

    return Adapter(dataset, read, classes, MARKER, notes=unused_columns)


def read(root: Path, folder: str | None = None) -> list[Listing]:
    """Every clip of ``clips.csv``; ``folder`` is for sets that may hold their clips in several, and unused here."""
    return merge(entries(root), own_classes=True)


def entries(root: Path) -> Iterator[Entry]:
    """The lines of ``clips.csv``, one entry per clip and fold.

    Raises :class:`UserError` when the table is missing, lacks a column, or a fold or number of frames is not one.
    """
    file = root / MARKER
    if not file.is_file():
        raise UserError(f"{root} holds no {MARKER} (columns {', '.join(KNOWN)}, of which {REQUIRED[0]} is required).")
    rows = list(read_rows(file, REQUIRED, spelling=_spelling))
    for column in rows[0][1] if rows else ():
        if _is_own(column) and _FOLD_NUMBER.fullmatch(column):
            raise UserError(
                f"{file}: the column '{column[:20]}' names no fold: folds have numbers from 1 to {MAX_FOLD}."
            )
    tested = sorted({_fold(file, line, row["fold"]) for line, row in rows if row.get("fold")})
    tree = Tree(root)
    for line, row in rows:
        yield from _entries(tree, file, line, row, tested)


def _entries(tree: Tree, file: Path, line: int, row: dict[str, str], tested: list[int]) -> Iterator[Entry]:
    path = row["path"].replace("\\", "/")
    clip_path = tree.resolve(path)  # a path that cannot be followed is in the problem, never in the store
    clip_id = row.get("clip_id") or _id(path) or f"line {line}"
    frames = whole_number(row.get("frames") or "-")
    if row.get("frames") and frames is None:
        raise UserError(f"{file}, line {line}: frames is '{row['frames']}', not a whole number or empty.")
    for number, split in _folds(file, line, row, tested).items() or {0: SPLITS[0]}.items():
        yield Entry(
            clip_id,
            clip_path,
            row.get("label", ""),
            number,
            split,
            row.get("subject", ""),
            -1 if frames is None else frames,
            row.get("caption", ""),
            f"{file}:{number}",
            _votes(file, line, row),
            {name: cell for name, cell in row.items() if _is_own(name)},
        )


def unused_columns(root: Path) -> list[str]:
    """A sentence on a table without labels, one of whose other columns may be meant as such."""
    _, row = next(read_rows(root / MARKER, REQUIRED, spelling=_spelling), (0, {"label": ""}))
    own = [column for column in row if column != SCENE and _is_own(column)]
    if "label" in row or not own:
        return []
    return [f"{root / MARKER} has no column 'label', so that no clip has one; it has {', '.join(own)}."]


def _spelling(column: str) -> str:
    """A column's name as it is known, whatever its case."""
    lower = column.lower()
    if fold := _FOLD_COLUMN.fullmatch(lower):
        return f"fold_{fold[1]}"
    return lower if lower in (*KNOWN, SCENE) or not _is_own(lower) else column


def _is_own(column: str) -> bool:
    """Whether a column means nothing here, so that folds may be made by it."""
    return column not in KNOWN and not column.startswith(VOTES) and not _FOLD_COLUMN.fullmatch(column)


def _votes(file: Path, line: int, row: dict[str, str]) -> dict[str, float]:
    votes = {}
    for name, cell in row.items():
        if name.startswith(VOTES) and cell:
            count = decimal(cell)
            if count is None:
                raise UserError(f"{file}, line {line}: {name} is '{cell}', not a number from 0 up.")
            votes[name.removeprefix(VOTES)] = count
    return votes


def _id(path: str) -> str:
    """A clip's path without the suffix of a video and without a leading / or ../."""
    parts = [part for part in posixpath.normpath(path).split("/") if part not in ("", ".", "..")]
    return without_suffix("/".join(parts))


def _folds(file: Path, line: int, row: dict[str, str], tested: list[int]) -> dict[int, Split]:
    """The part of each fold that the clip is in, about which no two columns may differ."""
    said: list[tuple[int, Split, str]] = []
    if row.get("split"):
        said.append((1, _split(file, line, "split", row["split"]), "split"))
    if row.get("fold"):
        own = _fold(file, line, row["fold"])
        said += [(number, "test" if number == own else "train", "fold") for number in tested]
    for name, written in row.items():
        if written and (column := _FOLD_COLUMN.fullmatch(name)):
            said.append((int(column[1]), _split(file, line, name, written), name))
    folds: dict[int, tuple[Split, str]] = {}
    for number, part, name in said:
        before, other = folds.setdefault(number, (part, name))
        if before != part:
            raise UserError(
                f"{file}, line {line}: by the column {other} the clip is in {before} of fold {number}, by {name} in "
                f"{part}: leave one of the two columns out."
            )
    return {number: part for number, (part, _) in folds.items()}


def _split(file: Path, line: int, column: str, written: str) -> Split:
    if written.lower() not in PARTS:
        raise UserError(f"{file}, line {line}: {column} is '{written}', not {', '.join(SPLITS)} or empty.")
    return PARTS[written.lower()]


def _fold(file: Path, line: int, written: str) -> int:
    number = whole_number(written)
    if number is None or not 1 <= number <= MAX_FOLD:
        shown = written if len(written) <= 20 else f"{written[:20]}…"
        raise UserError(f"{file}, line {line}: the fold '{shown}' is not a whole number from 1 to {MAX_FOLD}.")
    return number


ADAPTER = Adapter("folder", read, marker=MARKER, notes=unused_columns)
