"""Where clips come from: one adapter a data set, each a module whose docstring shows the tree it reads.

An adapter has ``read(root, folder) -> list[Listing]`` and ``CLASSES`` (its emotions in canonical order; none: those
that occur). Sets of another name are known by the file or folder ``MARK`` of their tree, or come as ``lists``.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from grace.pipeline.datasets import dfew, ferv39k, folder, listed, mafw, mafw_compound
from grace.pipeline.datasets.base import Listing
from grace.pipeline.datasets.labels import LABEL_ID, LABELS, canonical, label_ids, ordered
from grace.pipeline.datasets.settings import ListFilesSettings
from grace.pipeline.errors import UserError

DATASETS: dict[str, ModuleType] = {
    "mafw": mafw,
    "mafw-compound": mafw_compound,
    "dfew": dfew,
    "ferv39k": ferv39k,
    "folder": folder,
}
"""Adapters by name."""

__all__ = ["DATASETS", "LABELS", "LABEL_ID", "Listing", "adapter", "canonical", "label_ids", "read"]


def adapter(dataset: str, root: Path | None) -> ModuleType:
    """The adapter of a data set: the one of its name, else the one whose tree ``root`` holds.

    Raises :class:`UserError` naming ``roots.<dataset>`` when the root is not set or not there, or holds no known tree.
    """
    if root is None:
        raise UserError(f"Where is the data set {dataset}? Set roots.{dataset} in params.yaml, or give --root.")
    if not root.is_dir():
        raise UserError(
            f"roots.{dataset} is {root}, which is not a folder: set it to where the data set lies, or give --root."
        )
    if dataset in DATASETS:
        return DATASETS[dataset]
    known = (folder, mafw, dfew, ferv39k)
    for module in known:
        if (root / module.MARK).exists():
            return module
    marks = ", ".join(f"{module.MARK} ({module.__name__.rpartition('.')[2]})" for module in known)
    raise UserError(
        f"roots.{dataset} is {root}, which is no data set known here: it holds none of {marks}, and lists.{dataset} "
        "in params.yaml names no list files."
    )


def read(
    dataset: str, root: Path | None, clips_folder: str | None = None, lists: ListFilesSettings | None = None
) -> tuple[list[Listing], list[str]]:
    """Every clip that the lists of a data set name, in order of ``clip_id``, and its classes in canonical order.

    ``clips_folder`` is the folder under the root that holds the clips where there are several; ``lists`` the list
    files of a set that comes as such. Raises what :func:`adapter` does, and :class:`UserError` when no clip is named.
    """
    if lists is not None and root is not None:
        listings, fixed = listed.read(root, lists), ordered(listed.label_names(lists).values())
    else:
        module = adapter(dataset, root)
        listings, fixed = module.read(root, clips_folder), list(module.CLASSES)
    if not listings:
        raise UserError(f"The lists of {dataset} name no clip: look into {root}.")
    return listings, fixed or ordered(listing.label for listing in listings if canonical(listing.label))
