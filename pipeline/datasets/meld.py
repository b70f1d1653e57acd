"""MELD (Poria et al. 2019, *MELD: A Multimodal Multi-Party Dataset for Emotion Recognition in Conversations*):
7 classes, scenes of one television series, GPL-3.

The tree, as its owner ships it, all archives unpacked::

    <root>/
      train_sent_emo.csv, dev_sent_emo.csv, test_sent_emo.csv     Dialogue_ID,Utterance_ID,Speaker,Emotion and more
      train_splits/dia0_utt0.mp4
      dev_splits_complete/dia0_utt0.mp4
      output_repeated_splits_test/dia0_utt0.mp4

Its one fold has train, validation and test parts. Each part numbers its dialogues from 0, so that a clip's id begins
with its part: ``test/dia0_utt0``. The subject is the speaker; the six friends speak in all parts, which the index
reports as people in train and test. That is the set's own protocol; for ``--strict``::

    index: {accept: {meld: [person in train and test, person in train and val]}}

A clip shows whoever the camera shows, which is not always the speaker.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from grace.pipeline.datasets.base import Adapter, Entry, Listing, Split, merge
from grace.pipeline.datasets.file_tree import Tree
from grace.pipeline.datasets.labels import SEVEN
from grace.pipeline.datasets.list_files import whole_number
from grace.pipeline.errors import UserError
from grace.pipeline.strict_csv import read_rows

MARKER = "test_sent_emo.csv"
PARTS: dict[Split, tuple[str, str]] = {
    "train": ("train_sent_emo.csv", "train_splits"),
    "val": ("dev_sent_emo.csv", "dev_splits_complete"),
    "test": ("test_sent_emo.csv", "output_repeated_splits_test"),
}
"""Each part's list and folder of videos."""
COLUMNS = ("Dialogue_ID", "Utterance_ID", "Speaker", "Emotion")


def read(root: Path, folder: str | None = None) -> list[Listing]:
    """Every utterance of the lists that are there; ``folder``, if given, holds the folders of videos.

    Raises :class:`UserError` when there is no list, or a number in it is none.
    """
    lists = [(split, root / name, videos) for split, (name, videos) in PARTS.items() if (root / name).is_file()]
    if not lists:
        raise UserError(f"{root} holds none of {', '.join(name for name, _ in PARTS.values())}.")
    tree = Tree(root)
    place = f"{tree.clips_folder((), folder)}/" if folder else ""
    return merge((e for split, file, videos in lists for e in _entries(split, file, tree, place + videos)), SEVEN)


def _entries(split: Split, file: Path, tree: Tree, videos: str) -> Iterator[Entry]:
    for line, row in read_rows(file, COLUMNS):
        dialogue, utterance = whole_number(row["Dialogue_ID"]), whole_number(row["Utterance_ID"])
        if dialogue is None or utterance is None:
            raise UserError(f"{file}, line {line}: Dialogue_ID and Utterance_ID are whole numbers.")
        name = f"dia{dialogue}_utt{utterance}"
        path = tree.find(videos, name)
        yield Entry(f"{split}/{name}", path, row["Emotion"], 1, split, row["Speaker"], list_file=str(file))


ADAPTER = Adapter(
    "meld", read, classes=SEVEN, marker=MARKER, folds=1, accept=("person in train and test", "person in train and val")
)
