"""The registry of methods. Adding one is its own module, a line here and one in ``METHODS`` (``settings.py``)."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from grace.trainer.controls import Probe, Queries, Text
from grace.trainer.layers import ModelConfig
from grace.trainer.model import Grace, Model, Narrative, Template, Vision

MODELS: Mapping[str, type[Model]] = {
    model.__name__.lower(): model for model in (Vision, Template, Narrative, Grace, Text, Queries, Probe)
}
"""Method, as ``train.method`` names it, to its class."""


def build(config: ModelConfig, prompts: Float[Tensor, "classes width"] | None = None) -> Model:
    """The classifier of a configuration, freshly initialised from torch's random state, on the CPU.

    ``prompts`` are the class embeddings of ``template``; weights that are loaded afterwards replace them.
    """
    model = MODELS[config.method](config)
    if isinstance(model, Template) and prompts is not None:
        model.prompts.copy_(prompts)
    return model
