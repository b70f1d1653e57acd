"""Any clips, listed in one CSV file.

The tree::

    <root>/
      clips.csv               path,label[,clip_id][,subject][,fold | ,fold_1 … ,fold_5][,frames][,caption]
      any/where/clip.mp4      a video, or
      any/where/clip/*.jpg    a folder of frames

``path`` is relative to the root; without ``clip_id`` a clip's id is its path without the suffix. ``fold`` is the number
(1 to 5) of the fold that tests the clip; it trains in all the other folds that the table knows. ``fold_1`` … ``fold_5``
say it outright: ``train``, ``test`` or nothing. ``frames`` is the number of frames the annotation promises.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path

from grace.pipeline.datasets.base import SPLITS, Adapter, Entry, Listing, Split, merge
from grace.pipeline.datasets.file_tree import Tree, without_suffix
from grace.pipeline.datasets.list_files import whole_number
from grace.pipeline.errors import UserError
from grace.pipeline.store.schemas import FOLD_NUMBERS
from grace.pipeline.strict_csv import read_rows

MARKER = "clips.csv"
REQUIRED = ("path", "label")
OPTIONAL = ("clip_id", "subject", "fold", *(f"fold_{k}" for k in FOLD_NUMBERS), "frames", "caption")


def read(root: Path, folder: str | None = None) -> list[Listing]:
    """Every clip of ``clips.csv``; ``folder`` is for sets that may hold their clips in several, and unused here.

    Raises :class:`UserError` when the table is missing, lacks a column, or a fold or number of frames is not one.
    """
    file = root / MARKER
    if not file.is_file():
        raise UserError(f"{root} holds no {MARKER} (columns {', '.join(REQUIRED)}; optional: {', '.join(OPTIONAL)}).")
    rows = list(read_rows(file, REQUIRED))
    tested = sorted({_fold(file, line, row["fold"]) for line, row in rows if row.get("fold")})
    tree = Tree(root)
    return merge(entry for line, row in rows for entry in _entries(tree, file, line, row, tested))


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
            row["label"],
            number,
            split,
            row.get("subject", ""),
            -1 if frames is None else frames,
            row.get("caption", ""),
            f"{file}:{number}",
        )


def _id(path: str) -> str:
    """A clip's path without the suffix of a video and without a leading / or ../."""
    parts = [part for part in posixpath.normpath(path).split("/") if part not in ("", ".", "..")]
    return without_suffix("/".join(parts))


def _folds(file: Path, line: int, row: dict[str, str], tested: list[int]) -> dict[int, Split]:
    folds: dict[int, Split] = {}
    if row.get("fold"):
        own = _fold(file, line, row["fold"])
        folds = {number: "test" if number == own else "train" for number in tested}
    for number in FOLD_NUMBERS:
        written = row.get(f"fold_{number}", "").lower()
        split = next((split for split in SPLITS if split == written), None)
        if split is not None:
            folds[number] = split
        elif written:
            raise UserError(f"{file}, line {line}: fold_{number} is '{written}', not train, test or empty.")
    return folds


def _fold(file: Path, line: int, written: str) -> int:
    number = whole_number(written)
    if number not in FOLD_NUMBERS:
        raise UserError(f"{file}, line {line}: the fold '{written}' is not one of 1 to 5.")
    return number


ADAPTER = Adapter("folder", read, marker=MARKER)
