"""``index`` in ``params.yaml``: listing clips and counting their frames."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from grace.pipeline.datasets.settings import LabelNames
from grace.pipeline.section import Section


class SplitSettings(Section):
    """Folds that are made here, not by the data set."""

    by: str = "subject"  # what is never on both sides of a fold: subject, clip, or a column of clips.csv
    folds: Annotated[int, Field(ge=2)] | None = None  # how many, stratified by class; null: one for each group
    seed: int = 0


class IndexSettings(Section):
    """Listing clips and counting their frames (``grace index``)."""

    strict: bool = False  # whatever does not fit is an error
    accept: dict[str, list[str]] = {}  # data set to its known findings: reported, but no error under strict
    hash: bool = False  # digest the bytes of frames, not their names and sizes only: slow for a million small files
    links: dict[str, list[str]] = {}  # data set to folders outside its root that links under the root may lead to
    split: dict[str, SplitSettings] = {}  # data set to the folds to make in place of its own
    labels: dict[str, LabelNames] = {}  # data set with clips.csv to its classes in order, or label as written to class
    folders: dict[str, str] = {}  # data set to the folder under its root that holds the clips, where there are several
