"""MAFW (Liu et al. 2022, *MAFW: A Large-scale, Multi-modal, Compound Affective Database*): 11 single classes, 5 folds.

The tree, as its owner ships it::

    <root>/
      Train & Test Set/single/
        no_caption/set_1 … set_5/{train,test}.txt     00001.mp4 anger
        with_caption/set_1 … set_5/{train,test}.txt   00001.mp4 <tab> anger <tab> Chinese text <tab> English text
      Labels/single-set.xlsx                          clip, a column of votes for each class, single_label
      Labels/annotation.xlsx                          the same of every clip, without the label
      data/clips/00001.mp4                            the videos, or
      data/frames/00001/*.jpg                         frames, or data/faces/00001/*.jpg, face crops

Either list folder will do; where both are there, the English text of ``with_caption`` becomes ``caption_human``. The
lists with captions leave the neutral clips out, which have none. A clip's id is its file's name without the suffix.

The workbooks say how the eleven annotators judged a clip; they become ``votes``. The label is the lists'.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from grace.pipeline.datasets.base import SPLITS, Adapter, Entry, Listing, Split, merge
from grace.pipeline.datasets.file_tree import Tree, without_suffix
from grace.pipeline.datasets.labels import CANONICAL_LABELS
from grace.pipeline.datasets.list_files import read_lines
from grace.pipeline.datasets.workbook import read_sheet, votes_of
from grace.pipeline.errors import UserError
from grace.pipeline.strict_csv import UTF8

FOLDS = range(1, 6)
MARKER = "Train & Test Set"
CLASSES: tuple[str, ...] = CANONICAL_LABELS
ANNOTATION, SINGLE = "annotation.xlsx", "single-set.xlsx"
FOLDERS = ("data/clips", "data/frames", "data/faces", "clips", "frames", "faces")
ENCODINGS = (*UTF8, "gb18030")
"""The lists with Chinese text are not UTF-8, and some of their characters are damaged; these are lost. Ids, labels and
English are ASCII."""


def read(root: Path, folder: str | None = None) -> list[Listing]:
    """Every clip of the single-label lists, all folds that are there; the clips are in ``folder``, if one is named.

    Raises :class:`UserError` when there is no list file, no folder of clips or frames, or a line is not one of a list.
    """
    return merge(entries(root, "single", folder), CLASSES)


def votes(root: Path) -> dict[str, dict[str, float]]:
    """Clip to how the annotators' votes fall on the classes; none where no workbook is there.

    Raises :class:`UserError` when a workbook cannot be read, lacks a class, or a cell is not a number from 0 up.
    """
    found: dict[str, dict[str, float]] = {}
    for name in (ANNOTATION, SINGLE):  # the second one was cleaned by the owners, and counts where both have a clip
        file = root / "Labels" / name
        if not file.is_file():
            continue
        for line, row in read_sheet(file, ("clip", *CLASSES)):
            clip_id = without_suffix(str(row["clip"]).strip())
            found[clip_id] = votes_of(file, line, {label: row[label] for label in CLASSES})
    return found


def entries(root: Path, kind: str, folder: str | None) -> Iterator[Entry]:
    """The lines of all lists of one kind, ``single`` or ``compound``; raises what :func:`read` does.

    Args:
        root: The folder of the raw files.
        kind: ``single`` or ``compound``, a folder under ``Train & Test Set``.
        folder: The folder under the root that holds the clips; the first of ``FOLDERS`` that holds any when not given.
    """
    lists = [
        (file, fold, split)
        for text in ("no_caption", "with_caption")
        for fold in FOLDS
        for split in SPLITS
        if (file := root / MARKER / kind / text / f"set_{fold}" / f"{split}.txt").is_file()
    ]
    if not lists:
        raise UserError(f"{root / MARKER / kind} holds no no_caption/set_1/train.txt nor any other list of MAFW.")
    tree = Tree(root)
    clips = tree.clips_folder(FOLDERS, folder)
    for file, fold, split in lists:
        yield from _entries(file, fold, split, tree, clips)


def _entries(file: Path, fold: int, split: Split, tree: Tree, clips: str) -> Iterator[Entry]:
    for number, text in read_lines(file, ENCODINGS, lenient=True):
        cells = [cell.strip() for cell in (text.split("\t") if "\t" in text else text.rsplit(None, 1))]
        if len(cells) < 2:
            raise UserError(f"{file}, line {number}: expected a video and a label, got '{text}'.")
        clip_id = without_suffix(cells[0])
        path, caption = tree.find(clips, clip_id), cells[3] if len(cells) > 3 else ""
        yield Entry(clip_id, path, cells[1], fold, split, caption_human=caption, list_file=str(file))


ADAPTER = Adapter("mafw", read, classes=CLASSES, marker=MARKER, votes=votes, judged_more=True, folds=len(FOLDS))
