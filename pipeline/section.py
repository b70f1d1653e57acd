"""What the sections of ``params.yaml`` share: each package keeps its own section in its ``settings.py``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidatorFunctionWrapHandler, field_validator

from grace.pipeline.errors import UserError

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """A section of ``params.yaml``: unknown keys are refused, and nothing changes after it was read.

    Neither true nor false is a number, though Python and pydantic count with them.

    Example:
        >>> class CropSettings(Section):
        ...     size: Count = 128  # pixels
        >>> CropSettings(size=96)
        CropSettings(size=96)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _count_with_numbers_only(cls, written: Any, validated: ValidatorFunctionWrapHandler) -> Any:
        value = validated(written)
        if _counts_a_switch(written, value):
            raise ValueError("a number is needed here, not true or false")
        return value


def _counts_a_switch(written: Any, value: Any) -> bool:
    """Whether true or false, or one of several in a list or mapping, became something else."""
    if isinstance(written, bool):
        return not isinstance(value, bool)
    if isinstance(written, dict) and isinstance(value, dict):
        return _counts_a_switch([*written, *written.values()], [*value, *value.values()])
    if isinstance(written, list) and isinstance(value, list):
        return any(map(_counts_a_switch, written, value))
    return False


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
