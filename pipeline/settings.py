"""``params.yaml`` as typed settings: what the steps need of it, and how such a file is read.

Each section is a model in the ``settings.py`` of its package, where every key has its meaning, unit and default. A key
that is not there is an error that names it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError

from grace.pipeline.datasets.settings import ListFilesSettings
from grace.pipeline.errors import UserError
from grace.pipeline.execution.settings import RaySettings, ShardsSettings
from grace.pipeline.faces.settings import FacesSettings
from grace.pipeline.index.settings import IndexSettings
from grace.pipeline.motion.settings import MotionSettings
from grace.pipeline.section import Positive, Section, Share
from grace.pipeline.text.settings import CaptionSettings, RefineSettings
from grace.pipeline.tokens.settings import TokensSettings
from grace.pipeline.world.settings import WorldSettings

S = TypeVar("S", bound=Section)


class PipelineSettings(Section):
    """All of ``params.yaml`` that comes before training."""

    datasets: list[str] = ["demo"]
    folds: list[Annotated[int, Field(ge=1, le=5)]] = [1, 2]
    roots: dict[str, str] = {}
    data: str = "data"
    lists: dict[str, ListFilesSettings] = {}  # data sets that come as list files
    workers: Annotated[int, Field(ge=0)] = 2  # local processes; 0 runs in this one
    clip_seconds: Positive = 120.0  # a local process longer at one clip is ended, the clip failed
    runner: Literal["processes", "ray"] = "processes"  # on this machine, or on a Ray cluster
    max_failed: Share = 0.01
    shards: ShardsSettings = ShardsSettings()
    ray: RaySettings = RaySettings()
    world: WorldSettings = WorldSettings()
    index: IndexSettings = IndexSettings()
    faces: FacesSettings = FacesSettings()
    motion: MotionSettings = MotionSettings()
    caption: CaptionSettings = CaptionSettings()
    refine: RefineSettings = RefineSettings()
    tokens: TokensSettings = TokensSettings()

    def folder(self, dataset: str) -> Path:
        """Where everything made from a data set lies: ``data/<dataset>``."""
        return Path(self.data) / dataset


def read_settings(model: type[S], path: str | Path = "params.yaml", overrides: list[str] | None = None) -> S:
    """Read a YAML file as ``model`` and apply ``section.key=value`` overrides (values are YAML).

    Raises :class:`UserError` naming the file and the key when one is unknown or has a wrong value.
    """
    file = Path(path)
    try:
        content: Any = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise UserError(
            f"There is no settings file {file}: run from the project's folder or name one with --params."
        ) from None
    except yaml.YAMLError as error:
        raise UserError(f"{file} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"{file} must hold keys and values, such as 'datasets: [demo]'.")
    for override in overrides or []:
        key, equals, value = override.partition("=")
        if not equals:
            raise UserError(f"--set wants section.key=value, not '{override}'.")
        _assign(content, key.strip().split("."), yaml.safe_load(value), override)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{file}: {_explain(error, model)}") from None


def _assign(content: dict[str, Any], keys: list[str], value: Any, override: str) -> None:
    for key in keys[:-1]:
        content = content.setdefault(key, {})
        if not isinstance(content, dict):
            raise UserError(f"--set {override}: '{key}' is a value, not a section.")
    content[keys[-1]] = value


def _explain(error: ValidationError, model: type[Section]) -> str:
    """All complaints of pydantic as one sentence each, keys dotted as one writes them with ``--set``."""
    sentences = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            section = _section(model, problem["loc"][:-1])
            known = ", ".join(section.model_fields) if section else ""
            sentences.append(f"unknown key '{key}'" + (f" (known here: {known})." if known else "."))
        else:
            sentences.append(f"'{key}': {problem['msg'][0].lower()}{problem['msg'][1:]}, got {problem['input']!r}.")
    return " ".join(sentences)


def _section(whole: type[Section], location: tuple[Any, ...]) -> type[BaseModel] | None:
    model: Any = whole
    for part in location:
        field = model.model_fields.get(str(part))
        model = field.annotation if field else None
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return None
    return model
