"""``grace refine``: a language model refines captions into fine descriptions (CATE)."""

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
    """Refine every caption into a fine description and its cues (region, action, intensity, phase)."""
    from grace.pipeline.steps import step

    chosen = settings(params, override)
    run_step(step("refine", chosen, dataset), dataset, chosen, retry_failed)
