"""Who writes text. One protocol (:mod:`grace.pipeline.engines.base`), one file an engine, chosen in ``params.yaml``.

``annotation`` needs no engine: see :class:`grace.pipeline.text.caption.AnnotationStep`.
"""

from __future__ import annotations

from collections.abc import Callable

from grace.pipeline.engines.base import Engine, Request, Response
from grace.pipeline.engines.settings import EngineSettings
from grace.pipeline.errors import UserError

__all__ = ["Engine", "Request", "Response", "clips_ahead", "make_engine"]


def _transformers(settings: EngineSettings) -> Engine:
    from grace.pipeline.engines.transformers import TransformersEngine

    trusted = settings.model in settings.trust_remote_code
    return TransformersEngine(
        settings.model, settings.revision, settings.batch, settings.dtype, settings.device, trusted
    )


def _vllm(settings: EngineSettings) -> Engine:
    from grace.pipeline.engines.vllm import VllmEngine

    trusted = settings.model in settings.trust_remote_code
    images = getattr(settings, "images", 0)
    return VllmEngine(settings.model, settings.revision, settings.dtype, images, settings.seed, settings.vllm, trusted)


def _openai(settings: EngineSettings) -> Engine:
    from grace.pipeline.engines.openai import OpenAIEngine

    return OpenAIEngine(settings.model, settings.server)


ENGINES: dict[str, Callable[[EngineSettings], Engine]] = {
    "transformers": _transformers,
    "vllm": _vllm,
    "openai": _openai,
}
"""Name in params.yaml to how the engine is made."""

CONTINUOUS = {"vllm", "openai"}
"""Engines that take new requests while they answer others; they idle when a shard drains before the next begins."""


def make_engine(settings: EngineSettings) -> Engine:
    """The engine that ``settings.engine`` names, not opened yet: cheap, and picklable for worker processes.

    Raises :class:`UserError` when that engine generates nothing.
    """
    if settings.engine not in ENGINES:
        raise UserError(
            f"The engine '{settings.engine}' generates no text here: set engine to one of {', '.join(ENGINES)}."
        )
    return ENGINES[settings.engine](settings)


def prefetch_clips(settings: EngineSettings) -> int:
    """How many clips of the following shards to begin before one is done."""
    return settings.queue if settings.engine in CONTINUOUS else 0
