"""A section of ``params.yaml``: each package keeps its own in its ``settings.py``."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """A part of ``params.yaml``; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
