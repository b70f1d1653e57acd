"""Any OpenAI-compatible server over HTTP: ``vllm serve``, Ollama, llama.cpp, hosted ones."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from grace.pipeline.engines.base import Request, Response, failed_response
from grace.pipeline.engines.chat_protocol import (
    UnreadableError,
    chat_body,
    read_completion,
    read_models,
    refused_parameters,
)
from grace.pipeline.engines.chat_template import options_key
from grace.pipeline.engines.http_client import (
    KEY,
    FaultyAnswerError,
    RefusedError,
    ServerClient,
    UnavailableError,
)
from grace.pipeline.engines.proxies import proxy_sentence
from grace.pipeline.engines.settings import EngineSettings, ServerSettings
from grace.pipeline.errors import GraceError, UserError

if TYPE_CHECKING:
    from anyio import Semaphore
    from anyio.from_thread import BlockingPortal
    from tenacity import RetryCallState

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

TRIES = 3
"""Times that a request is sent to a server that can be reached but does not answer it properly."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
"""Seconds before a request is sent again; the pauses grow, with random jitter."""


@dataclass
class _Connection:
    """An event loop in a thread of its own, and the client that lives there."""

    portal: BlockingPortal
    ends: ExitStack
    client: ServerClient
    slots: Semaphore
    """As many as there may be requests under way."""

    @classmethod
    def open(cls, server: ServerSettings) -> _Connection:
        from anyio import Semaphore
        from anyio.from_thread import start_blocking_portal

        with ExitStack() as ends:
            portal = ends.enter_context(start_blocking_portal(name="server"))
            client = portal.call(ServerClient, server)
            return cls(portal, ends.pop_all(), client, portal.call(Semaphore, server.concurrency))

    def close(self) -> None:
        """End the requests under way."""
        with suppress(RuntimeError):  # it has ended
            self.portal.call(self.client.close)
            self.portal.call(self.portal.stop, True)
        self.ends.close()


@dataclass
class OpenAIEngine:
    """Requests to a server, ``server.concurrency`` concurrently, sent again while it is away or busy.

    A request that the server does not answer properly (an error of its own, no whole answer in time, no completion) is
    sent ``TRIES`` times and then fails alone; a server that stays away for ``server.retry_timeout`` seconds stops the
    stage.
    """

    model: str
    server: ServerSettings
    template_options: dict[str, Any] = field(default_factory=dict)
    unsupported: set[str] = field(default_factory=set, init=False)
    """Parameters that this server has refused: it is asked without them from then on."""
    _connection: _Connection | None = field(default=None, init=False, repr=False)

    continuous: ClassVar[bool] = True
    opens_model: ClassVar[bool] = False

    @classmethod
    def from_settings(cls, settings: EngineSettings) -> OpenAIEngine:
        """The engine as ``caption`` or ``refine`` describes it."""
        return cls(settings.model, settings.server, settings.chat_template_kwargs)

    def cache_key(self) -> dict[str, Any]:
        """The model as the server calls it. Where the server is changes no answer; what it runs is not known."""
        return {"engine": "openai", "model": self.model} | options_key(self.template_options)

    def open(self) -> None:
        """Reach the server, waiting for it as long as ``retry_timeout`` allows; a proxy on the way is logged.

        Raises :class:`UserError` when no server is named or it does not have the model, :class:`GraceError` when it
        cannot be reached.
        """
        if self._connection is not None:
            return
        if not self.server.url:
            raise UserError(
                "Engine openai needs the address of a server: set caption.server.url and refine.server.url, such as "
                "http://HOST:8000/v1 (runs do not keep it: predict takes it by -S)."
            )
        self._connection = connection = _Connection.open(self.server)
        if sentence := proxy_sentence(self.server.url):
            logger.warning("%s.", connection.client.redact(sentence[0].upper() + sentence[1:]))
        try:
            connection.portal.call(self._check_model, connection.client)
        except BaseException:
            self.close()
            raise

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer all requests, in order. Raises :class:`GraceError` when the server stays away or denies access."""
        connection = self._connection
        if connection is None:
            raise GraceError("The connection to the server is closed.")
        waiting = [connection.portal.start_task_soon(self._answer, connection, request) for request in requests]
        try:
            for future in waiting:
                yield future.result()
        finally:
            for future in waiting:
                future.cancel()

    def close(self) -> None:
        """Drop the requests under way and the connections."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def _check_model(self, client: ServerClient) -> None:
        async def ask() -> list[str]:
            return read_models(await client.send("GET", "models"))

        try:
            known = await self._with_retries(client, ask)
        except RefusedError as error:
            if error.status in (401, 403):
                raise self._access_error(client, error) from None
            return  # some servers list nothing; the first request will show it
        except (UnreadableError, FaultyAnswerError) as error:
            raise UserError(f"{client.name} is no OpenAI-compatible server: {error}. Name its /v1.") from None
        if known and self.model not in known:
            names = client.redact(", ".join(name[:100] for name in sorted(known)[:20]))
            raise UserError(f"The server has no model '{self.model}': name one of {names}.")

    async def _answer(self, connection: _Connection, request: Request) -> Response:
        client = connection.client

        async def ask() -> Response:
            return await self._complete(client, request)

        async with connection.slots:
            try:
                response = await self._with_retries(client, ask)
            except RefusedError as error:
                if error.status in (401, 403, 404):
                    raise self._access_error(client, error) from None
                response = failed_response(str(error))
            except (UnreadableError, FaultyAnswerError) as error:
                response = failed_response(str(error))
        return replace(response, text=client.redact(response.text), error=client.redact(response.error))

    async def _complete(self, client: ServerClient, request: Request) -> Response:
        from anyio.to_thread import run_sync

        asked = (self.model, request, frozenset(self.unsupported), self.template_options)
        body = await run_sync(chat_body, *asked)  # in a thread: pictures are encoded
        try:
            content = await client.send("POST", "chat/completions", json.dumps(body).encode())
        except RefusedError as error:
            refused = refused_parameters(body, error.message) if error.status == 400 else set()
            if not refused:
                raise
            self.unsupported |= refused
            return await self._complete(client, request)
        return read_completion(content)

    async def _with_retries(self, client: ServerClient, send: Callable[[], Awaitable[Answer]]) -> Answer:
        """The result of ``send``: tried again while the server is away, and a few times when it answers improperly."""
        from tenacity import (
            AsyncRetrying,
            retry_if_exception_type,
            stop_after_attempt,
            stop_after_delay,
        )

        patience = self.server.retry_timeout
        away = AsyncRetrying(
            retry=retry_if_exception_type(UnavailableError),
            stop=stop_after_delay(patience),
            wait=lambda state: _pause(state, patience),
            reraise=True,
        )
        faulty = AsyncRetrying(
            retry=retry_if_exception_type((FaultyAnswerError, UnreadableError)),
            stop=stop_after_attempt(TRIES),
            wait=lambda state: _pause(state, math.inf),
            reraise=True,
        )
        try:
            return await faulty(away, send)
        except UnavailableError as error:
            raise GraceError(
                f"The server {client.name} has been away or busy for {patience:g} s "
                f"({error}): start it again and give the same command; what is done is kept."
            ) from None

    def _access_error(self, client: ServerClient, error: RefusedError) -> UserError:
        hint = "set server.url and model" if error.status == 404 else f"set the variable {KEY}"
        return UserError(f"The server {client.name} answers {error.status} ({error.message}): {hint}.")


def _pause(state: RetryCallState, patience: float) -> float:
    """Seconds before the next try: what the server asks for, else growing ones, within what is left of ``patience``."""
    from tenacity import wait_exponential_jitter

    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, UnavailableError) else 0.0
    growing = wait_exponential_jitter(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE, jitter=2 * FIRST_PAUSE)(state)
    return max(min(max(asked, growing), patience - (state.seconds_since_start or 0.0)), 0.0)
