"""Where clips come from: one adapter a data set, each a module whose docstring shows the tree it reads.

An adapter has ``read(root) -> list[Listing]``, ``CLASSES`` (its emotions in canonical order) and ``MARK`` (the file or
folder by which its tree is known).
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from pipeline.datasets import dfew, ferv39k, folder, mafw
from pipeline.datasets.base import Listing
from pipeline.datasets.labels import LABEL_ID, LABELS, canonical, used
from pipeline.errors import UserError

DATASETS: dict[str, ModuleType] = {"mafw": mafw, "dfew": dfew, "ferv39k": ferv39k, "folder": folder}
"""Adapters by name."""

__all__ = ["DATASETS", "LABELS", "LABEL_ID", "Listing", "adapter", "canonical", "classes", "read"]


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
    for module in (folder, mafw, dfew, ferv39k):
        if (root / module.MARK).exists():
            return module
    marks = ", ".join(f"{module.MARK} ({name})" for name, module in DATASETS.items())
    raise UserError(f"roots.{dataset} is {root}, which is no data set known here: it holds none of {marks}.")


def read(dataset: str, root: Path | None) -> list[Listing]:
    """Every clip that the lists of a data set name, in order of ``clip_id``; raises what :func:`adapter` does."""
    module = adapter(dataset, root)
    listings: list[Listing] = module.read(root)
    if not listings:
        raise UserError(f"The lists of {dataset} name no clip: look into {root}.")
    return listings


def classes(dataset: str, root: Path | None, listings: list[Listing]) -> list[str]:
    """The emotions of a data set in canonical order: its official classes, or for ``folder`` those that occur."""
    module = adapter(dataset, root)
    return used({listing.label for listing in listings}) if module is folder else list(module.CLASSES)
