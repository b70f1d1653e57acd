"""Any clips, listed in a CSV file of one's own.

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

import csv
from collections.abc import Iterator
from pathlib import Path

from pipeline.datasets.base import FOLDS, VIDEO_SUFFIXES, Entry, Listing, Source, Split, merge, path_problem, read_text
from pipeline.datasets.labels import LABELS, canonical
from pipeline.errors import UserError

MARK = "clips.csv"
CLASSES = LABELS
REQUIRED = ("path", "label")
KNOWN = (*REQUIRED, "clip_id", "subject", "fold", *(f"fold_{k}" for k in FOLDS), "frames", "caption")


def read(root: Path) -> list[Listing]:
    """Every clip of ``clips.csv``.

    Raises :class:`UserError` when the table is missing, lacks a column, or a fold is not one.
    """
    file = root / MARK
    if not file.is_file():
        raise UserError(f"{root} holds no {MARK} (columns {', '.join(REQUIRED)}; optional: {', '.join(KNOWN[2:])}).")
    table = csv.DictReader(read_text(file).splitlines())
    names = [name.strip() for name in table.fieldnames or ()]
    table.fieldnames = names
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise UserError(f"{file} lacks the column {' and '.join(missing)}; it has {', '.join(names) or 'none'}.")
    rows = [(table.line_num, {key: (cell or "").strip() for key, cell in row.items() if key}) for row in table]
    tested = sorted({_fold(file, line, row["fold"]) for line, row in rows if row.get("fold")})
    return merge(entry for line, row in rows for entry in _entries(root, file, line, row, tested))


def _entries(root: Path, file: Path, line: int, row: dict[str, str], tested: list[int]) -> Iterator[Entry]:
    path = row["path"].replace("\\", "/")
    problem = path_problem(path)
    kept = "" if problem else path  # a path that cannot be followed is in the error, never in the store
    clip_id = row.get("clip_id") or _id(path) or f"line {line}"
    frames = row.get("frames", "")
    for number, split in _folds(file, line, row, tested).items() or {0: "train"}.items():
        yield Entry(
            clip_id,
            kept,
            _source(root, kept),
            canonical(row["label"]) or row["label"],
            number,
            "test" if split == "test" else "train",
            row.get("subject", ""),
            int(frames) if frames.isdigit() else -1,
            row.get("caption", ""),
            problem,
            f"{file}:{number}",
        )


def _id(path: str) -> str:
    """A clip's path without the suffix of a video and without a leading / or ../."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    stem = "/".join(parts)
    suffix = Path(stem).suffix
    return stem.removesuffix(suffix) if suffix.lower() in VIDEO_SUFFIXES else stem


def _source(root: Path, path: str) -> Source:
    if path and (root / path).is_dir():
        return "frames"
    return "video" if not path or Path(path).suffix or (root / path).exists() else "frames"


def _folds(file: Path, line: int, row: dict[str, str], tested: list[int]) -> dict[int, Split]:
    folds: dict[int, Split] = {}
    if row.get("fold"):
        own = _fold(file, line, row["fold"])
        folds = {number: "test" if number == own else "train" for number in tested}
    for number in FOLDS:
        split = row.get(f"fold_{number}", "").lower()
        if split == "train" or split == "test":
            folds[number] = "train" if split == "train" else "test"
        elif split:
            raise UserError(f"{file}, line {line}: fold_{number} is '{split}', not train, test or empty.")
    return folds


def _fold(file: Path, line: int, written: str) -> int:
    if written not in {str(number) for number in FOLDS}:
        raise UserError(f"{file}, line {line}: the fold '{written}' is not one of 1 to 5.")
    return int(written)
