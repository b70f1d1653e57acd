"""``grace motion``: where the face moves, once head, camera and cuts are taken out."""

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
    """Turn frame differences into motion maps that show expression, not head or camera motion."""
    from grace.pipeline.steps import make_step

    settings = command_settings(params, override, "motion")
    run_step(make_step("motion", settings, dataset), dataset, settings, retry_failed)
