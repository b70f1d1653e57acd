"""``lists`` in ``params.yaml``: data sets that come as list files."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from grace.pipeline.section import Section

LabelNames = list[str] | dict[int | str, str]
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
