"""Who writes text: one protocol (:mod:`grace.pipeline.engines.base`), one module per engine, chosen in ``params.yaml``.

``annotation`` needs no engine: see :class:`grace.pipeline.text.caption.AnnotationStep`.
"""

from __future__ import annotations

from grace.pipeline.engines.base import Engine, EngineType, Request, Response
from grace.pipeline.engines.openai import OpenAIEngine
from grace.pipeline.engines.settings import EngineSettings
from grace.pipeline.engines.transformers import TransformersEngine
from grace.pipeline.engines.vllm import VllmEngine
from grace.pipeline.errors import UserError

__all__ = ["ENGINES", "Engine", "Request", "Response", "make_engine", "opens_model", "prefetch_clips"]

ENGINES: dict[str, EngineType] = {
    "transformers": TransformersEngine,
    "vllm": VllmEngine,
    "openai": OpenAIEngine,
}
"""Name in ``params.yaml`` to engine. A new one is its module and a line here; the names that settings take follow."""


def make_engine(settings: EngineSettings) -> Engine:
    """The engine that ``settings.engine`` names, not opened yet: cheap, and picklable for worker processes.

    Args:
        settings: The section ``caption`` or ``refine`` of ``params.yaml``.

    Raises:
        UserError: That engine generates nothing.
    """
    if settings.engine not in ENGINES:
        raise UserError(
            f"The engine '{settings.engine}' generates no text here: set engine to one of {', '.join(ENGINES)}."
        )
    return ENGINES[settings.engine].from_settings(settings)


def opens_model(engine: str) -> bool:
    """Whether an engine opens its model on this machine: no server does it, and no annotation.

    Example:
        >>> opens_model("vllm"), opens_model("openai"), opens_model("annotation")
        (True, False, False)
    """
    return engine in ENGINES and ENGINES[engine].opens_model


def prefetch_clips(settings: EngineSettings) -> int:
    """How many clips of the following shards to begin before one is done: 0 unless the engine is ``continuous``."""
    return settings.prefetch_clips if ENGINES[settings.engine].continuous else 0
