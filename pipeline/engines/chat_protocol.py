"""The chat completions protocol on the wire: what is sent, and what counts as an answer.

A server is a stranger: each of its answers is validated here before anything of it is used.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Set
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from grace.pipeline.engines.base import Image, Message, Request, Response
from grace.pipeline.engines.finish_reasons import REFUSAL, finish_reason
from grace.pipeline.engines.special_tokens import escape_known_special_tokens
from grace.pipeline.messages import one_line

OPTIONAL = ("max_tokens", "temperature", "seed", "response_format")
"""Parameters that some servers do not take; ``max_tokens`` is called ``max_completion_tokens`` there."""
_UNKNOWN = re.compile(
    r"unsupported|not support|unknown|unrecogni[sz]ed|unexpected|not permitted|not allowed", re.IGNORECASE
)

Tokens = Annotated[int, Field(ge=0, lt=1 << 31)]


class UnreadableError(Exception):
    """The server answered with something other than what the protocol says."""


class _Usage(BaseModel):
    prompt_tokens: Tokens | None = None
    completion_tokens: Tokens | None = None


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Completion(BaseModel):
    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: _Usage | None = None


class _Model(BaseModel):
    id: str


class _Models(BaseModel):
    data: list[_Model] | None


class _Reason(BaseModel):
    message: str


class _Error(BaseModel):
    """An error as OpenAI's servers put it, and as others do."""

    error: _Reason | str


def chat_body(
    model: str, request: Request, unsupported: Set[str] = frozenset(), template_options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What is sent for a request: without the parameters that the server has refused, with options of its template.

    Args:
        model: The model's name at the server.
        request: The question; its pictures are sent as PNG.
        unsupported: Names of ``OPTIONAL`` parameters; ``max_tokens`` is sent as ``max_completion_tokens`` then.
        template_options: Options of the chat template, such as ``enable_thinking``.

    Returns:
        The body as JSON.

    Example:
        >>> question = {"role": "user", "content": [{"type": "text", "text": "What moves?"}]}
        >>> body = chat_body("mine", Request(messages=(question,), max_tokens=9), unsupported={"seed"})
        >>> sorted(body), body["max_tokens"]
        (['max_tokens', 'messages', 'model', 'temperature'], 9)
    """
    images = iter(request.images)
    asked: dict[str, Any] = {
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "seed": request.seed,
    }
    if request.schema is not None:  # without it, the answer is parsed and repaired
        schema = {"name": "answer", "schema": request.schema, "strict": True}
        asked["response_format"] = {"type": "json_schema", "json_schema": schema}
    if template_options:
        asked["chat_template_kwargs"] = dict(template_options)
    if "max_tokens" in unsupported:
        asked["max_completion_tokens"] = request.max_tokens
    kept = {name: value for name, value in asked.items() if name not in unsupported}
    return {"model": model, "messages": [_message(message, images) for message in request.messages], **kept}


def refused_parameters(body: Mapping[str, Any], message: str) -> set[str]:
    """Which of the parameters sent the server does not take, by its error message.

    Example:
        >>> sorted(refused_parameters({"seed": 0, "max_tokens": 9}, "unknown field seed"))
        ['seed']
    """
    found = {name for name in OPTIONAL if name in body and re.search(rf"\b{name}\b", message)}
    if "response_format" in body and "schema" in message:
        return {"response_format"}
    return found if _UNKNOWN.search(message) else found & {"response_format"}


def read_completion(content: bytes) -> Response:
    """The response that a server's answer holds.

    Raises:
        UnreadableError: It is no completion, or did not come to an end; the message says what it is.

    Example:
        >>> read_completion(b'{"choices": [{"message": {"content": "The brows rise."}}]}').text
        'The brows rise.'
        >>> read_completion(b'{"choices": [{"message": {"content": 5}}]}')
        Traceback (most recent call last):
        grace.pipeline.engines.chat_protocol.UnreadableError: the server's answer is no completion \
(choices.0.message.content: Input should be a valid string)
    """
    try:
        completion = _Completion.model_validate_json(content)
    except ValidationError as error:
        raise UnreadableError(_describe(content, error)) from None
    choice, usage = completion.choices[0], completion.usage or _Usage()
    refusal = choice.message.refusal
    ended = REFUSAL if refusal else finish_reason(choice.finish_reason)
    if ended is None:
        raise UnreadableError(f"the server broke its answer off (finish_reason '{one_line(choice.finish_reason, 40)}')")
    return Response(
        text=(choice.message.content or refusal or "").strip(),
        tokens_in=usage.prompt_tokens or 0,
        tokens_out=usage.completion_tokens or 0,
        finish_reason=ended,
    )


def read_models(content: bytes) -> list[str]:
    """The names in a server's list of models. Raises :class:`UnreadableError` when it is no such list."""
    try:
        return [model.id for model in _Models.model_validate_json(content).data or ()]
    except ValidationError:
        raise UnreadableError("it answers with something else than a list of models") from None


def read_error(content: bytes) -> str:
    """What a server says about an error, as far as it can be read."""
    try:
        found = _Error.model_validate_json(content).error
    except ValidationError:
        return content.decode("utf-8", errors="replace")
    return found if isinstance(found, str) else found.message


def _describe(content: bytes, error: ValidationError) -> str:
    """What an answer is that is no completion."""
    first, start = error.errors(include_url=False, include_input=False)[0], content[:500].lower()
    if first["type"] == "json_invalid":
        if b"<html" in start or b"<!doctype" in start:
            return "the server answers with HTML instead of a completion"
        if not start.lstrip().startswith((b"{", b"[")):
            return "the server answers with no JSON instead of a completion"
        return "the server's answer is broken JSON"
    try:
        said = _Error.model_validate_json(content)
    except ValidationError:
        pass
    else:
        text = said.error if isinstance(said.error, str) else said.error.message
        return f"the server answers with an error: {text}"
    if first["loc"] == ("choices",) and first["type"] in ("missing", "too_short"):
        return "the server's answer has no choice"
    place = "".join(f"{part}." for part in first["loc"]).rstrip(".")
    return f"the server's answer is no completion ({one_line(place)}: {one_line(first['msg'])})"


def _message(message: Message, images: Iterator[Image]) -> Message:
    parts = [
        {"type": "image_url", "image_url": {"url": data_url(next(images))}}
        if part["type"] == "image"
        else {**part, "text": escape_known_special_tokens(part["text"])}
        for part in message["content"]
    ]
    return {**message, "content": parts}


def data_url(image: Image) -> str:
    """The picture as PNG, which is lossless, so that a server gets the pixels that a local engine gets."""
    import cv2

    from grace.pipeline.media.images import encode_png

    encoded = encode_png(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return f"data:image/png;base64,{base64.b64encode(encoded).decode()}"
