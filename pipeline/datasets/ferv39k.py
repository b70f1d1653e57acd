"""FERV39k (Wang et al. 2022, *FERV39k: A Large-Scale Multi-Scene Dataset*): 7 classes, 22 scenes, one split.

The tree, as its owner ships it::

    <root>/
      4_setups/All_scenes/{train,test}_All.csv        Action/Happy/0015 Happy
      2_ClipsforFaceCrop/Action/Happy/0015/*.jpg      face crops, or
      0_7_LabelClips/Action/Happy/0015.mp4            the videos

A clip's id is its path in the lists; the one split is fold 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from grace.pipeline.datasets.base import SPLITS, Adapter, Entry, Listing, Split, merge
from grace.pipeline.datasets.file_tree import Tree, without_suffix
from grace.pipeline.datasets.labels import SEVEN
from grace.pipeline.datasets.list_files import read_lines
from grace.pipeline.errors import UserError

MARKER = "4_setups"
CLASSES = SEVEN
LISTS = "All_scenes"
FOLDERS = ("2_ClipsforFaceCrop", "0_7_LabelClips")


def read(root: Path, folder: str | None = None) -> list[Listing]:
    """Every clip of the split over all scenes; the clips are in ``folder``, if one is named.

    Raises :class:`UserError` when there is no list file, no folder of clips, or a line is not one of a list.
    """
    there = root / MARKER / LISTS
    lists = [(file, split) for split in SPLITS if (file := there / f"{split}_All.csv").is_file()]
    if not lists:
        raise UserError(f"{there} holds neither train_All.csv nor test_All.csv.")
    tree = Tree(root)
    clips = tree.clips_folder(FOLDERS, folder)
    return merge((entry for each in lists for entry in _entries(*each, tree, clips)), CLASSES)


def _entries(file: Path, split: Split, tree: Tree, clips: str) -> Iterator[Entry]:
    for number, text in read_lines(file):
        name, space, label = text.strip().replace(",", " ").rpartition(" ")
        clip_id = without_suffix(name.strip().rstrip("/"))
        if not space or not clip_id:
            raise UserError(f"{file}, line {number}: expected a clip and a label, got '{text}'.")
        yield Entry(clip_id, tree.find(clips, clip_id), label, 1, split, list_file=str(file))


ADAPTER = Adapter("ferv39k", read, classes=CLASSES, marker=MARKER)
