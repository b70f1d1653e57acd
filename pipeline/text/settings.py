"""``caption`` and ``refine`` in ``params.yaml``: who writes texts, from which prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from grace.pipeline.engines import ENGINES
from grace.pipeline.engines.settings import EngineSettings
from grace.pipeline.section import Count, naming_key
from grace.pipeline.text.prompts import check_label_slot, read_prompt

if TYPE_CHECKING:  # a type checker cannot read literals from a table
    EngineName = str
    CaptionEngineName = str
else:
    EngineName = Literal[tuple(ENGINES)]
    CaptionEngineName = Literal[(*ENGINES, "annotation")]


class TextSettings(EngineSettings):
    """What both have: an engine, its model and a prompt."""

    slots: ClassVar[tuple[str, ...]] = ()
    """The ``{slots}`` that the prompt must have."""

    prompt: str = ""  # a name in pipeline/text/prompts/, or the path of a .md file

    @field_validator("prompt")
    @classmethod
    def _prompt_is_there(cls, prompt: str) -> str:
        with naming_key():
            read_prompt(prompt, needs=cls.slots)
        return prompt


class CaptionSettings(TextSettings):
    """Coarse captions by a vision-language model (``grace caption``)."""

    slots: ClassVar[tuple[str, ...]] = ("times",)

    engine: CaptionEngineName = "transformers"  # annotation: the set's own texts
    model: str = "pocket/vlm"
    prompt: str = "coarse-v1"
    images: Count = 8
    samples: Count = 1  # captions of each clip: the likeliest, then drawn ones; refine takes them all


class RefineSettings(TextSettings):
    """Fine descriptions by a language model (``grace refine``)."""

    slots: ClassVar[tuple[str, ...]] = ("captions",)

    engine: EngineName = "transformers"
    model: str = "pocket/llm"
    prompt: str = "refine-v1"
    max_tokens: Count = 320
    use_label: Annotated[bool, Field(validate_default=True)] = False  # true shows labels to the model: needs its prompt
    overrides: str = "overrides"  # folder of corrections: <dataset>.csv with clip_id,description

    @field_validator("use_label")
    @classmethod
    def _prompt_shows_what_is_allowed(cls, use_label: bool, info: Any) -> bool:
        if "prompt" in info.data:
            with naming_key():
                check_label_slot(read_prompt(info.data["prompt"]), use_label)
        return use_label
