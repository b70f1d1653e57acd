"""``grace tokens``: CLIP tokens of video and text, cached."""

from __future__ import annotations

from pathlib import Path

from stages._options import Dataset, Params, RetryFailed, Set, command_settings
from stages._output import run_step, user_errors


@user_errors
def command(
    dataset: Dataset = "demo",
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
    retry_failed: RetryFailed = False,
) -> None:
    """Encode face crops and descriptions with CLIP and cache every token."""
    from grace.pipeline.store import Store
    from grace.pipeline.store.virtual import write_virtual_dataset
    from grace.pipeline.tokens.class_prompts import write_class_prompts
    from grace.pipeline.tokens.step import tokens_step

    settings = command_settings(params, override, "tokens")
    step = tokens_step(settings.tokens)
    run_step(step, dataset, settings, retry_failed)
    write_class_prompts(settings.folder(dataset), step)
    write_virtual_dataset(Store(settings.folder(dataset) / step.folder, step.schema))
