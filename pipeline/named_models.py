"""The checkpoints that settings name: which are there, and how to fetch the others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from grace.pipeline.checkpoints import WEIGHTS, download_line, is_local, missing_weights
from grace.pipeline.engines import opens_model
from grace.pipeline.errors import UserError
from grace.pipeline.messages import one_line
from grace.pipeline.settings import PipelineSettings

FETCHED = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")
"""What is fetched: weights in the safe format, configuration, tokenizer, chat template; code only where it may run."""


@dataclass(frozen=True)
class NamedModel:
    """A model of a stage as the settings name it."""

    stage: str
    name: str
    revision: str | None
    trusted: bool = False

    def state(self) -> str:
        """``there`` or ``missing``, of what can be seen without a network."""
        return "there" if self.is_there() else "missing"

    def is_there(self) -> bool:
        """Whether it is a folder or in the local cache."""
        return is_local(self.name, self.revision)

    def download_line(self) -> str:
        """The line that fetches it, if it is missing."""
        return "" if self.is_there() else download_line(self.name, self.revision).partition(": ")[2]


def models_of(settings: PipelineSettings) -> list[NamedModel]:
    """The models that are opened on this machine, stage by stage; those of a server are its own.

    Example:
        >>> from grace import load_settings
        >>> [(model.stage, model.name, model.state()) for model in models_of(load_settings(None))][-1]
        ('tokens', 'pocket/clip', 'there')
    """
    parts = [("caption", settings.caption), ("refine", settings.refine)]
    local = [(stage, part) for stage, part in parts if opens_model(part.engine)]
    of_engines = [NamedModel(stage, part.model, part.revision, part.trusts_model) for stage, part in local]
    towers = dict.fromkeys((settings.tokens.vision_model, settings.tokens.text_model))
    return [*of_engines, *(NamedModel("tokens", name, revision) for name, revision in towers)]


def fetch_model(model: NamedModel, to: Path | None = None) -> Path | str:
    """Download a model of the hub.

    Args:
        model: One that :func:`models_of` names.
        to: A folder that gets ``<organisation>/<name>``; the Hugging Face cache when not given.

    Returns:
        The folder that holds it, to be named in the settings, or ``there`` when nothing was to be done.

    Raises:
        UserError: It could not be fetched; the sentence ends with the line that does it elsewhere.
    """
    from huggingface_hub import snapshot_download

    if to is None and model.is_there():
        return "there"
    place = None if to is None else to / model.name
    patterns = [*FETCHED, *(["*.py"] if model.trusted else [])]
    try:
        found = Path(snapshot_download(model.name, revision=model.revision, local_dir=place, allow_patterns=patterns))
        if missing_weights(found):  # published in PyTorch's own format alone
            patterns.append("*.bin")
            snapshot_download(model.name, revision=model.revision, local_dir=place, allow_patterns=patterns)
    except Exception as error:  # the hub's library has a class of its own for every trouble of the network
        line = download_line(model.name, model.revision)
        where = f" --local-dir {place}" if place else ""
        raise UserError(f"{model.name} could not be fetched ({one_line(error)}). {line}{where}") from None
    if missing_weights(found):
        raise UserError(f"{model.name} holds no weights that can be opened ({', '.join(WEIGHTS)}): name another model.")
    return found
