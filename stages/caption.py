"""``grace caption``: a vision-language model writes a coarse caption of each clip."""

from __future__ import annotations

from pathlib import Path

from stages._options import Dataset, Params, RetryFailed, Set, load_settings
from stages._output import run_step, user_errors


@user_errors
def command(
    dataset: Dataset = "demo",
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
    retry_failed: RetryFailed = False,
) -> None:
    """Write a coarse caption of every clip: what the face does, in time order, no emotion named."""
    from grace.pipeline.steps import make_step

    settings = load_settings(params, override, "caption")
    run_step(make_step("caption", settings, dataset), dataset, settings, retry_failed)
