"""Engine ``vllm``: chats with pictures in memory, batched continuously, decoded under a JSON schema."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from grace.pipeline.checkpoints import model_cache_key, model_name, require_model
from grace.pipeline.engines.base import Request, Response
from grace.pipeline.engines.chat_template import options_key
from grace.pipeline.engines.settings import EngineSettings, VllmSettings
from grace.pipeline.engines.vllm_plugin import OWNER
from grace.pipeline.errors import GraceError, UserError
from grace.pipeline.messages import install_hint, one_line

if TYPE_CHECKING:
    from grace.pipeline.engines.vllm_replica import Replica


@dataclass
class VllmEngine:
    """One vLLM engine per stage, or ``vllm.data_parallel`` replicas of it, each on GPUs of its own.

    ``images`` is the most pictures that a request brings.
    """

    model: str
    revision: str | None = None
    dtype: str = "auto"
    images: int = 0
    seed: int = 0
    vllm: VllmSettings = field(default_factory=VllmSettings)
    trust_remote_code: bool = False
    template_options: dict[str, Any] = field(default_factory=dict)
    replicas: list[Replica] = field(default_factory=list, init=False, repr=False)

    continuous: ClassVar[bool] = True
    opens_model: ClassVar[bool] = True

    @classmethod
    def from_settings(cls, settings: EngineSettings) -> VllmEngine:
        """The engine as ``caption`` or ``refine`` describes it; ``refine`` shows no pictures."""
        return cls(
            settings.model,
            settings.revision,
            settings.dtype,
            getattr(settings, "images", 0),
            settings.seed,
            settings.vllm,
            trust_remote_code=settings.trusts_model,
            template_options=settings.chat_template_kwargs,
        )

    def cache_key(self) -> dict[str, Any]:
        """The checkpoint, its dtype and vLLM's own options; how it is spread over GPUs is not part."""
        model = model_cache_key(self.model, self.revision)
        key = {"engine": "vllm", "model": model, "dtype": self.dtype, "options": self.vllm.options}
        return key | options_key(self.template_options)

    def open(self) -> None:
        """Start vLLM. Raises :class:`UserError` when it is not installed or cannot run the model."""
        if self.replicas:
            return
        require_model(self.model, self.revision)
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # nothing leaves this machine
        # A forked process would load no plugins again (see vllm_plugin), and keep the locks of this one.
        os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"
        try:
            import vllm  # noqa: F401
        except ImportError as error:
            raise UserError(
                f"Engine vllm needs vLLM ({error}): on a machine with a GPU {install_hint('vllm')}; on one without, "
                "run scripts/vllm_env.sh of a clone."
            ) from None
        from vllm.platforms import current_platform

        if not current_platform.is_cpu():
            require_gpus(self.vllm, current_platform.device_count())
        arguments = self.arguments()
        for number in range(self.vllm.data_parallel):
            try:
                self.replicas.append(self._start(number, dict(arguments)))
            except UserError:
                self.close()
                raise
            except Exception as error:  # a model, an option or a GPU that vLLM refuses, each in its own way
                self.close()
                raise UserError(
                    f"vLLM cannot run the model {model_name(self.model)}: {one_line(error, 300)}. If a GPU was "
                    "full, wait until nvidia-smi shows it free, or lower vllm.memory."
                ) from error

    def arguments(self) -> dict[str, Any]:
        """What vLLM is started with, by its own names. Raises :class:`UserError` for what it would hang on."""
        if "data_parallel_size" in self.vllm.options:
            raise UserError("vllm.options.data_parallel_size is for servers: set vllm.data_parallel instead.")
        source = require_model(self.model, self.revision)
        chosen: dict[str, Any] = {
            "model": source,
            "trust_remote_code": self.trust_remote_code,
            "dtype": self.dtype,
            "seed": self.seed,
            "tensor_parallel_size": self.vllm.tensor_parallel,
            "gpu_memory_utilization": self.vllm.memory,
            "max_model_len": self.vllm.max_length,
            "enable_prefix_caching": True,
            "limit_mm_per_prompt": {"image": self.images, "video": 0},
            "mm_processor_cache_gb": 0,  # no picture is shown twice: keeping them would only fill the memory
            "disable_log_stats": True,
        }
        if self.images and (whole := _whole_pictures(source)):
            chosen["mm_processor_kwargs"] = whole
        return chosen | self.vllm.options

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer all requests, in order. Raises :class:`GraceError` when vLLM itself dies."""
        from grace.pipeline.engines.vllm_replica import stopped

        if not self.replicas:
            raise GraceError("vLLM is not running.")
        answers = [min(self.replicas, key=lambda replica: replica.load).submit(request) for request in requests]
        try:
            for answer in answers:
                try:
                    response = answer.result()
                except CancelledError:
                    raise stopped("it was closed") from None
                yield response
        finally:
            for answer in answers:
                answer.cancel()

    def close(self) -> None:
        """Stop vLLM and give its memory back."""
        for replica in self.replicas:
            replica.close()
        self.replicas = []

    def _start(self, number: int, arguments: dict[str, Any]) -> Replica:
        """Start the processes of one replica, which end when this process does (see :mod:`.vllm_plugin`)."""
        from vllm import AsyncEngineArgs, AsyncLLMEngine
        from vllm.usage.usage_lib import UsageContext

        from grace.pipeline.engines.vllm_replica import Replica

        template = arguments.pop("chat_template", None)
        variables = {OWNER: str(os.getpid())}
        if self.vllm.data_parallel > 1:
            shown = os.environ.get("CUDA_VISIBLE_DEVICES")
            variables["CUDA_VISIBLE_DEVICES"] = replica_gpus(number, self.vllm, shown)
        with environment(variables):
            # As large batches as vllm.LLM makes: nobody waits for single answers.
            return Replica(
                AsyncLLMEngine.from_engine_args(AsyncEngineArgs(**arguments), usage_context=UsageContext.LLM_CLASS),
                template,
                self.template_options,
            )


def require_gpus(spread: VllmSettings, visible: int) -> None:
    """Raise :class:`UserError` when there are fewer GPUs than the replicas of the model are to be spread over."""
    needed = spread.tensor_parallel * spread.data_parallel
    if visible < needed:
        raise UserError(
            f"vllm.tensor_parallel {spread.tensor_parallel} × vllm.data_parallel {spread.data_parallel} need {needed} "
            f"GPUs and {visible} can be seen here: set both to fit, or give each Ray worker more with ray.gpus."
        )


def replica_gpus(number: int, spread: VllmSettings, shown: str | None) -> str:
    """The GPUs of replica ``number``, as CUDA_VISIBLE_DEVICES takes them: its group among those that are ``shown``.

    Args:
        number: The replica, from 0.
        spread: How many replicas there are, and GPUs per replica.
        shown: CUDA_VISIBLE_DEVICES of this process; without it, GPUs are numbered from 0.

    Example:
        >>> replica_gpus(1, VllmSettings(tensor_parallel=2, data_parallel=2), "4,5,6,7")
        '6,7'
    """
    each = spread.tensor_parallel
    names = shown.split(",") if shown else [str(gpu) for gpu in range(each * spread.data_parallel)]
    return ",".join(names[number * each : (number + 1) * each])


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the processes that are started inside; afterwards all is as it was."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _whole_pictures(source: str) -> dict[str, Any]:
    """What makes the checkpoint's processor show a face crop whole."""
    from transformers import AutoImageProcessor

    from grace.pipeline.engines.chat_model import untiled

    try:
        return untiled(AutoImageProcessor.from_pretrained(source))
    except (OSError, ValueError, ImportError):
        return {}  # a processor of vLLM's own
