"""matplotlib figures as files."""

from __future__ import annotations

import io
from typing import Any


def encode_figure(figure: Any) -> bytes:
    """A matplotlib figure as a PNG file's bytes, without the name and version of matplotlib: the same every time."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
