"""One running vLLM engine: requests in, futures of responses out, through its public asynchronous interface."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from itertools import count
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from grace.pipeline.engines.base import Image, Message, Request, Response, failed_response
from grace.pipeline.engines.chat_template import require_options
from grace.pipeline.engines.finish_reasons import finish_reason
from grace.pipeline.engines.special_tokens import escape_special_tokens, texts_in
from grace.pipeline.engines.thoughts import opened_thoughts
from grace.pipeline.errors import GraceError
from grace.pipeline.messages import error_line

if TYPE_CHECKING:
    from vllm import AsyncLLMEngine, RequestOutput, SamplingParams

SHUTDOWN_SECONDS = 60.0
"""The most seconds that closing waits for the step which vLLM computes, and for its processes to end."""


def stopped(cause: str) -> GraceError:
    """The error of every request that a vLLM which is gone will not answer."""
    return GraceError(f"vLLM stopped ({cause}): what is done is kept, start it again.")


class Replica:
    """A copy of the model, and the event loop in a thread of its own by which it takes requests and answers others.

    Args:
        engine: Started outside of any event loop.
        chat_template: A template, or the path of one, in place of the checkpoint's own.
        options: Options of the template.
    """

    def __init__(
        self, engine: AsyncLLMEngine, chat_template: str | None = None, options: Mapping[str, Any] | None = None
    ) -> None:
        self.engine = engine
        self.tokenizer = engine.get_tokenizer()
        self.special_tokens = tuple(getattr(self.tokenizer, "get_added_vocab", dict)())
        if chat_template is None:
            require_options(options or {}, getattr(self.tokenizer, "chat_template", None), "the model")
        usual = engine.model_config.get_diff_sampling_param()
        self._repetition_penalty = usual.get("repetition_penalty") or 1.0  # the checkpoint's own, as in transformers
        self._chat_params, self._tokenize_params = _rendering(engine, chat_template, options or {})
        self._waiting: set[Future[Response]] = set()
        self._lock = Lock()  # between a request that is submitted and the end
        self._closed = False
        self._numbers = count()
        self._runner = asyncio.Runner()
        self.loop = self._runner.get_loop()
        self._end = asyncio.Event()
        self._thread = Thread(target=self._run, name="vllm", daemon=True)
        self._thread.start()

    @property
    def load(self) -> int:
        """Requests that are not answered yet."""
        return len(self._waiting)

    def submit(self, request: Request) -> Future[Response]:
        """Have a request answered.

        The future holds a response, which has an error where the request alone failed, or :class:`GraceError` when
        vLLM is gone. Cancelling it takes the request back from vLLM.
        """
        with self._lock:
            if self._closed:
                raise stopped("it was closed")
            answer = asyncio.run_coroutine_threadsafe(self._answer(request), self.loop)
            self._waiting.add(answer)
        answer.add_done_callback(self._waiting.discard)
        return answer

    def close(self) -> None:
        """Cancel what is not answered yet, end vLLM's processes and give their memory back."""
        with self._lock:
            self._closed = True
            waiting = list(self._waiting)
        for answer in waiting:
            answer.cancel()
        self.loop.call_soon_threadsafe(self._end.set)
        self._thread.join(SHUTDOWN_SECONDS)  # first: a task that waits for vLLM's processes would report their end
        self.engine.shutdown(timeout=SHUTDOWN_SECONDS)
        del self.engine  # kept until the interpreter ends, it would shut down there again, and fail

    def _run(self) -> None:
        with self._runner:
            self._runner.run(self._end.wait())

    async def _answer(self, request: Request) -> Response:
        last: RequestOutput | None = None
        try:
            prompt = await self._render(request)
            number = str(next(self._numbers))
            async for output in self.engine.generate(prompt, self.sampling_params(request), number):
                last = output
        except Exception as error:
            if self.engine.errored:
                raise stopped("its process failed or was killed; memory may have run out") from error
            # What vLLM reports of this one request: too long, a picture it cannot take; its generic error says nothing.
            return failed_response(error_line(error if str(error) else error.__cause__ or error))
        if last is None:
            return failed_response("vLLM gave no answer")
        # A template may open the thoughts of a reasoning model; without their mark they would pass for the answer.
        return _response(last, opened_thoughts(self.tokenizer.decode(list(last.prompt_token_ids or ())[-16:])))

    async def _render(self, request: Request) -> Any:
        """Chat template, tokens and pictures, as ``LLM.chat`` prepares them."""
        _, (prompt,) = await self.engine.renderer.render_chat_async(
            [self.chat(request)], self._chat_params, self._tokenize_params
        )
        return prompt

    def chat(self, request: Request) -> list[Message]:
        """The messages of a request as vLLM takes them, their text unable to act as special tokens."""
        images = iter(request.images)
        return [
            {**message, "content": [self._part(part, images) for part in message["content"]]}
            if request.images
            else {**message, "content": escape_special_tokens(texts_in(message), self.special_tokens)}
            for message in request.messages
        ]

    def _part(self, part: dict[str, Any], images: Iterator[Image]) -> dict[str, Any]:
        from PIL import Image as Pictures

        if part["type"] == "image":
            return {"type": "image_pil", "image_pil": Pictures.fromarray(next(images))}
        return {**part, "text": escape_special_tokens(part["text"], self.special_tokens)}

    def sampling_params(self, request: Request) -> SamplingParams:
        """How vLLM shall decode the answer to a request."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        return SamplingParams(
            temperature=request.temperature,
            seed=request.seed if request.temperature > 0 else None,
            max_tokens=request.max_tokens,
            repetition_penalty=self._repetition_penalty,
            structured_outputs=StructuredOutputsParams(json=request.schema) if request.schema else None,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )


def _rendering(engine: AsyncLLMEngine, chat_template: str | None, options: Mapping[str, Any]) -> tuple[Any, Any]:
    """What vLLM's renderer is asked for: the checkpoint's chat template, which itself brings the special tokens."""
    from vllm.renderers import ChatParams
    from vllm.renderers.chat_utils import load_chat_template
    from vllm.utils.mistral import is_mistral_tokenizer

    chat = ChatParams(
        chat_template=load_chat_template(chat_template),
        chat_template_kwargs={
            **options,
            "add_generation_prompt": True,
            "continue_final_message": False,
            "tokenize": is_mistral_tokenizer(engine.renderer.tokenizer),
        },
    )
    return chat, engine.renderer.default_chat_tok_params.with_kwargs(add_special_tokens=False)


def _response(output: RequestOutput, opened: str) -> Response:
    answer = output.outputs[0]
    ended = finish_reason(answer.finish_reason)
    if ended is None:
        return failed_response(f"vLLM broke its answer off (finish_reason '{answer.finish_reason}')")
    text = f"{opened}{answer.text.strip()}"
    return Response(text, len(output.prompt_token_ids or ()), len(answer.token_ids), ended)
