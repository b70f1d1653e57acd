"""Pictures in terminals that can show them: kitty's graphics protocol, or sixels (iTerm2, WezTerm, Konsole, foot)."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from stages._output import console


def show_picture(file: Path) -> bool:
    """Show a picture if this is a terminal that can, and textual-image is installed; whether it was shown.

    The terminal is asked by escape sequences which others ignore. Blocks of colour would not do for a sheet of faces.
    """
    if not (sys.stdout.isatty() and sys.stdin.isatty()) or find_spec("textual_image") is None:
        return False
    from textual_image.renderable import Image, SixelImage, TGPImage

    if Image not in (SixelImage, TGPImage):
        return False
    console().print(Image(str(file), width="auto", height="auto"))  # as large as fits; larger ones are not shown
    return True
