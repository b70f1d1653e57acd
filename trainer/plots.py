"""The plots of ``grace evaluate`` as PNG files, which ``dvc plots show`` puts on a page that needs no network.

The same scores give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from grace.pipeline.figures import OKABE_ITO, SEQUENTIAL, encode_figure, new_figure
from grace.pipeline.store import write_atomic

History = Sequence[Mapping[str, float]]

BAR = "#8ab8d6"
"""Of bars that need no telling apart: a light tint of the first series colour."""
GREY = "#8a8f94"


def write_plots(folder: Path, scores: Mapping[str, Any], histories: Mapping[int, History], title: str) -> None:
    """Draw ``confusion``, ``recall``, ``calibration`` and, where there is a history, ``training``.

    Args:
        folder: Where they are written.
        scores: ``recall``, ``interval``, ``confusion``, ``calibration`` and ``ECE`` of ``scores.json``.
        histories: Of each fold, its numbers by epoch.
        title: Method and protocol.
    """
    names = list(scores["recall"])
    write_atomic(folder / "confusion.png", _confusion(np.array(scores["confusion"]), names, title))
    write_atomic(folder / "recall.png", _recall(scores, title))
    write_atomic(folder / "calibration.png", _calibration(scores, title))
    if any(histories.values()):
        write_atomic(folder / "training.png", _training(histories, title))


def _confusion(counts: np.ndarray, names: Sequence[str], title: str) -> bytes:
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    figure, (axes,) = new_figure(2.9 + 0.62 * len(names), 1.6 + 0.56 * len(names))
    image = axes.imshow(shares, cmap=SEQUENTIAL, vmin=0, vmax=1)
    for (i, j), share in np.ndenumerate(shares):
        if counts[i, j]:
            colour = "white" if share > 0.6 else "black"
            axes.text(j, i, f"{share:.0%}\n{counts[i, j]}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="actual")
    axes.spines[:].set_visible(False)
    axes.set_title(f"Confusion: {title}", loc="left", fontsize=10)
    figure.colorbar(image, ax=axes, label="share of the class's clips", fraction=0.046)
    return encode_figure(figure)


def _recall(scores: Mapping[str, Any], title: str) -> bytes:
    spans = scores["interval"]["recall"]
    known = [(name, value, *spans[name]) for name, value in scores["recall"].items() if value is not None]
    figure, (axes,) = new_figure(7, 1.3 + 0.36 * len(known))
    for row, (_, value, low, high) in enumerate(known):
        axes.barh(row, value, 0.62, color=BAR)
        axes.plot([low, high], [row, row], color="black", linewidth=1.2)
        axes.plot(value, row, "o", color="black", markersize=4, clip_on=False)
    axes.axvline(1 / max(len(known), 1), color=GREY, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(known)), [name for name, *_ in known])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel=f"recall, {scores['interval']['confidence']:.0%} interval (dashed: chance)")
    axes.set_title(f"Recall: {title}", loc="left", fontsize=10)
    return encode_figure(figure)


def _calibration(scores: Mapping[str, Any], title: str) -> bytes:
    """Accuracy against confidence, and beneath the diagonal how many clips are that confident."""
    bins = [each for each in scores["calibration"] if each["accuracy"] is not None]
    figure, (axes,) = new_figure(5.2, 4.4)
    for each in bins:
        axes.bar(each["low"], each["accuracy"], each["high"] - each["low"], align="edge", color=BAR, edgecolor="white")
        middle = (each["low"] + each["high"]) / 2
        axes.text(middle, each["accuracy"] + 0.015, f"{each['clips']}", ha="center", fontsize=8)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, 1.08), xlabel="confidence", ylabel="share right (clips above the bar)")
    error = "none" if scores["ECE"] is None else f"{scores['ECE']:.3f}"
    axes.set_title(f"Calibration, ECE {error}: {title}", loc="left", fontsize=10)
    return encode_figure(figure)


def _training(histories: Mapping[int, History], title: str) -> bytes:
    """The loss and the score by which an epoch is chosen, a line per fold."""
    score = (
        "best_test_uar"
        if any("best_test_uar" in row for rows in histories.values() for row in rows)
        else "validation_uar"
    )
    figure, panels = new_figure(9, 3.4, 2)
    for axes, column in zip(panels, ("loss", score), strict=True):
        for number, (fold, rows) in enumerate(histories.items()):
            points = [(row["epoch"], row[column]) for row in rows if column in row]
            if points:
                style = "-" if number < len(OKABE_ITO) else "--"
                axes.plot(
                    *zip(*points, strict=True), style, color=OKABE_ITO[number % len(OKABE_ITO)], label=f"fold {fold}"
                )
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set(xlabel="epoch", ylabel=column.replace("_", " ").replace("uar", "UAR"))
    panels[1].set_ylim(0, 1)
    panels[1].legend(frameon=False, fontsize=8, ncols=2, loc="lower right")
    panels[0].set_title(f"Training: {title}", loc="left", fontsize=10)
    return encode_figure(figure)
