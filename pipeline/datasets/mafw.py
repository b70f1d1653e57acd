"""MAFW (Liu et al. 2022, *MAFW: A Large-scale, Multi-modal, Compound Affective Database*): 11 single classes, 5 folds.

The tree, as its owner ships it::

    <root>/
      Train & Test Set/single/
        no_caption/set_1 … set_5/{train,test}.txt     00001.mp4 anger
        with_caption/set_1 … set_5/{train,test}.txt   00001.mp4 <tab> anger <tab> Chinese text <tab> English text
      data/clips/00001.mp4                            the videos, or
      data/frames/00001/*.jpg                         frames, or data/faces/00001/*.jpg, face crops

Either list folder will do; where both are there, the English text of ``with_caption`` becomes ``caption_human``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline.datasets.base import FOLDS, Entry, Listing, Places, Split, lines, merge
from pipeline.datasets.labels import LABELS, canonical
from pipeline.errors import UserError

MARK = "Train & Test Set"
CLASSES = LABELS
ENCODINGS = ("utf-8-sig", "gb18030")  # the lists with Chinese text are not all UTF-8


def read(root: Path) -> list[Listing]:
    """Every clip of the single-label lists, all folds that are there.

    Raises :class:`UserError` when there is no list file, no folder of clips or frames, or a line is not one of a list.
    """
    splits: tuple[Split, ...] = ("train", "test")
    lists = [
        (file, fold, split)
        for kind in ("no_caption", "with_caption")
        for fold in FOLDS
        for split in splits
        if (file := root / MARK / "single" / kind / f"set_{fold}" / f"{split}.txt").is_file()
    ]
    if not lists:
        raise UserError(f"{root / MARK / 'single'} holds no no_caption/set_1/train.txt nor any other list of MAFW.")
    places = Places(root, ("data/clips", "clips"), ("data/frames", "frames", "data/faces", "faces"))
    return merge(entry for file, fold, split in lists for entry in _entries(file, fold, split, places))


def _entries(file: Path, fold: int, split: Split, places: Places) -> Iterator[Entry]:
    for number, text in lines(file, ENCODINGS):
        cells = text.split("\t") if "\t" in text else text.split()
        if len(cells) < 2:
            raise UserError(f"{file}, line {number}: wanted a video and a label, got '{text}'.")
        clip_id = Path(cells[0].strip()).stem
        path, source = places.find(clip_id)
        label = canonical(cells[1]) or cells[1].strip()
        caption = cells[3].strip() if len(cells) > 3 else ""
        yield Entry(clip_id, path, source, label, fold, split, caption_human=caption, file=str(file))
