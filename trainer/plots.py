"""The plots of ``grace evaluate``: as CSV for ``dvc plots``, and drawn. The same scores give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from grace.pipeline.figures import encode_figure
from grace.pipeline.store import Row, write_atomic
from grace.trainer.calibration import Bin
from grace.trainer.runs import csv_table


def write_plots(
    folder: Path,
    rows: Sequence[Row],
    counts: Int[np.ndarray, "classes classes"],
    metrics: dict[str, Any],
    bins: Sequence[Bin],
    title: str,
) -> None:
    """``confusion``, ``recall`` and ``calibration``, each as ``.csv`` and ``.png``.

    ``rows`` are predictions, ``counts`` their confusion matrix, ``metrics`` holds ``recall`` and ``interval``.
    """
    names = list(metrics["recall"])
    spans = metrics["interval"]["recall"]
    bars = [
        {"label": name, "recall": metrics["recall"][name], "low": spans[name][0], "high": spans[name][1]}
        for name in names
    ]
    pairs = [{"actual": row["label"], "predicted": row["predicted"] or "missing"} for row in rows]
    write_atomic(folder / "confusion.csv", csv_table(pairs))
    write_atomic(folder / "recall.csv", csv_table(bars))
    write_atomic(folder / "calibration.csv", csv_table([asdict(row) for row in bins]))
    write_atomic(folder / "confusion.png", _confusion(counts, names, title))
    write_atomic(folder / "recall.png", _recall(bars, title))
    write_atomic(folder / "calibration.png", _calibration(bins, f"{title}, ECE {metrics['ECE']}"))


def _confusion(counts: np.ndarray, names: Sequence[str], title: str) -> bytes:
    from matplotlib.figure import Figure

    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    figure = Figure(figsize=(1.5 + 0.7 * len(names), 1.2 + 0.7 * len(names)), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), share in np.ndenumerate(shares):
        colour = "white" if share > 0.6 else "black"
        axes.text(j, i, f"{share:.0%}\n{counts[i, j]}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")
    axes.set_title(title)
    return encode_figure(figure)


def _recall(bars: Sequence[dict[str, Any]], title: str) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.5 + 0.9 * len(bars), 3.6), dpi=110, layout="constrained")
    axes = figure.subplots()
    known = [bar for bar in bars if bar["recall"] is not None]
    heights = [bar["recall"] for bar in known]
    below = [max(0.0, bar["recall"] - bar["low"]) for bar in known]
    above = [max(0.0, bar["high"] - bar["recall"]) for bar in known]
    axes.bar([bar["label"] for bar in known], heights, yerr=[below, above], capsize=3, color="#6baed6")
    axes.set_ylim(0, 1)
    axes.set_ylabel("recall, with interval")
    axes.tick_params(axis="x", rotation=30)
    axes.set_title(title)
    return encode_figure(figure)


def _calibration(bins: Sequence[Bin], title: str) -> bytes:
    """Accuracy against confidence; the stronger a bar's colour, the more clips are in it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 4.2), dpi=110, layout="constrained")
    axes = figure.subplots()
    most = max((row.clips for row in bins), default=1) or 1
    for row in bins:
        if row.accuracy is not None:
            strength = 0.25 + 0.75 * row.clips / most
            axes.bar(row.low, row.accuracy, row.high - row.low, align="edge", color="#6baed6", alpha=strength)
            axes.text((row.low + row.high) / 2, row.accuracy + 0.02, str(row.clips), ha="center", fontsize=7)
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.06)
    axes.set_xlabel("highest probability")
    axes.set_ylabel("share right (clips above the bar)")
    axes.set_title(title, fontsize=9)
    return encode_figure(figure)
