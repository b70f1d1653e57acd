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

from pipeline.datasets.base import Entry, Listing, Places, Split, lines, merge, path_problem
from pipeline.datasets.labels import SEVEN, canonical
from pipeline.errors import UserError

MARK = "4_setups"
CLASSES = SEVEN
LISTS = "All_scenes"


def read(root: Path) -> list[Listing]:
    """Every clip of the split over all scenes.

    Raises :class:`UserError` when there is no list file, no folder of clips, or a line is not one of a list.
    """
    splits: tuple[Split, ...] = ("train", "test")
    folder = root / MARK / LISTS
    lists = [(file, split) for split in splits if (file := folder / f"{split}_All.csv").is_file()]
    if not lists:
        raise UserError(f"{folder} holds neither train_All.csv nor test_All.csv.")
    places = Places(root, ("0_7_LabelClips",), ("2_ClipsforFaceCrop",))
    return merge(entry for file, split in lists for entry in _entries(file, split, places))


def _entries(file: Path, split: Split, places: Places) -> Iterator[Entry]:
    for number, text in lines(file):
        clip_id, space, written = text.strip().replace(",", " ").rpartition(" ")
        clip_id = clip_id.strip().strip("/")
        if not space or not clip_id:
            raise UserError(f"{file}, line {number}: wanted a clip and a label, got '{text}'.")
        path, source = places.find(clip_id)
        label = canonical(written) or written
        yield Entry(clip_id, path, source, label, 1, split, problem=path_problem(clip_id), file=str(file))
