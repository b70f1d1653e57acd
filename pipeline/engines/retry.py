"""Asking an engine until its answers will do: the retry loop that captions and descriptions share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from grace.pipeline.engines.base import Engine, Request, Response

RETRY_TEMPERATURE = 0.7
"""A model that failed at temperature 0 would fail again in the same words."""

Validator = Callable[[int, Response], str]
"""Why the response to request number ``int`` will not do; empty when it will."""


@dataclass(frozen=True)
class Answer:
    """The last response to a request, how often the engine was asked, and why it was refused (empty: accepted)."""

    request: int
    response: Response
    attempts: int
    rejection: str


def generate_with_retries(
    engine: Engine, requests: Sequence[Request], validate: Validator, max_attempts: int
) -> Iterator[Answer]:
    """Answers in the order they are settled: first all that will do at once, then those asked again.

    A refused answer is asked for again with another seed, up to ``max_attempts`` times in all. What the engine itself
    reports as an error is final: an engine retries what is worth retrying.
    """
    waiting = list(range(len(requests)))
    for attempt in range(1, max_attempts + 1):
        rejection: list[int] = []
        batch = [_again(requests[number], attempt) for number in waiting]
        for number, response in zip(waiting, engine.generate(batch), strict=True):
            cause = response.error or validate(number, response)
            if cause and not response.error and attempt < max_attempts:
                rejection.append(number)
            else:
                yield Answer(number, response, attempt, cause)
        waiting = rejection
        if not waiting:
            return


def _again(request: Request, attempt: int) -> Request:
    if attempt == 1:
        return request
    return replace(request, seed=request.seed + attempt - 1, temperature=RETRY_TEMPERATURE)
