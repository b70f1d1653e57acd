"""The retry loop that captions and descriptions share: an engine is asked until its answers are accepted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from grace.pipeline.engines.base import Engine, Request, Response

RETRY_TEMPERATURE = 0.7
"""A model that failed at temperature 0 would fail again in the same words."""

Content = TypeVar("Content")

Validator = Callable[[int, Response], tuple[Content | None, str]]
"""What the response to request number ``int`` says (None: nothing), and why it is rejected (empty: accepted)."""


@dataclass(frozen=True)
class Answer(Generic[Content]):
    """What became of one request.

    ``content`` is what the last response that said anything says, rejected ones included; ``attempts`` is how often
    the engine was asked; ``rejection`` is why the last response is rejected (empty: accepted).
    """

    request: int
    response: Response
    content: Content | None
    attempts: int
    rejection: str


def generate_with_retries(
    engine: Engine, requests: Sequence[Request], validate: Validator[Content], max_attempts: int
) -> Iterator[Answer[Content]]:
    """Answers in the order in which they are settled: first all that are accepted at the first attempt, then others.

    A rejected request is sent again with another seed, ``max_attempts`` times in all. What the engine itself reports
    as an error is final: an engine retries what is worth retrying.

    Args:
        engine: An open engine.
        requests: What is asked; an answer names its request by its place here.
        validate: Reads a response and accepts or rejects it.
        max_attempts: The most times that one request is sent.
    """
    contents: dict[int, Content] = {}
    waiting = list(range(len(requests)))
    for attempt in range(1, max_attempts + 1):
        rejected: list[int] = []
        batch = [_again(requests[number], attempt) for number in waiting]
        for number, response in zip(waiting, engine.generate(batch), strict=True):
            content, rejection = (None, response.error) if response.error else validate(number, response)
            if content is not None:
                contents[number] = content
            if rejection and not response.error and attempt < max_attempts:
                rejected.append(number)
            else:
                yield Answer(number, response, contents.pop(number, None), attempt, rejection)
        waiting = rejected
        if not waiting:
            return


def attempts_of(request: Request, count: int) -> list[Request]:
    """The first ``count`` requests that :func:`generate_with_retries` sends for one."""
    return [_again(request, attempt) for attempt in range(1, count + 1)]


def _again(request: Request, attempt: int) -> Request:
    if attempt == 1:
        return request
    return replace(request, seed=request.seed + attempt - 1, temperature=RETRY_TEMPERATURE)
