"""vLLM in this process: chats with pictures in memory, batched continuously, decoded under a JSON schema."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import active_children
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from grace.pipeline.checkpoints import model_cache_key, model_name, require_model
from grace.pipeline.engines.base import Message, Request, Response
from grace.pipeline.engines.settings import VllmSettings
from grace.pipeline.engines.special_tokens import escape_special_tokens, texts_in
from grace.pipeline.errors import GraceError, UserError

if TYPE_CHECKING:
    import vllm

Job = tuple[Request, "Future[Response]"]

LAST_STEP = 60.0
"""The most seconds that closing waits for the step which vLLM is at, and then for its processes to go."""


@dataclass
class VllmEngine:
    """One vLLM engine a stage, or ``vllm.data_parallel`` copies of it, each on GPUs of its own.

    ``images`` is the most pictures that a request brings.
    """

    model: str
    revision: str | None = None
    dtype: str = "auto"
    images: int = 0
    seed: int = 0
    vllm: VllmSettings = field(default_factory=VllmSettings)
    trust_remote_code: bool = False
    copies: list[_Copy] = field(default_factory=list, init=False, repr=False)

    def cache_key(self) -> dict[str, Any]:
        """The checkpoint, its dtype and vLLM's own options; how it is spread over GPUs is not part."""
        model = model_cache_key(self.model, self.revision)
        return {"engine": "vllm", "model": model, "dtype": self.dtype, "options": self.vllm.options}

    def open(self) -> None:
        """Start vLLM. Raises :class:`UserError` when it is not installed or cannot run the model."""
        if self.copies:
            return
        source = require_model(self.model, self.revision)
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # nothing leaves this machine
        # A forked process would load no plugins again (see grace.pipeline.engines.vllm_plugin), and keep this one's locks.
        os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"
        try:
            import vllm
        except ImportError as error:
            raise UserError(
                f"Engine vllm needs vLLM ({error}): pip install 'grace-dfer[vllm]' on a machine with a GPU, or run "
                "scripts/vllm_env.sh for one without."
            ) from None
        from vllm.platforms import current_platform

        if not current_platform.is_cpu():
            require_gpus(self.vllm, current_platform.device_count())
        arguments = self.arguments()
        for number in range(self.vllm.data_parallel):
            try:
                before = set(active_children())
                with _Devices(number, self.vllm.tensor_parallel, self.vllm.data_parallel):
                    llm = vllm.LLM(source, **arguments)
                self.copies.append(_Copy(llm, [each for each in active_children() if each not in before]))
            except Exception as error:  # a model, an option or a GPU that vLLM refuses, each in its own way
                self.close()
                raise UserError(
                    f"vLLM cannot run the model {model_name(self.model)}: {_said(error, 300)}. If a GPU was "
                    "full, wait until nvidia-smi shows it free, or lower vllm.memory."
                ) from error

    def arguments(self) -> dict[str, Any]:
        """What ``vllm.LLM`` is started with, beside the model. Raises :class:`UserError` for what it would hang on."""
        if "data_parallel_size" in self.vllm.options:
            raise UserError("vllm.options.data_parallel_size is for servers: set vllm.data_parallel instead.")
        chosen: dict[str, Any] = {
            "revision": model_cache_key(self.model, self.revision).get("revision"),
            "trust_remote_code": self.trust_remote_code,
            "dtype": self.dtype,
            "seed": self.seed,
            "tensor_parallel_size": self.vllm.tensor_parallel,
            "gpu_memory_utilization": self.vllm.memory,
            "max_model_len": self.vllm.max_length,
            "enable_prefix_caching": True,
            "limit_mm_per_prompt": {"image": self.images, "video": 0},
            "mm_processor_cache_gb": 0,  # no picture is shown twice: keeping them would only fill the memory
        }
        if self.images and (whole := _whole_pictures(require_model(self.model, self.revision), self.revision)):
            chosen["mm_processor_kwargs"] = whole
        return chosen | self.vllm.options

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer all requests, in order. Raises :class:`GraceError` when vLLM itself dies."""
        if not self.copies:
            raise GraceError("vLLM is not running.")
        answers = [min(self.copies, key=lambda copy: copy.load).put(request) for request in requests]
        try:
            for answer in answers:
                yield answer.result()
        finally:
            for answer in answers:
                answer.cancel()

    def close(self) -> None:
        """Stop vLLM and give its memory back."""
        for copy in self.copies:
            copy.close()
        self.copies = []


class _Copy:
    """One ``vllm.LLM``, driven by a thread of its own that hands it requests while it answers others.

    ``processes`` are those that it started: one of them killed (by the kernel, for memory) leaves ``LLM`` waiting for
    ever, so another thread watches them.
    """

    def __init__(self, llm: vllm.LLM, processes: Sequence[BaseProcess]) -> None:
        self.llm = llm
        self.tokens = tuple(getattr(llm.get_tokenizer(), "get_added_vocab", dict)())
        self.usual = llm.get_default_sampling_params()
        self.inbox: SimpleQueue[Job | None] = SimpleQueue()
        self.under_way: dict[str, Future[Response]] = {}
        self.broken: GraceError | None = None
        self.lock = Lock()  # of what is waited for: answered by one thread, given up by another
        self.sentinels = [process.sentinel for process in processes]
        self.driver = Thread(target=self._drive, name="vllm", daemon=True)
        self.driver.start()
        if processes:
            Thread(target=self._watch, name="vllm watch", daemon=True).start()

    @property
    def load(self) -> int:
        """Requests that are not answered yet."""
        return self.inbox.qsize() + len(self.under_way)

    def put(self, request: Request) -> Future[Response]:
        """Have a request answered."""
        answer: Future[Response] = Future()
        with self.lock:
            if self.broken:
                answer.set_exception(self.broken)
            else:
                self.inbox.put((request, answer))
        return answer

    def close(self) -> None:
        """Stop, and end the wait of whoever waits for an answer."""
        self._give_up("it was closed")
        self.inbox.put(None)
        end = time.monotonic() + LAST_STEP
        while self.driver.is_alive() and time.monotonic() < end and not (self.sentinels and wait(self.sentinels, 0)):
            self.driver.join(0.05)
        self.llm.llm_engine.engine_core.shutdown(timeout=LAST_STEP)

    def _watch(self) -> None:
        wait(self.sentinels)
        self._give_up("its process was killed; memory may have run out")

    def _give_up(self, cause: str) -> None:
        """Nothing that waits will be answered, nor anything after it."""
        with self.lock:
            self.broken = self.broken or GraceError(f"vLLM stopped ({cause}): what is done is kept, start it again.")
            waiting = list(self.under_way.values())
            self.under_way.clear()
            waiting += [answer for answer in self._left() if answer.set_running_or_notify_cancel()]
        for answer in waiting:
            answer.set_exception(self.broken)

    def _left(self) -> Iterator[Future[Response]]:
        """What the driver has not taken yet."""
        with suppress(Empty):
            while True:
                if job := self.inbox.get_nowait():
                    yield job[1]

    def _drive(self) -> None:
        while True:
            try:
                if not self._take():
                    return
                for output in self.llm.llm_engine.step() if self.under_way else ():
                    if output.finished:
                        with self.lock:
                            answer = self.under_way.pop(output.request_id, None)
                        if answer is not None:
                            answer.set_result(_response(output))
            except Exception as error:  # of the engine itself: nothing that waits for it will be answered
                self._give_up(f"{type(error).__name__}: {_said(error, 300)}")

    def _take(self) -> bool:
        """Hand over what has come in, waiting for it when there is nothing else to do; False at the end."""
        from vllm.v1.engine.exceptions import EngineDeadError

        while True:
            try:
                job = self.inbox.get(block=not self.under_way)
            except Empty:
                return True
            if job is None:
                return False
            request, answer = job
            if not answer.set_running_or_notify_cancel():
                continue
            try:
                (name,) = self.llm.enqueue_chat([self._chat(request)], self._params(request), use_tqdm=False)
            except EngineDeadError as error:
                answer.set_exception(GraceError(f"vLLM stopped ({_said(error, 300)}): what is done is kept."))
                raise
            except Exception as error:  # what vLLM says of this one request: too long, a picture it cannot take
                answer.set_result(Response(finish_reason="error", error=f"{type(error).__name__}: {_said(error, 200)}"))
                continue
            with self.lock:
                if self.broken is None:
                    self.under_way[name.partition("-")[0]] = answer  # the rest is for inside vLLM; outputs lack it
                    continue
            answer.set_exception(self.broken)

    def _chat(self, request: Request) -> list[Message]:
        from PIL import Image

        images = iter(request.images)
        return [
            {**message, "content": [self._part(part, images, Image) for part in message["content"]]}
            if request.images
            else {**message, "content": escape_special_tokens(texts_in(message), self.tokens)}
            for message in request.messages
        ]

    def _part(self, part: dict[str, Any], images: Iterator[Any], pictures: Any) -> dict[str, Any]:
        if part["type"] == "image":
            return {"type": "image_pil", "image_pil": pictures.fromarray(next(images))}
        return {**part, "text": escape_special_tokens(part["text"], self.tokens)}

    def _params(self, request: Request) -> vllm.SamplingParams:
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        return SamplingParams(
            temperature=request.temperature,
            seed=request.seed if request.temperature > 0 else None,
            max_tokens=request.max_tokens,
            repetition_penalty=self.usual.repetition_penalty,  # the checkpoint's own, as transformers applies it
            structured_outputs=StructuredOutputsParams(json=request.schema) if request.schema else None,
        )


def require_gpus(spread: VllmSettings, visible: int) -> None:
    """Raise :class:`UserError` when there are fewer GPUs than the copies of the model are to be spread over."""
    wanted = spread.tensor_parallel * spread.data_parallel
    if visible < wanted:
        raise UserError(
            f"vllm.tensor_parallel {spread.tensor_parallel} × vllm.data_parallel {spread.data_parallel} want {wanted} "
            f"GPUs and {visible} can be seen here: set both to fit, or give each Ray worker more with ray.gpus."
        )


class _Devices:
    """While a copy starts, the GPUs that are its own: the ``number``-th group of ``each`` among those visible."""

    def __init__(self, number: int, each: int, copies: int) -> None:
        shown = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = shown.split(",") if shown else [str(k) for k in range(each * copies)]
        self.shown = shown
        self.own = ",".join(names[number * each : (number + 1) * each]) if copies > 1 else None

    def __enter__(self) -> None:
        if self.own is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.own

    def __exit__(self, *_: object) -> None:
        if self.own is not None:
            os.environ.pop("CUDA_VISIBLE_DEVICES")
            if self.shown is not None:
                os.environ["CUDA_VISIBLE_DEVICES"] = self.shown


def _said(error: Exception, most: int) -> str:
    return " ".join(str(error).split())[:most]


def _response(output: vllm.RequestOutput) -> Response:
    answer = output.outputs[0]
    return Response(
        answer.text.strip(),
        len(output.prompt_token_ids or ()),
        len(answer.token_ids),
        "length" if answer.finish_reason == "length" else "stop",
    )


def _whole_pictures(source: str, revision: str | None) -> dict[str, Any]:
    """What makes a processor show a face crop as one view, as :mod:`grace.pipeline.engines.chat_model` does."""
    from transformers import AutoImageProcessor

    try:
        processor = AutoImageProcessor.from_pretrained(source, revision=revision)
    except (OSError, ValueError, ImportError):
        return {}  # a processor of vLLM's own
    if not getattr(processor, "do_image_splitting", False):
        return {}
    return {"do_image_splitting": False, "size": dict(processor.max_image_size)}
