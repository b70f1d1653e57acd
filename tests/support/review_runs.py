"""More finished runs of the small data set under review."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.review_set import LABELS, write_run
from grace.pipeline.store import Clips


def add_run(
    data: Path, name: str, seed: int = 7, fold: int = 1, names: Sequence[str] = LABELS, clips: slice = slice(None)
) -> None:
    """Another finished run, tested on some of the clips of ``data/<dataset>``."""
    rows = Clips(data).rows[clips]
    labels = np.array([row["label_id"] % len(names) for row in rows])
    folder = data / "runs" / name / f"fold-{fold}"
    write_run(folder, [row["clip_id"] for row in rows], labels, np.random.default_rng(seed), fold, names)
