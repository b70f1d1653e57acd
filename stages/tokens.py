"""``grace tokens``: CLIP tokens of video and text, cached."""

from __future__ import annotations

from pathlib import Path

from stages.console import Dataset, Params, RetryFailed, Set, guarded, run_step, settings


@guarded
def command(
    dataset: Dataset = "demo",
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
    retry_failed: RetryFailed = False,
) -> None:
    """Encode face crops and descriptions with CLIP and cache every token."""
    from pipeline.store import Store
    from pipeline.store.joined import join
    from pipeline.templates import write_templates
    from pipeline.tokens import tokens_step

    chosen = settings(params, override)
    step = tokens_step(chosen.tokens)
    run_step(step, dataset, chosen, retry_failed)
    write_templates(chosen.folder(dataset), step)
    join(Store(chosen.folder(dataset) / step.folder, step.schema))
