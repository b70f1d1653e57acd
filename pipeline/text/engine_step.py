"""What the steps share whose rows a text engine writes: captions and descriptions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Self

from grace.pipeline.checkpoints import knows_only, model_name
from grace.pipeline.engines import Engine, Request, Response, make_engine, prefetch_clips
from grace.pipeline.engines.responses import CachedEngine, ResponseStore
from grace.pipeline.engines.retry import Answer, Content, attempts_of, generate_with_retries
from grace.pipeline.errors import ClipError
from grace.pipeline.execution.step import Step
from grace.pipeline.store import Row, failure
from grace.pipeline.text.answers import clean_response
from grace.pipeline.text.prompts import Prompt, read_prompt
from grace.pipeline.text.settings import TextSettings


@dataclass
class EngineStep(Step, Generic[Content]):
    """A step that asks an engine about each clip; a subclass says what is asked and what an answer becomes."""

    settings: TextSettings
    engine: Engine = field(init=False)
    prompt: Prompt = field(init=False)
    _retrying: bool = field(default=False, init=False, repr=False)

    answer_settings: ClassVar[frozenset[str]]
    """Settings that change an answer, beside those of the engine and the prompt."""

    def __post_init__(self) -> None:
        self.engine = make_engine(self.settings)
        self.prompt = read_prompt(self.settings.prompt, needs=self.settings.slots)
        self.prefetch_clips = prefetch_clips(self.settings)

    def keep_responses(self, folder: Path) -> Self:
        """Keep the engine's answers in ``folder``, apart from the shards, and ask it only what is not there."""
        self.engine = CachedEngine(self.engine, ResponseStore(folder))
        return self

    def retry_failed(self) -> None:
        """Forget kept answers that were of no use to a clip, and ask the engine about it again."""
        self._retrying = True

    def requests(self, row: Row) -> list[Request]:
        """What is asked about one clip, first what its row stands on.

        Raises :class:`ClipError` when its inputs cannot be read.
        """
        raise NotImplementedError

    def validate(self, row: Row, response: Response) -> tuple[Content | None, str]:
        """What a response says of the clip (None: nothing), and why it is rejected (empty: accepted).

        The response is clean: see :func:`~grace.pipeline.text.answers.clean_response`.
        """
        raise NotImplementedError

    def make_row(self, row: Row, answers: list[Answer[Content]]) -> Row:
        """The row of one clip from the answers to its requests, in their order."""
        raise NotImplementedError

    def provenance(self, row: Row, answer: Answer[Content]) -> Row:
        """The columns that every row has: which clip, and who answered how."""
        return {
            "clip_id": row["clip_id"],
            "engine": self.settings.engine,
            "model": model_name(self.settings.model),
            "prompt": self.prompt.name,
            "attempts": answer.attempts,
            "status": "ok",
            "error": "",
        }

    def cache_key(self) -> dict[str, Any]:
        """The model, the prompt, and what is asked of them."""
        asked = self.settings.model_dump(include=set(self.answer_settings))
        return {**asked, "engine": self.engine.cache_key(), "prompt": self.prompt.cache_key}

    def knows_only(self) -> dict[str, str]:
        """The model, where its card says that it knows one kind of footage only."""
        known = knows_only(self.settings.model)
        return {model_name(self.settings.model): known} if known else {}

    def open(self) -> None:
        """Load the model."""
        self.engine.open()

    def close(self) -> None:
        """Give the model's memory back."""
        self.engine.close()

    def shard(self, rows: list[Row]) -> Iterable[Row]:
        """Ask about all clips in one batch, so that the engine's batches are full; rejected requests go out again."""
        asked: list[tuple[Row, Request]] = []
        waiting: dict[str, int] = {}
        for row in rows:
            try:
                requests = self.requests(row)
            except ClipError as error:
                yield failure(row["clip_id"], str(error))
                continue
            if self._retrying:
                self._forget_useless(row, requests[0])
            waiting[row["clip_id"]] = len(requests)
            asked += [(row, request) for request in requests]

        def validate(number: int, response: Response) -> tuple[Content | None, str]:
            return self._judge(asked[number][0], response)

        answers: dict[str, list[Answer[Content]]] = {}
        batch = [request for _, request in asked]
        for answer in generate_with_retries(self.engine, batch, validate, self.settings.max_attempts):
            row = asked[answer.request][0]
            given = answers.setdefault(row["clip_id"], [])
            given.append(answer)
            if len(given) == waiting[row["clip_id"]]:
                del answers[row["clip_id"]]
                yield self.make_row(row, sorted(given, key=lambda each: each.request))

    def _judge(self, row: Row, response: Response) -> tuple[Content | None, str]:
        try:
            answer = clean_response(response)
        except ValueError as error:
            return None, str(error)
        return self.validate(row, answer)

    def _forget_useless(self, row: Row, request: Request) -> None:
        """Forget what earlier runs were answered, where every attempt is known and none gave anything to keep."""
        if not isinstance(self.engine, CachedEngine):
            return
        attempts = attempts_of(request, self.settings.max_attempts)
        while all(known is not None and self._judge(row, known)[0] is None for known in self.engine.earlier(attempts)):
            self.engine.forget(attempts)
