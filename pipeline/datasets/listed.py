"""Any clips, in list files of lines ``path n_frames label``: for each fold one for train and one for test.

The tree::

    <root>/
      lists/train_1.txt      /somebody/else/faces/00025 47 3
      lists/test_1.txt       (or anywhere: an absolute path will do)
      data/faces/00025/*.jpg a folder of frames, or a video

What the lines leave open is set in ``params.yaml`` under ``lists.<name>``: ``folds`` names the files, ``labels`` the
classes that the numbers mean, and ``paths`` how listed paths begin and which folder under the root that means::

    roots: {mafw-faces: /data/MAFW}
    lists:
      mafw-faces:
        folds: {1: {train: lists/train_1.txt, test: lists/test_1.txt}}
        labels: [happiness, sadness, neutral, anger, surprise, disgust, fear]
        paths: {/somebody/else/faces: data/faces}

A clip's id is what follows the mapped beginning of its path, without the suffix of a video.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path

from grace.pipeline.datasets.base import SPLITS, Adapter, Entry, Listing, Split, merge, named
from grace.pipeline.datasets.file_tree import Tree, without_suffix
from grace.pipeline.datasets.labels import label_names
from grace.pipeline.datasets.list_files import read_lines, whole_number
from grace.pipeline.datasets.settings import ListFilesSettings
from grace.pipeline.errors import UserError


def adapter(dataset: str, lists: ListFilesSettings) -> Adapter:
    """The adapter of a data set that comes as list files; its classes are in the order that ``labels`` gives them."""
    labels = label_names(lists.labels)

    def read(root: Path, folder: str | None = None) -> list[Listing]:
        return _read(root, lists, labels)

    return Adapter(dataset, read, classes=tuple(dict.fromkeys(labels.values())))


def _read(root: Path, lists: ListFilesSettings, labels: dict[str, str]) -> list[Listing]:
    """Every clip of all lists; raises :class:`UserError` when a list is missing, or a line is not one of a list."""
    tree = Tree(root)
    files = [
        (root / name, fold, split)
        for fold, parts in sorted(lists.folds.items())
        for split in SPLITS
        if (name := getattr(parts, split)) is not None
    ]
    entries = (named(entry, labels) for each in files for entry in _entries(*each, tree, lists.paths))
    return merge(entries, tuple(dict.fromkeys(labels.values())))


def _entries(file: Path, fold: int, split: Split, tree: Tree, paths: dict[str, str]) -> Iterator[Entry]:
    for number, text in read_lines(file):
        cells = text.rsplit(None, 2)
        frames = whole_number(cells[1]) if len(cells) == 3 else None
        if frames is None:
            raise UserError(f"{file}, line {number}: expected a path, a number of frames and a label, got '{text}'.")
        name, path = _map_path(cells[0].strip(), paths)
        clip_id, clip_path = without_suffix(name), tree.resolve(path)
        yield Entry(clip_id, clip_path, cells[2], fold, split, annotated_frames=frames, list_file=str(file))


def _map_path(written: str, paths: dict[str, str]) -> tuple[str, str]:
    """What a listed path has below its mapped beginning, and the whole path under the root."""
    path = posixpath.normpath(written.replace("\\", "/"))
    for start in sorted(paths, key=len, reverse=True):
        before = posixpath.normpath(start.replace("\\", "/"))
        if path.startswith(f"{before}/"):
            name = path.removeprefix(f"{before}/")
            return name, posixpath.join(paths[start], name)
    return path, path
