"""What the sections of ``params.yaml`` share: each package keeps its own section in its ``settings.py``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from grace.pipeline.errors import UserError

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


@contextmanager
def naming_key() -> Iterator[None]:
    """Within a validator: a :class:`UserError` becomes a ``ValueError``, to which pydantic adds the key.

    Example:
        >>> try:
        ...     with naming_key():
        ...         raise UserError("there is no such prompt")
        ... except ValueError as error:
        ...     print(error)
        there is no such prompt
    """
    try:
        yield
    except UserError as error:
        raise ValueError(str(error)) from None
