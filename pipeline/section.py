"""What the sections of ``params.yaml`` share: each package keeps its own section in its ``settings.py``."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """A section of ``params.yaml``: unknown keys are refused, and nothing changes after it was read.

    Example:
        >>> class CropSettings(Section):
        ...     size: Count = 128  # pixels
        >>> CropSettings(size=96)
        CropSettings(size=96)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
