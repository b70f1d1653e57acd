"""What `dvc repro` would do after a command, and which files that a stage reads it does not look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from grace.pipeline.steps import STEPS, same_result

if TYPE_CHECKING:
    from grace.settings import Settings

PARAMS, PIPELINE = Path("params.yaml"), Path("dvc.yaml")

READS: dict[str, tuple[str, ...]] = {
    "index": ("roots", "lists", "index", "world"),
    **{stage: (stage, "shards") for stage in STEPS},
    "train": ("train",),
    "evaluate": ("evaluate", "folds", "train.method", "train.seeds"),
}
"""Keys and sections that each stage's result depends on: ``params`` of dvc.yaml."""
FILES: dict[str, tuple[str, ...]] = {
    "index": ("refine.overrides",),
    "faces": ("faces.detector_model",),
    "caption": ("caption.model", "caption.prompt"),
    "refine": ("refine.model", "refine.prompt", "refine.overrides"),
    "tokens": ("tokens.model", "tokens.vision", "tokens.text_encoder"),
    "evaluate": ("evaluate.published",),
}
"""Keys whose values may be files or folders of the user's: a stage's result depends on their content."""
ANSWERED = ("caption", "refine")
"""Stages whose answers of models are kept apart from their shards."""


def remark(stage: str, settings: Settings) -> str:
    """The sentence that a command prints when params.yaml would give another result; empty when it would not.

    Args:
        stage: The command.
        settings: What it runs with.
    """
    from grace.pipeline.errors import UserError
    from grace.settings import load_settings

    if not (PARAMS.is_file() and PIPELINE.is_file()):
        return ""  # no project of DVC
    try:
        filed = load_settings(PARAMS)
    except UserError:
        return ""  # `dvc repro` says what is wrong with it
    keys = [key for key in _differing(settings.model_dump(), filed.model_dump()) if _is_read(key, stage)]
    if not keys or not _changes_result(stage, settings, filed):
        return ""
    differ = f"{', '.join(keys)} {'differs' if len(keys) == 1 else 'differ'} from params.yaml"
    if stage == "train" and "train.method" in keys:
        return f"{differ}: `dvc repro` does not know this run and leaves it as it is."
    kept = "; answers of models are kept, none is asked for twice" if stage in ANSWERED else ""
    return f"{differ}: `dvc repro` would do {stage} again with params.yaml's settings{kept}."


def unwatched(stage: str, settings: Settings) -> str:
    """The sentence about files that a stage reads and that dvc.yaml does not name; empty when it names all.

    Args:
        stage: The command.
        settings: What it runs with.

    Returns:
        A sentence with the files and what to do: DVC compares only what it is told of, and would skip the stage.
    """
    from grace.pipeline.errors import UserError
    from grace.pipeline.strict_yaml import read_yaml

    if not PIPELINE.is_file():
        return ""
    try:
        watched = [Path(str(dep)).resolve() for dep in (read_yaml(PIPELINE)["stages"][stage].get("deps") or ())]
    except (UserError, OSError, KeyError, TypeError, AttributeError):
        return ""  # `dvc repro` says what is wrong with it
    content = settings.model_dump()
    named = [str(value) for key in FILES.get(stage, ()) if (value := _value(content, key))]
    found = [file for file in dict.fromkeys(named) if Path(file).exists()]
    missed = [file for file in found if not any(Path(file).resolve().is_relative_to(dep) for dep in watched)]
    if not missed:
        return ""
    changes, them = ("it changes", "it") if len(missed) == 1 else ("they change", "them")
    return (
        f"dvc.yaml does not name {', '.join(missed)}: `dvc repro` does not see when {changes}; add {them} to the deps "
        f"of {stage} there."
    )


def _value(content: object, dotted: str) -> object:
    for key in dotted.split("."):
        content = content.get(key) if isinstance(content, dict) else None
    return content


def _differing(ours: object, theirs: object, prefix: str = "") -> list[str]:
    """Dotted names of the values that differ."""
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        return [] if ours == theirs else [prefix]
    names = [*ours, *(name for name in theirs if name not in ours)]
    return [
        key
        for name in names
        for key in _differing(ours.get(name), theirs.get(name), f"{prefix}.{name}" if prefix else str(name))
    ]


def _is_read(key: str, stage: str) -> bool:
    return any(key == read or key.startswith(f"{read}.") for read in READS[stage])


def _changes_result(stage: str, settings: Settings, filed: Settings) -> bool:
    """Whether the differing keys change what a stage writes; others say where and how fast it runs."""
    from grace.pipeline.errors import UserError

    if stage == "train":
        return settings.train.cache_key() != filed.train.cache_key()
    if stage not in STEPS or settings.shards != filed.shards:
        return True
    try:
        return not same_result(stage, settings, filed)
    except UserError:
        return True  # a model that is not there
