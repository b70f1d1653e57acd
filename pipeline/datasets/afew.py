"""AFEW (Dhall et al. 2012, *Collecting Large, Richly Annotated Facial-Expression Databases from Movies*), as of the
challenge EmotiW: 7 classes, one split.

The tree, as its owner ships it::

    <root>/
      Train_AFEW/Angry/000046280.avi      Angry, Disgust, Fear, Happy, Neutral, Sad, Surprise
      Val_AFEW/Angry/000149120.avi        or folders of frames of the same names

The labels of the challenge's test part are not public, and the literature reports the validation part: it is the test
part of fold 1 here. A clip's id is its path.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from grace.pipeline.datasets.base import Adapter, Entry, Listing, Split, merge
from grace.pipeline.datasets.file_tree import without_suffix
from grace.pipeline.datasets.labels import SEVEN
from grace.pipeline.datasets.videos import find_clips
from grace.pipeline.errors import UserError

MARKER = "Val_AFEW"
PARTS: dict[str, Split] = {"Train_AFEW": "train", MARKER: "test"}


def read(root: Path, folder: str | None = None) -> list[Listing]:
    """Every clip in the folders of the emotions; ``folder`` is unused, since these are the lists.

    Raises :class:`UserError` when there are none.
    """
    entries = list(_entries(root))
    if not entries:
        raise UserError(f"{root} holds no clip in {' or '.join(f'{part}/Angry' for part in PARTS)} or its like.")
    return merge(entries, SEVEN)


def _entries(root: Path) -> Iterator[Entry]:
    for part, split in PARTS.items():
        for clip in find_clips(root, part) if (root / part).is_dir() else ():
            emotion, inside, _ = clip.relative.removeprefix(f"{part}/").partition("/")
            if inside:
                yield Entry(without_suffix(clip.relative), clip, emotion, 1, split, list_file=part)


ADAPTER = Adapter("afew", read, classes=SEVEN, marker=MARKER, folds=1)
