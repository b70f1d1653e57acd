"""``index`` in ``params.yaml``: listing clips and counting their frames."""

from __future__ import annotations

from grace.pipeline.section import Section


class IndexSettings(Section):
    """Listing clips and counting their frames (``grace index``)."""

    strict: bool = False  # whatever does not fit is an error
    accept: dict[str, list[str]] = {}  # data set to its known findings: reported, but no error under strict
    hash: bool = False  # digest the bytes of frames, not their names and sizes only: slow for a million small files
    links: dict[str, list[str]] = {}  # data set to folders outside its root that links under the root may lead to
    folders: dict[str, str] = {}  # data set to the folder under its root that holds the clips, where there are several
