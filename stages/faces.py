"""``grace faces``: find, track and crop the face of each clip at T instants."""

from __future__ import annotations

from pathlib import Path

from stages._options import Dataset, Params, RetryFailed, Root, Set, command_settings
from stages._output import run_step, user_errors


@user_errors
def command(
    dataset: Dataset = "demo",
    root: Root = None,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
    retry_failed: RetryFailed = False,
) -> None:
    """Sample T instants of every clip, find and track its face, and keep the crops."""
    from grace.pipeline.steps import make_step

    settings = command_settings(params, override, "faces")
    run_step(make_step("faces", settings, dataset, root), dataset, settings, retry_failed)
