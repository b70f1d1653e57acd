"""``lists`` in ``params.yaml``: data sets that come as list files."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from grace.pipeline.datasets.labels import class_name
from grace.pipeline.section import Section


def _unambiguous(labels: list[str] | dict[int | str, str]) -> list[str] | dict[int | str, str]:
    """Refuse labels that would get two classes, and names of which one cannot tell whether they are two classes."""
    if isinstance(labels, dict):
        written = [str(label).strip() for label in labels]
        if repeated := [label for label in written if written.count(label) > 1]:
            raise ValueError(f"the label '{repeated[0]}' stands there twice, as a number and as text")
    meant: dict[str, str] = {}
    for name in labels.values() if isinstance(labels, dict) else labels:
        meaning = class_name(name)
        before = meant.setdefault(meaning, name)
        if not meaning:
            raise ValueError("a class has no name")
        if before != name:
            raise ValueError(f"'{before}' and '{name}' both mean {meaning}: write one of them, or call one otherwise")
    if isinstance(labels, list) and len(meant) < len(labels):
        raise ValueError(f"the class '{next(name for name in labels if labels.count(name) > 1)}' stands there twice")
    return labels


LabelNames = Annotated[list[str] | dict[int | str, str], AfterValidator(_unambiguous)]
"""The classes that 0, 1, 2 … mean (or that labels are, by name), or label as written to class."""


class FoldFiles(Section):
    """The list files of one fold, relative to the data set's root or absolute."""

    train: str | None = None
    val: str | None = None
    test: str | None = None


class ListFilesSettings(Section):
    """A data set that comes as list files of lines ``path n_frames label``; its root is ``roots.<name>``."""

    folds: dict[Annotated[int, Field(ge=1, le=9999)], FoldFiles]
    labels: LabelNames
    paths: dict[str, str] = {}  # how listed paths begin to the folder under the root that has what follows
