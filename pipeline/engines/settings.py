"""Settings of the engines: parts of ``caption`` and ``refine`` in ``params.yaml``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from grace.pipeline.section import Count, NotNegative, Positive, Section


class ServerSettings(Section):
    """The server of engine ``openai``. Its key, if it needs one, is read from the variable OPENAI_API_KEY."""

    url: str = ""  # such as http://127.0.0.1:8000/v1; nothing is sent anywhere until it is named
    concurrency: Count = 32  # requests under way concurrently
    timeout: Positive = 120.0  # seconds that one answer may take
    retry_timeout: NotNegative = 600.0  # seconds to wait for a server that is away or busy


class VllmSettings(Section):
    """How engine ``vllm`` uses the machine; only ``options`` are meant to change an answer."""

    tensor_parallel: Count = 1  # GPUs that share a copy of the model
    data_parallel: Count = 1  # copies of the model, each on GPUs of its own
    memory: Annotated[float, Field(gt=0, le=1)] = 0.9  # share of each GPU
    max_length: Count | None = None  # tokens of prompt and answer together; the model's own limit when null
    options: dict[str, Any] = {}  # any other engine argument of vLLM by its own name, such as quantization


RESERVED_OPTIONS = frozenset(
    {"add_generation_prompt", "chat_template", "continue_final_message", "conversation", "documents", "messages"}
    | {"return_dict", "return_tensors", "tokenize", "tools"}
)
"""What the engines themselves ask of a chat template."""


class EngineSettings(Section):
    """What caption and refine share: which engine and model write, and how they are asked."""

    engine: str = "transformers"
    model: str = ""  # a folder, a model of the hub, or (openai) what the server calls it
    revision: str | None = None
    trust_remote_code: list[str] = []  # models, by name, whose own Python code may run
    batch: Count = 16  # transformers: the most requests per batch
    prefetch_clips: Annotated[int, Field(ge=0)] = 256  # vllm, openai: of later shards, asked early so that none idles
    max_tokens: Count = 160
    max_attempts: Count = 3  # times a clip is asked about before giving up
    seed: int = 0
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = "auto"
    device: str = "auto"
    chat_template_kwargs: dict[str, Any] = {}  # options of the model's chat template, such as enable_thinking: false
    server: ServerSettings = ServerSettings()
    vllm: VllmSettings = VllmSettings()

    @field_validator("chat_template_kwargs")
    @classmethod
    def _options_of_the_template_only(cls, options: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(options.keys() & RESERVED_OPTIONS):
            raise ValueError(f"{taken[0]} is set by the engine")
        return options

    @property
    def trusts_model(self) -> bool:
        """Whether Python code that comes with ``model`` may run."""
        return self.model in self.trust_remote_code
