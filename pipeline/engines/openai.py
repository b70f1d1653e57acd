"""Any OpenAI-compatible server over HTTP: ``vllm serve``, Ollama, llama.cpp, hosted ones."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any, ClassVar

from grace.pipeline.engines.base import Image, Message, Request, Response, failed_response
from grace.pipeline.engines.chat_template import options_key
from grace.pipeline.engines.settings import EngineSettings, ServerSettings
from grace.pipeline.engines.special_tokens import escape_known_special_tokens
from grace.pipeline.errors import GraceError, UserError
from grace.pipeline.messages import one_line

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import ChatCompletion
    from tenacity import RetryCallState

TRIES = 3
"""Times that a request is sent to a server that can be reached but does not answer it properly."""
UNAVAILABLE = (429, 502, 503, 504)
"""Status codes of a server that is busy or starting, or of a gateway whose server is away."""
OPTIONAL = ("max_tokens", "temperature", "seed", "response_format")
"""Parameters that some servers do not take; ``max_tokens`` is called ``max_completion_tokens`` there."""
_UNKNOWN = re.compile(
    r"unsupported|not support|unknown|unrecogni[sz]ed|unexpected|not permitted|not allowed", re.IGNORECASE
)
FINISH_REASONS = {"stop": "stop", "length": "length", "content_filter": "refusal"}


class UnreadableError(Exception):
    """The server answered with something other than a chat completion."""


@dataclass
class OpenAIEngine:
    """Requests to a server, ``server.concurrency`` concurrently, sent again while it is away or busy.

    A request that the server does not answer properly (an error of its own, no answer in time, no JSON) is sent
    ``TRIES`` times and then fails alone; a server that stays away for ``server.retry_timeout`` seconds stops the stage.
    """

    model: str
    server: ServerSettings
    template_options: dict[str, Any] = field(default_factory=dict)
    client: OpenAI | None = field(default=None, init=False, repr=False)
    pool: ThreadPoolExecutor | None = field(default=None, init=False, repr=False)
    closed: Event | None = field(default=None, init=False, repr=False)
    unsupported: set[str] = field(default_factory=set, init=False)
    """Parameters that this server has refused: it is asked without them from then on."""

    continuous: ClassVar[bool] = True

    @classmethod
    def from_settings(cls, settings: EngineSettings) -> OpenAIEngine:
        """The engine as ``caption`` or ``refine`` describes it."""
        return cls(settings.model, settings.server, settings.chat_template_kwargs)

    def cache_key(self) -> dict[str, Any]:
        """The model as the server calls it. Where the server is changes no answer; what it runs is not known."""
        return {"engine": "openai", "model": self.model} | options_key(self.template_options)

    def open(self) -> None:
        """Reach the server, waiting for it as long as ``retry_timeout`` allows.

        Raises :class:`UserError` when no server is named or it does not have the model, :class:`GraceError` when it
        cannot be reached.
        """
        if self.client is not None:
            return
        if not self.server.url:
            raise UserError("Engine openai needs the address of a server: set server.url, such as http://HOST:8000/v1.")
        from openai import OpenAI

        self.closed = Event()
        self.client = OpenAI(
            base_url=self.server.url,
            api_key=os.environ.get("OPENAI_API_KEY") or "none",
            timeout=self.server.timeout,
            max_retries=0,  # a server that is started again takes longer than the client would wait: see _with_retries
        )
        self.pool = ThreadPoolExecutor(self.server.concurrency, "server")
        try:
            self._check_model(self.client)
        except BaseException:
            self.close()
            raise

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer all requests, in order. Raises :class:`GraceError` when the server stays away or denies access."""
        pool = self.pool
        if pool is None:
            raise GraceError("The connection to the server is closed.")
        waiting = [pool.submit(self._answer, request) for request in requests]
        try:
            for future in waiting:
                yield future.result()
        finally:
            for future in waiting:
                future.cancel()

    def close(self) -> None:
        """Drop the requests under way and the connections."""
        if self.closed:
            self.closed.set()
        if self.pool:
            self.pool.shutdown(wait=False, cancel_futures=True)
        if self.client:
            self.client.close()
        self.client = self.pool = self.closed = None

    def _check_model(self, client: OpenAI) -> None:
        import openai

        try:
            known = self._with_retries(lambda: _names(client.models.with_raw_response.list().http_response))
        except (openai.NotFoundError, openai.APIStatusError) as error:
            if error.status_code in (401, 403):
                raise self._auth_error(error) from None
            return  # some servers list nothing; the first request will show it
        except UnreadableError as error:
            raise UserError(f"{self.server.url} is no OpenAI-compatible server: {error}. Name its /v1.") from None
        if known and self.model not in known:
            raise UserError(f"The server has no model '{self.model}': name one of {', '.join(sorted(known)[:20])}.")

    def _answer(self, request: Request) -> Response:
        import openai

        try:
            return _response(self._with_retries(lambda: self._complete(request)))
        except openai.APIStatusError as error:
            if error.status_code in (401, 403, 404):
                raise self._auth_error(error) from None
            return failed_response(f"the server answers {error.status_code}: {one_line(error)}")
        except openai.APITimeoutError:
            return failed_response(f"the server gives no answer within {self.server.timeout:g} s")
        except UnreadableError as error:
            return failed_response(str(error))

    def _complete(self, request: Request) -> ChatCompletion:
        import openai

        assert self.client is not None
        arguments = _arguments(self.model, request, self.unsupported)
        if self.template_options:
            arguments["extra_body"] = {"chat_template_kwargs": self.template_options}
        try:
            return _completion(self.client.chat.completions.create(**arguments))
        except openai.BadRequestError as error:
            refused = _refused(arguments, str(error))
            if not refused:
                raise
            self.unsupported |= refused
            return self._complete(request)
        except ValueError as error:  # half a JSON
            raise UnreadableError(f"the server's answer is broken ({type(error).__name__})") from None

    def _with_retries(self, send: Any) -> Any:
        """The result of ``send``: tried again while the server is away, and a few times when it answers improperly."""
        from tenacity import (
            Retrying,
            retry_if_exception,
            sleep_using_event,
            stop_after_attempt,
            stop_after_delay,
            stop_when_event_set,
        )

        assert self.closed is not None
        options: dict[str, Any] = {"wait": _pause, "sleep": sleep_using_event(self.closed), "reraise": True}
        closed = stop_when_event_set(self.closed)
        away = Retrying(
            retry=retry_if_exception(_is_unavailable),
            stop=stop_after_delay(self.server.retry_timeout) | closed,
            **options,
        )
        faulty = Retrying(retry=retry_if_exception(_is_faulty), stop=stop_after_attempt(TRIES) | closed, **options)
        try:
            return faulty(away, send)
        except Exception as error:
            if not _is_unavailable(error):
                raise
            raise GraceError(
                f"The server {self.server.url} has been away or busy for {self.server.retry_timeout:g} s "
                f"({one_line(error)}): start it again and give the same command; what is done is kept."
            ) from None

    def _auth_error(self, error: Any) -> UserError:
        hint = "set server.url and model" if error.status_code == 404 else "set the variable OPENAI_API_KEY"
        return UserError(f"The server {self.server.url} answers {error.status_code} ({one_line(error)}): {hint}.")


def _arguments(model: str, request: Request, unsupported: Set[str]) -> dict[str, Any]:
    images = iter(request.images)
    asked: dict[str, Any] = {
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "seed": request.seed,
    }
    if request.schema is not None:  # without it, the answer is parsed and repaired
        schema = {"name": "answer", "schema": request.schema, "strict": True}
        asked["response_format"] = {"type": "json_schema", "json_schema": schema}
    if "max_tokens" in unsupported:
        asked["max_completion_tokens"] = request.max_tokens
    kept = {name: value for name, value in asked.items() if name not in unsupported}
    return {"model": model, "messages": [_message(message, images) for message in request.messages], **kept}


def _refused(arguments: Mapping[str, Any], message: str) -> set[str]:
    """Which of the parameters sent the server does not take, by its error message."""
    found = {name for name in OPTIONAL if name in arguments and re.search(rf"\b{name}\b", message)}
    if "response_format" in arguments and "schema" in message:
        return {"response_format"}
    return found if _UNKNOWN.search(message) else found & {"response_format"}


def _message(message: Message, images: Iterator[Image]) -> Message:
    parts = [
        {"type": "image_url", "image_url": {"url": _data_url(next(images))}}
        if part["type"] == "image"
        else {**part, "text": escape_known_special_tokens(part["text"])}
        for part in message["content"]
    ]
    return {**message, "content": parts}


def _data_url(image: Image) -> str:
    """The picture as PNG, which is lossless, so that a server gets the pixels that a local engine gets."""
    import cv2

    encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
    return f"data:image/png;base64,{base64.b64encode(encoded).decode()}"


def _names(response: Any) -> list[str]:
    """The names in a server's list of models. Raises :class:`UnreadableError` when it is no such list."""
    try:
        return [str(model["id"]) for model in response.json()["data"] or ()]
    except (ValueError, KeyError, TypeError):
        raise UnreadableError("it answers with something else than a list of models") from None


def _completion(answer: Any) -> ChatCompletion:
    """``answer`` if it is a completion with a choice. Raises :class:`UnreadableError` when it is anything else."""
    if isinstance(answer, str):
        kind = "HTML" if "<html" in answer[:500].lower() or "<!doctype" in answer[:500].lower() else "no JSON"
        raise UnreadableError(f"the server answers with {kind} instead of a completion")
    if not getattr(answer, "choices", None) or answer.choices[0].message is None:
        raise UnreadableError("the server's answer has no choice")
    return answer


def _response(completion: ChatCompletion) -> Response:
    choice, usage = completion.choices[0], completion.usage
    refusal = getattr(choice.message, "refusal", None)
    return Response(
        text=(choice.message.content or refusal or "").strip(),
        tokens_in=usage.prompt_tokens if usage else 0,
        tokens_out=usage.completion_tokens if usage else 0,
        finish_reason="refusal" if refusal else FINISH_REASONS.get(choice.finish_reason, "stop"),
    )


def _is_unavailable(error: BaseException) -> bool:
    """Whether the server cannot be reached or is busy."""
    import openai

    if isinstance(error, openai.APIStatusError):
        return error.status_code in UNAVAILABLE
    return isinstance(error, openai.APIConnectionError) and not isinstance(error, openai.APITimeoutError)


def _is_faulty(error: BaseException) -> bool:
    """Whether the server failed on this request; it may succeed when asked again."""
    import openai

    if isinstance(error, openai.APIStatusError):
        return error.status_code == 408 or (error.status_code >= 500 and error.status_code not in UNAVAILABLE)
    return isinstance(error, (openai.APITimeoutError, UnreadableError))


def _pause(state: RetryCallState) -> float:
    """Seconds before the next try: what the server asks for, else growing ones with random jitter."""
    from tenacity import wait_exponential_jitter

    error = state.outcome.exception() if state.outcome else None
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        asked = float(headers.get("retry-after", 0))
    except ValueError:  # a date
        asked = 0.0
    return max(asked, wait_exponential_jitter(multiplier=0.5, max=15.0)(state))
