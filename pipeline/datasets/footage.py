"""What a data set's clips are footage of, where its root says so: some models know one kind of footage only."""

from __future__ import annotations

import json
from pathlib import Path

WORLD_FILE = "world.json"
"""File at the root of a rendered world: the settings and the code that it was made with."""
RENDERED_WORLD = "the rendered world"
"""What the clips of such a root are called, here and in the cards of the models that know nothing else."""


def footage_of(root: Path) -> str:
    """:data:`RENDERED_WORLD` for the root of a rendered world, known by what ``grace world`` left there; else empty.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     before = footage_of(Path(folder))
        ...     _ = (Path(folder) / WORLD_FILE).write_text('{"world": {}, "drawn_by": "0123"}')
        ...     before, footage_of(Path(folder))
        ('', 'the rendered world')
    """
    try:
        content = json.loads((root / WORLD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return ""
    return RENDERED_WORLD if isinstance(content, dict) and {"world", "drawn_by"} <= content.keys() else ""


def footage_around(clip: Path) -> str:
    """What a clip that no data set lists is footage of: :func:`footage_of` the nearest folder above that says so."""
    return next((known for folder in clip.absolute().parents if (known := footage_of(folder))), "")
