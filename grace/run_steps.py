"""Whether settings are those that made what a run is trained on, and whether its steps still are what they were."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from grace.pipeline.checkpoints import model_name
from grace.pipeline.errors import UserError
from grace.pipeline.messages import one_line
from grace.pipeline.settings import PipelineSettings
from grace.pipeline.steps import STEPS, make_step, step_sections
from grace.pipeline.store import Clips, read_table
from grace.pipeline.store.schemas import TEMPLATES, TEMPLATES_FILE
from grace.trainer.cross_dataset import differences
from grace.trainer.provenance import steps_of
from grace.trainer.runs import RunConfig

SHOWN_KEYS = 5
"""Keys that one sentence names."""


def settings_of_cache(folder: Path, settings: PipelineSettings) -> dict[str, Any]:
    """The sections of all steps, as a run keeps them, of settings that made what lies in the cache.

    Warns of a stage whose model is not on this machine: whether that is the one that was used is not known then.

    Args:
        folder: ``data/<dataset>``.
        settings: Those that are said to have made it. What changes no result (devices, workers, batches) may differ.

    Raises:
        UserError: A store was made with other settings.
    """
    found: list[tuple[str, str, Any, Any]] = []
    unknown = []
    for stage, of_store in steps_of(folder).items():
        if "version" not in of_store:  # no step of ours made it: settings say nothing of it
            continue
        recorded = of_store["cache_key"]
        try:
            step = make_step(stage, settings, root=".")
            version, now = step.version, _plain(step.cache_key())
        except UserError as error:  # a model that is not on this machine: training needs none
            version, now = of_store["version"], _as_named(recorded, step_sections(settings)[stage])
            unknown.append(f"Whether {folder} was made with the model that {stage} names is not known: {error}")
        for key, made, here in differences(recorded, now):
            if version == of_store["version"] or None not in (made, here):  # other versions have other keys
                found.append((stage, f"{stage}.{key}".rstrip("."), made, here))
    found += [("tokens", f"tokens.class_prompts.{name}", *each) for name, *each in _changed_prompts(folder, settings)]
    if found:
        keys = [f"{key} {_shown(made)}, not {_shown(here)}" for _, key, made, here in found[:SHOWN_KEYS]]
        more = f"; and {len(found) - SHOWN_KEYS} more" if len(found) > SHOWN_KEYS else ""
        raise UserError(
            f"{folder} was made with other settings ({'; '.join(keys)}{more}): run `grace {found[0][0]}` and the "
            "stages after it with these settings, or use those that it was made with."
        )
    for sentence in unknown:
        warnings.warn(sentence, stacklevel=2)
    return step_sections(settings)


def _as_named(recorded: Mapping[str, Any], section: Mapping[str, Any]) -> dict[str, Any]:
    """A cache key as a section would have it, with the content of its models and prompts left as it is recorded."""
    now = dict(recorded)
    for key in recorded.keys() & section.keys():
        made, named = recorded[key], section[key]
        if key == "engine" and isinstance(made, Mapping):  # its keys are the section's
            now[key] = _as_named(made, section)
        elif not isinstance(made, Mapping):
            now[key] = named
        elif key != "prompt":
            names = map(model_name, _named_models(key, section))
            now[key] = {**made, "name": next((name for name in names if name != made["name"]), made["name"])}
    return now


def _named_models(key: str, section: Mapping[str, Any]) -> list[str]:
    """The models that a section names for a key of its cache key: ``model`` stands for both sides of ``tokens``."""
    sides = {side: section.get(side) or section["model"] for side in ("vision", "text_encoder")}
    return [sides[key]] if key in sides else list(sides.values())


def _changed_prompts(folder: Path, settings: PipelineSettings) -> Iterator[tuple[str, Any, Any]]:
    """The classes whose prompts are not those that were encoded, with both."""
    from grace.pipeline.store.formats import decode_meta
    from grace.pipeline.tokens.class_prompts import class_sentences

    path = folder / "tokens" / TEMPLATES_FILE
    if not path.exists() or "fingerprint" not in decode_meta(TEMPLATES, path):
        return
    encoded: dict[str, list[str]] = {}
    for row in read_table(path, TEMPLATES, ["label", "prompt"]):
        encoded.setdefault(row["label"], []).append(row["prompt"])
    for label, sentences in class_sentences(Clips(folder, ()).labels, settings.tokens.class_prompts).items():
        if label in encoded and encoded[label] != sentences:
            yield label, encoded[label], sentences


def check_steps(run: Path, config: RunConfig, settings: PipelineSettings) -> None:
    """Refuse a run whose tokens were made by other models or settings than its steps have here.

    Settings name a model; what is in its folder may have been replaced since, or the package that ships it upgraded.

    Warns of steps that the run says nothing of, or whose code gives other results than at its time.

    Args:
        run: The run's folder.
        config: Its ``config.yaml``.
        settings: With which videos are to be treated.

    Raises:
        UserError: A step would not give what the run was trained on, or a model of it is not there.
    """
    of_cache = [(stage, {"cache_key": key}) for stage, key in config.cache.items()]
    made = [*of_cache, *(config.steps or {}).items()]
    changed = []
    for stage, of_run in made:
        step = make_step(stage, settings, root=".")
        for key, there, here in differences(of_run["cache_key"], _plain(step.cache_key())):
            raise UserError(
                f"The run {run} was trained on what {stage} made with {f'{stage}.{key}'.rstrip('.')} {_shown(there)}, "
                f"and here that is {_shown(here)}: put the run's models in their place, or train a run with these."
            )
        if of_run.get("version", step.version) != step.version:
            changed.append(stage)
    if changed:
        warnings.warn(
            f"Since the run {run} was trained, {', '.join(changed)} of this version of GRACE give other results: its "
            "predictions may differ from its scores. Train it again.",
            stacklevel=3,
        )
    if unknown := [stage for stage in STEPS if stage not in dict(made)]:
        warnings.warn(
            f"The run {run} does not say with which models {', '.join(unknown)} made what it was trained on, so that "
            "they cannot be checked: train it again to be sure.",
            stacklevel=3,
        )


def _plain(cache_key: dict[str, Any]) -> Any:
    """A cache key as it is read back from a file."""
    return json.loads(json.dumps(cache_key))


def _shown(value: Any) -> str:
    return one_line(repr(value), 80)
