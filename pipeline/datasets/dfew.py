"""DFEW (Jiang et al. 2020, *DFEW: A Large-Scale Database for Recognizing Dynamic Facial
Expressions in the Wild*): 7 classes, 5 folds.

The tree, as its owner ships it::

    <root>/
      EmoLabel_DataSplit/
        train(single-labeled)/set_1.csv … set_5.csv   video_name,label with label 1 … 7
        test(single-labeled)/set_1.csv … set_5.csv
      Annotation/annotation.xlsx                      a row per clip: votes for 1 … 7, clip, label (0: none)
      Clip/clip_224x224/00001/*.jpg                   face crops, or Clip/jpg_256/00001/*.jpg, or
      Clip/original/1.mp4                             the videos

A clip's id is its number with five digits, as its folder is named. The workbook says how the ten annotators judged it,
which becomes ``votes``. The owner ships more clips than these lists name:
those on which the annotators did not agree have no single label. The index reports them as files that no list names;
for ``--strict``, say in ``params.yaml`` that this is known::

    index: {accept: {dfew: [files that no list names]}}
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from grace.pipeline.datasets.base import SPLITS, Adapter, Entry, Listing, Split, merge
from grace.pipeline.datasets.file_tree import Tree, without_suffix
from grace.pipeline.datasets.labels import SEVEN
from grace.pipeline.datasets.list_files import decimal
from grace.pipeline.datasets.workbook import read_cells, votes_of
from grace.pipeline.errors import UserError
from grace.pipeline.strict_csv import read_rows

FOLDS = range(1, 6)
MARKER = "EmoLabel_DataSplit"
CLASSES = SEVEN  # the annotation's 1 … 7 in this very order
VOTES = "Annotation/annotation.xlsx"
FOLDERS = ("Clip/clip_224x224", "Clip/jpg_256", "Clip/original")


def read(root: Path, folder: str | None = None) -> list[Listing]:
    """Every clip of the single-label lists, all folds that are there; the clips are in ``folder``, if one is named.

    Raises :class:`UserError` when there is no list file, no folder of clips, or a list is not one of DFEW's.
    """
    lists = [
        (file, fold, split)
        for fold in FOLDS
        for split in SPLITS
        if (file := root / MARKER / f"{split}(single-labeled)" / f"set_{fold}.csv").is_file()
    ]
    if not lists:
        raise UserError(f"{root / MARKER} holds no train(single-labeled)/set_1.csv nor any other list of DFEW.")
    tree = Tree(root)
    clips = tree.clips_folder(FOLDERS, folder)
    return merge((entry for each in lists for entry in _entries(*each, tree, clips)), CLASSES)


def votes(root: Path) -> dict[str, dict[str, float]]:
    """Clip to how many annotators chose each class; none where the workbook is not there.

    Its cells are known by their place: a first row that names columns is passed over.
    Raises :class:`UserError` when the workbook cannot be read, or a cell is not a number from 0 up.
    """
    file, found = root / VOTES, {}
    for line, cells in read_cells(file) if file.is_file() else ():
        if line == 1 and isinstance(cells[0], str) and decimal(cells[0]) is None:
            continue
        if len(cells) <= len(CLASSES) or cells[len(CLASSES)] is None:
            raise UserError(f"{file}, line {line}: expected {len(CLASSES)} votes and a clip.")
        name = without_suffix(str(cells[len(CLASSES)]).strip())
        found[name.zfill(5)] = votes_of(file, line, dict(zip(CLASSES, cells, strict=False)))
    return found


def _entries(file: Path, fold: int, split: Split, tree: Tree, clips: str) -> Iterator[Entry]:
    for line, cells in read_rows(file, ("video_name", "label")):
        name, written = without_suffix(cells["video_name"]), cells["label"]
        if not name:
            raise UserError(f"{file}, line {line}: no video_name.")
        names = dict.fromkeys((name.zfill(5), name.lstrip("0") or name)) if name.isdecimal() else {name: None}
        label = CLASSES[int(written) - 1] if written in set("1234567") else written
        yield Entry(next(iter(names)), tree.find(clips, *names), label, fold, split, list_file=str(file))


ADAPTER = Adapter(
    "dfew",
    read,
    classes=CLASSES,
    marker=MARKER,
    votes=votes,
    judged_more=True,
    folds=len(FOLDS),
    crops=True,
    accept=("files that no list names",),
)
