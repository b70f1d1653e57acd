"""Who writes text. One protocol (:mod:`pipeline.engines.base`), one file an engine, chosen in ``params.yaml``.

``annotation`` needs no engine: see :class:`pipeline.caption.AnnotationStep`.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.engines.base import Engine, Request, Response
from pipeline.errors import UserError
from pipeline.settings import Text

__all__ = ["Engine", "Request", "Response", "make_engine"]


def _transformers(settings: Text) -> Engine:
    from pipeline.engines.transformers import TransformersEngine

    return TransformersEngine(settings.model, settings.revision, settings.batch, settings.dtype, settings.device)


ENGINES: dict[str, Callable[[Text], Engine]] = {"transformers": _transformers}
"""Name in params.yaml to how the engine is made."""


def make_engine(settings: Text) -> Engine:
    """The engine that ``settings.engine`` names, not opened yet: cheap, and picklable for worker processes.

    Raises :class:`UserError` when that engine generates nothing.
    """
    if settings.engine not in ENGINES:
        raise UserError(
            f"The engine '{settings.engine}' generates no text here: set engine to one of {', '.join(ENGINES)}."
        )
    return ENGINES[settings.engine](settings)
