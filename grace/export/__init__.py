"""What was made of a data set, in the formats of other tools. A format is its module and a line in :data:`FORMATS`.

Clips are never copied unless that is asked for: the tables name them, and their data set's own terms hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from grace.export import fiftyone, huggingface, label_studio
from grace.export.content import Content
from grace.export.folders import claim_export
from grace.pipeline.errors import UserError

FORMATS: Mapping[str, Callable[[Content, Path], str]] = {
    "huggingface": huggingface.write,
    "fiftyone": fiftyone.write,
    "label-studio": label_studio.write,
}
"""Name to what writes a folder in that format, and says in a sentence how it is opened."""


def export_dataset(content: Content, format_name: str, folder: Path) -> str:
    """Write captions, descriptions and predictions of a data set into a folder.

    Args:
        content: What is exported, of :func:`grace.export.content.read_content`.
        format_name: A key of :data:`FORMATS`.
        folder: Where to; made if it is not there.

    Returns:
        How the folder is opened.

    Raises:
        UserError: There is no such format, or the folder holds other files.
    """
    if format_name not in FORMATS:
        raise UserError(f"There is no format '{format_name}': choose one of {', '.join((*FORMATS, 'model'))}.")
    claim_export(folder, format_name)
    return FORMATS[format_name](content, folder)
