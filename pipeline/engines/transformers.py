"""The local engine: any chat model that transformers opens, with vision or without, answering in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from grace.pipeline.checkpoints import model_cache_key
from grace.pipeline.engines.base import Request, Response, failed_response
from grace.pipeline.engines.chat_template import options_key, require_options
from grace.pipeline.engines.settings import EngineSettings
from grace.pipeline.errors import GraceError, UserError
from grace.pipeline.messages import error_line

if TYPE_CHECKING:
    from grace.pipeline.engines.chat_model import ChatModel

WINDOW = 8
"""Batches whose requests are sorted by length together: enough to waste little on padding, few enough to hold."""


@dataclass
class TransformersEngine:
    """Batched generation with a checkpoint in a folder or of the hub.

    ``batch`` is the most requests per batch; it halves for good when memory runs out. ``dtype`` and ``device`` may be
    ``auto``. Code that comes with a checkpoint runs only under ``trust_remote_code``.
    """

    continuous: ClassVar[bool] = False
    opens_model: ClassVar[bool] = True

    model: str
    revision: str | None = None
    batch: int = 16
    dtype: str = "auto"
    device: str = "auto"
    trust_remote_code: bool = False
    template_options: dict[str, Any] = field(default_factory=dict)
    chat: ChatModel | None = field(default=None, init=False, repr=False)

    @classmethod
    def from_settings(cls, settings: EngineSettings) -> TransformersEngine:
        """The engine as ``caption`` or ``refine`` describes it."""
        return cls(
            settings.model,
            settings.revision,
            settings.batch,
            settings.dtype,
            settings.device,
            trust_remote_code=settings.trusts_model,
            template_options=settings.chat_template_kwargs,
        )

    def cache_key(self) -> dict[str, Any]:
        """The checkpoint and the compute dtype asked for; what changes no answer (batch, device) is not part."""
        key = {"engine": "transformers", "model": model_cache_key(self.model, self.revision), "dtype": self.dtype}
        return key | options_key(self.template_options)

    def open(self) -> None:
        """Load the checkpoint. Raises :class:`UserError` when there is none or it cannot be opened."""
        if self.chat is None:
            from grace.pipeline.engines.chat_model import ChatModel

            self.chat = ChatModel.load(self.model, self.revision, self.dtype, self.device, self.trust_remote_code)
            require_options(self.template_options, self.chat.processor.chat_template, self.chat.name)
            self.chat.template_options = self.template_options

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer all requests, in order; requests of similar length share a batch.

        Raises :class:`UserError` when there are pictures and the model cannot see.
        """
        self.open()
        assert self.chat is not None
        if not self.chat.sees_images and any(request.images for request in requests):
            raise UserError(f"The model {self.chat.name} reads no images: name a vision-language model.")
        window = WINDOW * self.batch
        for start in range(0, len(requests), window):
            yield from self._window(self.chat, requests[start : start + window])

    def close(self) -> None:
        """Give the model's memory back."""
        chat, self.chat = self.chat, None
        if chat is not None:
            chat.unload()

    def _window(self, chat: ChatModel, requests: Sequence[Request]) -> Iterator[Response]:
        waiting = sorted(range(len(requests)), key=lambda k: (_length(requests[k]), k), reverse=True)
        done: dict[int, Response] = {}
        next_answer = 0
        while waiting:
            picked = waiting[: self.batch]
            answers = self._batch(chat, [requests[k] for k in picked])
            if answers is None:
                continue
            done.update(zip(picked, answers, strict=True))
            waiting = waiting[len(picked) :]
            while next_answer in done:
                yield done.pop(next_answer)
                next_answer += 1

    def _batch(self, chat: ChatModel, requests: list[Request]) -> list[Response] | None:
        """Answers to one batch; None when it did not fit into memory and must be tried again in smaller ones."""
        problem = _try(chat, requests)
        if not isinstance(problem, Exception):
            return problem
        if _out_of_memory(problem):
            chat.free_memory()
            if len(requests) == 1:
                return [failed_response("out of memory on this request alone")]
            self.batch = max(len(requests) // 2, 1)
            return None
        if len(requests) == 1:
            return [failed_response(error_line(problem))]
        # One request may spoil its batch (a picture that its processor cannot take): the others are asked alone.
        return [answer for request in requests for answer in self._batch(chat, [request]) or ()]


def _try(chat: ChatModel, requests: list[Request]) -> list[Response] | Exception:
    """Answers, or the error as a value: its traceback would keep the batch's tensors alive."""
    try:
        return chat.answer(requests)
    except GraceError:
        raise
    except Exception as error:  # whatever the model's code says of this batch
        return error.with_traceback(None)


def _out_of_memory(error: Exception) -> bool:
    import torch

    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "allocate memory" in str(error)


def _length(request: Request) -> tuple[int, int]:
    """Pictures and characters: what the prompt's tokens grow with."""
    parts = [part for message in request.messages for part in message["content"]]
    return len(request.images), sum(len(part.get("text", "")) for part in parts)
