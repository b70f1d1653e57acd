"""Engines for tests: one that records what it is asked, one that gives scripted answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grace.pipeline.engines import Request, Response


class Recorder:
    """An engine that records what it is asked, in front of a real one."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.asked: list[Request] = []

    def cache_key(self) -> dict[str, Any]:
        return dict(self.engine.cache_key())

    def open(self) -> None:
        self.engine.open()

    def close(self) -> None:
        self.engine.close()

    def generate(self, requests: Sequence[Request]) -> Any:
        self.asked.extend(requests)
        yield from self.engine.generate(requests)


class Script:
    """An engine with scripted answers: the bad ones that no model gives on command."""

    def __init__(self, *answers: str | Response) -> None:
        self.answers = [Response(each) if isinstance(each, str) else each for each in answers]
        self.asked: list[Request] = []

    def cache_key(self) -> dict[str, Any]:
        return {"engine": "script"}

    def open(self) -> None: ...

    def close(self) -> None: ...

    def generate(self, requests: Sequence[Request]) -> Any:
        for request in requests:
            self.asked.append(request)
            yield self.answers.pop(0)
