"""DFEW (Jiang et al. 2020, *DFEW: A Large-Scale Database for Recognizing Dynamic Facial
Expressions in the Wild*): 7 classes, 5 folds.

The tree, as its owner ships it::

    <root>/
      EmoLabel_DataSplit/
        train(single-labeled)/set_1.csv … set_5.csv   video_name,label with label 1 … 7
        test(single-labeled)/set_1.csv … set_5.csv
      Clip/clip_224x224/00001/*.jpg                   face crops, or Clip/jpg_256/00001/*.jpg, or
      Clip/original/1.mp4                             the videos

A clip's id is its number with five digits, as its folder is named.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from pipeline.datasets.base import FOLDS, Entry, Listing, Places, Split, merge, read_text
from pipeline.datasets.labels import SEVEN
from pipeline.errors import UserError

MARK = "EmoLabel_DataSplit"
CLASSES = SEVEN  # the annotation's 1 … 7 in this very order


def read(root: Path) -> list[Listing]:
    """Every clip of the single-label lists, all folds that are there.

    Raises :class:`UserError` when there is no list file, no folder of clips, or a list is not one of DFEW's.
    """
    splits: tuple[Split, ...] = ("train", "test")
    lists = [
        (file, fold, split)
        for fold in FOLDS
        for split in splits
        if (file := root / MARK / f"{split}(single-labeled)" / f"set_{fold}.csv").is_file()
    ]
    if not lists:
        raise UserError(f"{root / MARK} holds no train(single-labeled)/set_1.csv nor any other list of DFEW.")
    places = Places(root, ("Clip/original",), ("Clip/clip_224x224", "Clip/jpg_256"))
    return merge(entry for file, fold, split in lists for entry in _entries(file, fold, split, places))


def _entries(file: Path, fold: int, split: Split, places: Places) -> Iterator[Entry]:
    table = csv.DictReader(read_text(file).splitlines())
    missing = {"video_name", "label"} - set(table.fieldnames or ())
    if missing:
        raise UserError(f"{file} lacks the column {' and '.join(sorted(missing))}.")
    for cells in table:
        name, written = (cells["video_name"] or "").strip(), (cells["label"] or "").strip()
        if not name:
            raise UserError(f"{file}, line {table.line_num}: no video_name.")
        clip_id = name.zfill(5)
        path, source = places.find(clip_id, name.lstrip("0") or name)
        known = written.isdigit() and 1 <= int(written) <= len(CLASSES)
        label = CLASSES[int(written) - 1] if known else written
        yield Entry(clip_id, path, source, label, fold, split, file=str(file))
