"""The section ``motion`` of ``params.yaml``: motion maps."""

from __future__ import annotations

from typing import Literal

from grace.pipeline.section import Count, Section


class MotionSettings(Section):
    """Motion maps (``grace motion``)."""

    grid: Count = 8  # G, patches per side
    method: Literal["difference", "registered", "flow"] = "registered"
