"""Where clips come from: one adapter per data set, each in a module whose docstring shows the tree it reads.

A data set that has no adapter of its name is recognised by the marker of a known tree under its root, or comes as
list files (``lists`` in ``params.yaml``).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from grace.pipeline.datasets import (
    afew,
    cremad,
    dfew,
    ferv39k,
    folder,
    listed,
    mafw,
    mafw_compound,
    meld,
    ravdess,
    videos,
)
from grace.pipeline.datasets.base import Adapter, Listing, by_class, classes_of
from grace.pipeline.datasets.labels import CANONICAL_LABELS, canonical, class_name
from grace.pipeline.datasets.roots import root_of
from grace.pipeline.datasets.settings import LabelNames, ListFilesSettings
from grace.pipeline.errors import UserError

DATASETS: dict[str, Adapter] = {
    adapter.name: adapter
    for adapter in (
        folder.ADAPTER,
        mafw.ADAPTER,
        mafw_compound.ADAPTER,
        dfew.ADAPTER,
        ferv39k.ADAPTER,
        cremad.ADAPTER,
        ravdess.ADAPTER,
        meld.ADAPTER,
        afew.ADAPTER,
        videos.ADAPTER,
    )
}
"""Adapters by name, in the order in which their markers are looked for."""

__all__ = [
    "CANONICAL_LABELS",
    "DATASETS",
    "Adapter",
    "ListedSet",
    "Listing",
    "canonical",
    "class_name",
    "find_adapter",
    "read",
    "root_of",
]


class ListedSet(NamedTuple):
    """A data set as its lists describe it."""

    listings: list[Listing]
    """One per clip, in order of ``clip_id``; a clip that nobody labelled has the label ``""``."""
    classes: list[str]
    """Those that it declares, else those of its labels or, without any, of its votes; canonical ones first."""
    votes_for_no_clip: list[str]
    """What annotators judged and no list names."""
    judged_more: bool
    """Whether that is ordinary: the owner left clips out on which the annotators did not agree."""
    notes: list[str]
    """What of the set is not used, or not as its name says, in sentences."""


def find_adapter(
    dataset: str, root: Path, lists: ListFilesSettings | None = None, labels: LabelNames | None = None
) -> Adapter:
    """The adapter of a data set: of its list files if it has any, else of its name, else of the tree under ``root``.

    A folder that is none of the known trees is taken as it is: every video and folder of frames below it is a clip.

    Args:
        dataset: The data set's name.
        root: The folder of its raw files.
        lists: The list files of a data set that comes as such.
        labels: The classes of a data set that comes with ``clips.csv``, in order, or what each label means.

    Raises:
        UserError: The folder holds no clip; the message names ``roots.<dataset>``.

    Example:
        >>> find_adapter("dfew", Path("raw/dfew")).name
        'dfew'
    """
    if lists is not None:
        return listed.adapter(dataset, lists)
    if labels is not None and (root / folder.MARKER).exists():
        return folder.adapter(dataset, labels)
    return DATASETS[dataset] if dataset in DATASETS else _adapter_of_tree(dataset, root)


def _adapter_of_tree(dataset: str, root: Path) -> Adapter:
    """The adapter of the tree under ``root``, whatever the data set is called."""
    marked = {adapter.marker: adapter for adapter in DATASETS.values() if adapter.marker is not None}
    for marker, adapter in marked.items():
        if (root / marker).exists():
            return adapter
    if next(videos.find_clips(root), None) is not None:
        return videos.ADAPTER
    markers = ", ".join(f"{marker} ({adapter.name})" for marker, adapter in marked.items())
    raise UserError(
        f"roots.{dataset} is {root}, which holds no video or folder of frames, and none of {markers}; "
        f"lists.{dataset} in params.yaml names no list files."
    )


def read(
    dataset: str,
    root: Path | None,
    clips_folder: str | None = None,
    lists: ListFilesSettings | None = None,
    labels: LabelNames | None = None,
    *,
    any_folder: bool = False,
) -> ListedSet:
    """Every clip that the lists of a data set name, and the classes of the data set.

    Args:
        dataset: Its name: a key of :data:`DATASETS`, or any other for a folder with ``clips.csv`` or with list files.
        root: The folder of its raw files.
        clips_folder: The folder under the root that holds the clips, where there are several.
        lists: The list files of a data set that comes as such.
        labels: The classes of a data set that comes with ``clips.csv``, in order, or what each label means.
        any_folder: Whether the data set is whatever the folder holds, which may happen to bear an adapter's name.

    Returns:
        Its clips and classes, and what does not fit or is not used.

    Raises:
        UserError: When the root is not set, is no folder or holds no known tree, a list is not what it should be, or no
            clip is named.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     _ = Path(root, "clips.csv").write_text("path,label,fold\\na.mp4,Happy,1\\nb.mp4,sad,2\\n")
        ...     listings, classes, *_ = read("mine", Path(root))
        >>> [(clip.clip_id, clip.label, clip.folds) for clip in listings]
        [('a', 'happiness', {1: 'test', 2: 'train'}), ('b', 'sadness', {1: 'train', 2: 'test'})]
        >>> classes
        ['happiness', 'sadness']
    """
    folder_of_set = root_of({}, dataset, root)
    adapter = find_adapter(dataset, folder_of_set, lists, labels)
    notes = []
    try:
        listings = adapter.read(folder_of_set, clips_folder)
    except UserError as error:
        if not any_folder or adapter is not DATASETS.get(dataset) or _has_marker(folder_of_set, adapter):
            raise
        adapter = _adapter_of_tree(dataset, folder_of_set)
        listings = adapter.read(folder_of_set, clips_folder)
        notes.append(f"{root} is not {dataset} as its owner ships it, and is read as {adapter.name}. ({error})")
    if not listings:
        raise UserError(f"The lists of {dataset} name no clip: look into {root}.")
    judged = adapter.votes(folder_of_set) if adapter.votes else {}
    for clip in listings:
        clip.votes = by_class(judged.pop(clip.clip_id, clip.votes))
    classes = list(adapter.classes) or classes_of(listings)
    return ListedSet(listings, classes, sorted(judged), adapter.judged_more, notes + adapter.notes(folder_of_set))


def _has_marker(root: Path, adapter: Adapter) -> bool:
    return adapter.marker is not None and (root / adapter.marker).exists()
