"""FERV39k (Wang et al. 2022, *FERV39k: A Large-Scale Multi-Scene Dataset*): 7 classes, 22 scenes, one split.

The tree, as its owner ships it::

    <root>/
      4_setups/All_scenes/{train,test}_All.csv        Action/Happy/0015 Happy
      4_setups/22_scenes/{train,test}_Action.csv …    the same lines, a list for each scene
      2_ClipsforFaceCrop/Action/Happy/0015/*.jpg      face crops, or
      0_7_LabelClips/Action/Happy/0015.mp4            the videos

A clip's id is its path in the lists, whose first folder is its scene; the one split is fold 1. Where there are lists of
scenes alone, the clips are those of the scenes that are there; ``index.split`` makes folds by scene.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from grace.pipeline.datasets.base import SCENE, SPLITS, Adapter, Entry, Listing, Split, merge
from grace.pipeline.datasets.file_tree import Tree, without_suffix
from grace.pipeline.datasets.labels import SEVEN
from grace.pipeline.datasets.list_files import read_lines
from grace.pipeline.errors import UserError

MARKER = "4_setups"
CLASSES = SEVEN
LISTS = "All_scenes"
OF_SCENES = "22_scenes"
FOLDERS = ("2_ClipsforFaceCrop", "0_7_LabelClips")


def read(root: Path, folder: str | None = None) -> list[Listing]:
    """Every clip of the split, over all scenes or those that have lists; they are in ``folder``, if one is named.

    Raises :class:`UserError` when there is no list file, no folder of clips, or a line is not one of a list.
    """
    there = root / MARKER
    lists = [(file, split) for split in SPLITS if (file := there / LISTS / f"{split}_All.csv").is_file()]
    if not lists:
        lists = [(file, split) for split in SPLITS for file in sorted((there / OF_SCENES).glob(f"{split}_*.csv"))]
    if not lists:
        raise UserError(
            f"{there} holds neither {LISTS}/train_All.csv, {LISTS}/test_All.csv nor lists such as "
            f"{OF_SCENES}/train_Action.csv."
        )
    tree = Tree(root)
    clips = tree.clips_folder(FOLDERS, folder)
    return merge((entry for each in lists for entry in _entries(*each, tree, clips)), CLASSES)


def _entries(file: Path, split: Split, tree: Tree, clips: str) -> Iterator[Entry]:
    for number, text in read_lines(file):
        name, space, label = text.strip().replace(",", " ").rpartition(" ")
        clip_id = without_suffix(name.strip().rstrip("/"))
        if not space or not clip_id:
            raise UserError(f"{file}, line {number}: expected a clip and a label, got '{text}'.")
        scene, inside, _ = clip_id.partition("/")
        columns = {SCENE: scene} if inside else {}
        yield Entry(clip_id, tree.find(clips, clip_id), label, 1, split, list_file=str(file), columns=columns)


ADAPTER = Adapter("ferv39k", read, classes=CLASSES, marker=MARKER, folds=1, crops=True)
