"""``grace refine``: a language model refines captions into fine descriptions (CATE)."""

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
    """Refine every caption into a fine description and its cues (region, action, intensity, phase)."""
    from grace.pipeline.steps import make_step

    settings = command_settings(params, override, "refine")
    run_step(make_step("refine", settings, dataset), dataset, settings, retry_failed)
