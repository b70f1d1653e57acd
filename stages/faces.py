"""``grace faces``: find, track and crop the face of each clip at T instants."""

from __future__ import annotations

from pathlib import Path

from stages._output import Dataset, Params, RetryFailed, Root, Set, guarded, run_step, settings


@guarded
def command(
    dataset: Dataset = "demo",
    root: Root = None,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
    retry_failed: RetryFailed = False,
) -> None:
    """Sample T instants of every clip, find and track its face, and keep the crops."""
    from grace.pipeline.steps import step

    chosen = settings(params, override)
    run_step(step("faces", chosen, dataset, root), dataset, chosen, retry_failed)
