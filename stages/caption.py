"""``grace caption``: a vision-language model writes a coarse caption of each clip."""

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
    """Write a coarse caption of every clip: what the face does, in time order, no emotion named."""
    from grace.pipeline.steps import step

    chosen = settings(params, override)
    run_step(step("caption", chosen, dataset), dataset, chosen, retry_failed)
