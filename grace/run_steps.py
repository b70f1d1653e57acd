"""Whether the steps that treat a video now are those that made the tokens which a run was trained on."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from grace.pipeline.errors import UserError
from grace.pipeline.messages import one_line
from grace.pipeline.settings import PipelineSettings
from grace.pipeline.steps import STEPS, make_step
from grace.trainer.cross_dataset import differences
from grace.trainer.runs import RunConfig


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
