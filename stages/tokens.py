"""``grace tokens``: CLIP tokens of video and text, cached."""

from __future__ import annotations

from pathlib import Path

from stages._output import Dataset, Params, RetryFailed, Set, guarded, run_step, settings


@guarded
def command(
    dataset: Dataset = "demo",
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
    retry_failed: RetryFailed = False,
) -> None:
    """Encode face crops and descriptions with CLIP and cache every token."""
    from grace.pipeline.store import Store
    from grace.pipeline.store.virtual import join
    from grace.pipeline.tokens.class_prompts import write_templates
    from grace.pipeline.tokens.step import tokens_step

    chosen = settings(params, override)
    step = tokens_step(chosen.tokens)
    run_step(step, dataset, chosen, retry_failed)
    write_templates(chosen.folder(dataset), step)
    join(Store(chosen.folder(dataset) / step.folder, step.schema))
