"""``caption`` and ``refine`` in ``params.yaml``: who writes texts, from which prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from grace.pipeline.engines import ENGINES
from grace.pipeline.engines.settings import EngineSettings
from grace.pipeline.section import Count

if TYPE_CHECKING:  # a type checker cannot read literals from a table
    EngineName = str
    CaptionEngineName = str
else:
    EngineName = Literal[tuple(ENGINES)]
    CaptionEngineName = Literal[(*ENGINES, "annotation")]


class TextSettings(EngineSettings):
    """What both have: an engine, its model and a prompt."""

    prompt: str = ""  # a name in pipeline/text/prompts/, or the path of a .md file


class CaptionSettings(TextSettings):
    """Coarse captions by a vision-language model (``grace caption``)."""

    engine: CaptionEngineName = "transformers"  # annotation: the set's own texts
    model: str = "pocket/vlm"
    prompt: str = "coarse-v1"
    images: Count = 8
    samples: Count = 1  # captions of each clip: the likeliest, then drawn ones; refine takes them all


class RefineSettings(TextSettings):
    """Fine descriptions by a language model (``grace refine``)."""

    engine: EngineName = "transformers"
    model: str = "pocket/llm"
    prompt: str = "refine-v1"
    max_tokens: Count = 320
    use_label: bool = False
    overrides: str = "overrides"  # folder of corrections: <dataset>.csv with clip_id,description
