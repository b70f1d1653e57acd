"""The protocol of text engines: chat requests with images in, text out.

It fits local models and servers alike: a request is plain data, and a request that could not be answered has a
:class:`Response` with an ``error``, not an exception, so that one bad clip never costs others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

if TYPE_CHECKING:
    from grace.pipeline.engines.settings import EngineSettings

Image = UInt8[np.ndarray, "height width 3"]
"""An RGB picture."""

Message = dict[str, Any]
"""``{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "..."}]}``; images in reading order."""


@dataclass(frozen=True)
class Request:
    """One question to an engine.

    ``images`` fill the ``{"type": "image"}`` parts of ``messages`` in order. ``schema`` is a JSON schema that the
    answer should follow, for engines that can decode under it; the others ignore it. At ``temperature`` 0 the answer
    is the likeliest one; above 0, ``seed`` draws one, the same for the same request whatever else is in its batch.
    """

    messages: tuple[Message, ...]
    images: tuple[Image, ...] = field(default=(), repr=False)
    schema: dict[str, Any] | None = None
    temperature: float = 0.0
    seed: int = 0
    max_tokens: int = 160


@dataclass(frozen=True)
class Response:
    """One answer: its text, its tokens, and why it ended (``stop``, ``length``, ``refusal`` or ``error``)."""

    text: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    finish_reason: str = "stop"
    error: str = ""


def failed_response(cause: str) -> Response:
    """The response to a request that could not be answered."""
    return Response(finish_reason="error", error=cause)


@runtime_checkable
class Engine(Protocol):
    """A writer of text. Cheap to make and to pickle; loads its model in :meth:`open`, once per worker.

    An open engine may be asked by several threads concurrently.
    """

    def cache_key(self) -> dict[str, Any]:
        """Everything about this engine that changes its answers; no absolute paths. Works before :meth:`open`."""
        ...

    def open(self) -> None:
        """Load the model or reach the server. Raises :class:`~grace.pipeline.errors.UserError` when that fails."""
        ...

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer every request, in order. Raises :class:`~grace.pipeline.errors.GraceError` when all must stop."""
        ...

    def close(self) -> None:
        """Give back the model's memory or the connections; :meth:`open` may follow."""
        ...


class EngineType(Protocol):
    """An engine's class, as the registry needs it."""

    continuous: bool
    """Whether it takes new requests while it answers others; it idles when a shard is done before the next begins."""

    opens_model: bool
    """Whether it opens its model on this machine; false: it asks a server, which has it and may charge for it."""

    def from_settings(self, settings: EngineSettings) -> Engine:
        """The engine, not opened yet."""
        ...
