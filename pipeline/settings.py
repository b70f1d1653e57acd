"""``params.yaml`` as typed settings: what the steps need of it, and how such a file is read.

Each section is a model in the ``settings.py`` of its package, where every key has its meaning, unit and default.
Reading has three parts: a file becomes keys and values, ``section.key=value`` overrides are put in, and the whole is
validated once. A key that does not exist is an error that names it, one that was renamed an error that names the new
one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError, field_validator

from grace.pipeline.arguments import as_list
from grace.pipeline.datasets.roots import check_name
from grace.pipeline.datasets.settings import ListFilesSettings
from grace.pipeline.errors import UserError
from grace.pipeline.estimate.settings import EstimateSettings
from grace.pipeline.execution.settings import RaySettings, ShardsSettings
from grace.pipeline.faces.settings import FacesSettings
from grace.pipeline.index.settings import IndexSettings
from grace.pipeline.messages import one_line
from grace.pipeline.motion.settings import MotionSettings
from grace.pipeline.section import Positive, Section, Share, naming_key
from grace.pipeline.strict_yaml import parse_value, read_yaml
from grace.pipeline.text.settings import CaptionSettings, RefineSettings
from grace.pipeline.tokens.settings import TokensSettings
from grace.pipeline.world.settings import WorldSettings

S = TypeVar("S", bound=Section)

MAX_PROBLEMS = 10
"""The most wrong keys that are named together."""

RENAMED_KEYS: dict[str, str] = {
    "clip_seconds": "clip_timeout",
    "caption.queue": "caption.prefetch_clips",
    "refine.queue": "refine.prefetch_clips",
    "caption.server.patience": "caption.server.retry_timeout",
    "refine.server.patience": "refine.server.retry_timeout",
    "tokens.keep": "tokens.patches",
    "train.column_weight": "train.marginal_relaxation",
    "train.motion_within": "train.motion_normalisation",
    "train.smoothing": "train.selection_window",
}
"""Old keys, or whole sections, to what they are called now; dotted, as one writes them with ``--set``."""

RENAMED_VALUES: dict[str, dict[str, str]] = {
    "motion.method": {
        "difference": "plain_difference",
        "registered": "temporal_registered_difference",
        "flow": "flow_beyond_rigid",
    },
}
"""Of a key, its old values to what they are called now."""


class PipelineSettings(Section):
    """All of ``params.yaml`` that comes before training.

    Example:
        >>> settings = PipelineSettings(workers=4)
        >>> settings.workers, settings.shards.clips
        (4, 32)
        >>> settings.folder("demo").as_posix()
        'data/demo'
    """

    datasets: list[str] = ["demo"]
    folds: list[Annotated[int, Field(ge=1)]] = [1, 2]
    roots: dict[str, str] = {}
    data: str = "data"
    lists: dict[str, ListFilesSettings] = {}  # data sets that come as list files
    workers: Annotated[int, Field(ge=0)] = 2  # local processes; 0 runs in this one
    clip_timeout: Positive = 120.0  # a process that is longer at one clip is killed, and the clip failed
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
    estimate: EstimateSettings = EstimateSettings()

    @field_validator("datasets", "folds")
    @classmethod
    def _named_once(cls, values: list[Any]) -> list[Any]:
        if not values:
            raise ValueError("name one at least")
        if repeated := [value for value, count in Counter(values).items() if count > 1]:
            raise ValueError(f"{repeated[0]} is named more than once")
        return values

    @field_validator("datasets", "roots", "lists")
    @classmethod
    def _are_names(cls, values: Any) -> Any:
        with naming_key():
            for name in values:
                check_name(name)
        return values

    def folder(self, dataset: str) -> Path:
        """The folder of everything made from a data set: ``data/<dataset>``.

        Raises :class:`UserError` when that cannot be a data set's name, such as one that leads elsewhere.
        """
        return Path(self.data) / check_name(dataset)


def read_settings(model: type[S], path: str | Path | None = "params.yaml", overrides: Sequence[str] = ()) -> S:
    """The file as ``model``, or the defaults if it is None, with overrides; see :func:`grace.settings.load_settings`.

    Args:
        model: The model of the whole file.
        path: The file; None for the defaults.
        overrides: ``section.key=value`` each, where the value is YAML.

    Raises:
        UserError: The file is missing or not YAML, or a key is unknown, renamed or has a wrong value.

    Example:
        >>> read_settings(PipelineSettings, None, ["faces.instants=8", "shards={clips: 16}"]).faces.instants
        8
    """
    content = {} if path is None else _read_file(Path(path))
    source, overrides = "the settings" if path is None else str(path), as_list(overrides)
    changed = deepcopy(content)
    for override in overrides:
        _apply(override, changed)
    try:
        return validate(model, changed, source)
    except UserError:
        validate(model, content, source)  # what is wrong in the file is said of the file
        return validate(model, changed, " ".join(f"--set {one_line(override, 100)}" for override in overrides))


def validate(model: type[S], content: Mapping[str, Any], source: str) -> S:
    """Make settings of keys and values, as a file holds them.

    Args:
        model: The model of the whole file.
        content: Keys and values, sections nested.
        source: What the keys come from, such as the file's name; leads the sentence of what is wrong.

    Raises:
        UserError: A key is unknown, renamed or has a wrong value.

    Example:
        >>> validate(PipelineSettings, {"faces": {"instants": 8}}, "params.yaml").faces.instants
        8
    """
    _refuse_renamed(content, source)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{source}: {_explain(error, model)}") from None


def apply_overrides(settings: S, overrides: Sequence[str]) -> S:
    """Settings with ``section.key=value`` overrides applied; keys of sections that they do not have are left out.

    Raises:
        UserError: A key of a section that they have is unknown, or has a wrong value.

    Example:
        >>> apply_overrides(PipelineSettings(), ["faces.size=96", "train.seed=3"]).faces.size
        96
    """
    content = settings.model_dump()
    for override in as_list(overrides):
        if override.partition("=")[0].strip().split(".")[0] in content:
            _apply(override, content)
    return validate(type(settings), content, "--set")


def _read_file(path: Path) -> dict[str, Any]:
    try:
        content: Any = read_yaml(path) or {}
    except FileNotFoundError:
        raise UserError(
            f"There is no settings file {path}: run from the project's folder or name one with --params."
        ) from None
    except OSError as error:
        raise UserError(f"The settings file {path} cannot be read: {error.strerror}.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold keys and values, such as 'datasets: [demo]'.")
    return content


def _apply(override: str, content: dict[str, Any]) -> None:
    """Put one ``section.key=value`` into the content of a file."""
    dotted, equals, written = override.partition("=")
    if not equals or not all(part.strip() for part in dotted.split(".")):
        raise UserError(f"--set needs section.key=value, not '{one_line(override, 100)}'.")
    value = parse_value(written, f"--set {dotted.strip()}")
    *sections, key = dotted.strip().split(".")
    named: Any = {key: value}
    for section in reversed(sections):
        named = {section: named}
    _refuse_renamed(named, f"--set {override}")
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise UserError(f"--set {override}: '{section}' is a value, not a section.")
    content[key] = value


def _refuse_renamed(content: Mapping[str, Any], source: str) -> None:
    """Raise :class:`UserError` with a sentence for each of the renamed keys and values that stand in ``content``."""
    sentences = [
        f"'{old}' is called '{new}' now." for old, new in RENAMED_KEYS.items() if _value(content, old) is not _ABSENT
    ]
    for key, renamed in RENAMED_VALUES.items():
        value = _value(content, key)
        if isinstance(value, str) and value in renamed:
            sentences.append(f"'{key}': '{value}' is called '{renamed[value]}' now.")
    if sentences:
        raise UserError(f"{source}: {' '.join(sentences)}")


_ABSENT = object()


def _value(content: Any, dotted: str) -> Any:
    """What stands under a dotted key; ``_ABSENT`` where nothing does."""
    for key in dotted.split("."):
        if not isinstance(content, Mapping) or key not in content:
            return _ABSENT
        content = content[key]
    return content


def _explain(error: ValidationError, model: type[Section]) -> str:
    """All complaints of pydantic as one sentence each, keys dotted as one writes them with ``--set``."""
    problems = error.errors()
    sentences = []
    for problem in problems[:MAX_PROBLEMS]:
        key = one_line(".".join(str(part) for part in problem["loc"]))
        if problem["type"] == "extra_forbidden":
            section = _section(model, problem["loc"][:-1])
            known = ", ".join(section.model_fields) if section else ""
            sentences.append(f"unknown key '{key}'" + (f" (known here: {known})." if known else "."))
        else:
            keys = problem["type"] in ("model_type", "model_attributes_type", "dict_type")
            message = "needs keys and values" if keys else problem["msg"].removeprefix("Value error, ").rstrip(".")
            named = problem["type"] == "value_error" and isinstance(problem["input"], list | dict | BaseModel)
            got = "" if named else f", got {_shown(problem['input'])}"  # a validator of ours names what is wrong in it
            sentences.append(f"'{key}': {message[0].lower()}{message[1:]}{got}.")
    if len(problems) > MAX_PROBLEMS:
        sentences.append(f"There are {len(problems) - MAX_PROBLEMS:,} more.")
    return " ".join(sentences)


def _shown(value: Any) -> str:
    try:
        return one_line(repr(value), 100)
    except ValueError:  # Python writes out no whole number of thousands of digits
        return "a number of thousands of digits"


def _section(whole: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The model at a location within a model; None where there is a value or a table with keys of the user's."""
    model: type[BaseModel] = whole
    for part in location:
        field = model.model_fields.get(str(part))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return None
        model = field.annotation
    return model
