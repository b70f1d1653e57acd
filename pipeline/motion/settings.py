"""The section ``motion`` of ``params.yaml``: motion maps."""

from __future__ import annotations

from typing import Literal

from grace.pipeline.section import Count, Section


class MotionSettings(Section):
    """Motion maps (``grace motion``)."""

    grid: Count = 8  # G, patches per side
    method: Literal["plain_difference", "temporal_registered_difference", "flow_beyond_rigid"] = (
        "temporal_registered_difference"  # a function of pipeline/motion/maps.py
    )
