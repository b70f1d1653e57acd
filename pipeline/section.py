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
        >>> from pydantic import field_validator
        >>> class NamedSettings(Section):
        ...     dataset: str = "demo"
        ...
        ...     @field_validator("dataset")
        ...     @classmethod
        ...     def _is_a_name(cls, dataset: str) -> str:
        ...         with naming_key():
        ...             raise UserError(f"'{dataset}' cannot be the name of a data set")
        >>> NamedSettings(dataset="../x")
        Traceback (most recent call last):
        pydantic_core._pydantic_core.ValidationError: 1 validation error for NamedSettings
        dataset
          Value error, '../x' cannot be the name of a data set [type=value_error, input_value='../x', input_type=str]
    """
    try:
        yield
    except UserError as error:
        raise ValueError(str(error)) from None
