"""Plots of a report, as PNG files: lengths, emotions against labels, regions and actions, ground truth."""

from __future__ import annotations

from typing import Any

from grace.pipeline.figures import OKABE_ITO, SEQUENTIAL, encode_figure, new_figure


def draw(report: dict[str, Any]) -> dict[str, bytes]:
    """PNG bytes by name: ``lengths``, ``coverage`` and, where there are labels or a truth, ``emotions``, ``truth``."""
    texts = {name: found for name, found in report.items() if name != "refining" and "mean" in found["words"]}
    if not texts:
        return {}
    plots = {"lengths": _lengths(texts), "coverage": _coverage(texts)}
    if any("against_label" in found["emotion"] for found in texts.values()):
        plots["emotions"] = _emotions(texts)
    if any("truth" in found for found in texts.values()):
        plots["truth"] = _truth(texts)
    return plots


def _lengths(texts: dict[str, Any]) -> bytes:
    from grace.pipeline.audit.measures import BIN_TOKENS, CLIP_WINDOW

    figure, (axes,) = new_figure(7, 3.2)
    for (name, found), colour in zip(texts.items(), OKABE_ITO, strict=False):
        starts, counts = zip(*found["tokens"]["histogram"], strict=True)
        axes.bar(starts, counts, BIN_TOKENS, align="edge", alpha=0.65, color=colour, label=name)
    axes.set_xlim(left=0)
    axes.axvline(CLIP_WINDOW, color="black", linewidth=1)
    axes.text(CLIP_WINDOW, axes.get_ylim()[1], f" CLIP reads {CLIP_WINDOW}", va="top")
    tokenizer = next(iter(texts.values()))["tokens"]["tokenizer"]
    axes.set(xlabel=f"tokens of {tokenizer}", ylabel="texts")
    axes.legend(frameon=False)
    return encode_figure(figure)


def _coverage(texts: dict[str, Any]) -> bytes:
    import numpy as np

    figure, panels = new_figure(9, 5, 2)
    for axes, what in zip(panels, ("regions", "actions"), strict=True):
        names = list(next(iter(texts.values()))[what]["share"])
        positions, thickness = np.arange(len(names)), 0.8 / len(texts)
        for series, ((name, found), colour) in enumerate(zip(texts.items(), OKABE_ITO, strict=False)):
            shares = [100 * found[what]["share"][each] for each in names]
            axes.barh(
                positions + (series - (len(texts) - 1) / 2) * thickness, shares, thickness, color=colour, label=name
            )
        axes.set_yticks(positions, names)
        axes.invert_yaxis()
        axes.set(xlabel="% of texts that name it", title=what)
    panels[0].legend(frameon=False)
    return encode_figure(figure)


def _emotions(texts: dict[str, Any]) -> bytes:
    """Rows are labels, columns what the texts claim; a frame marks claims of the label itself."""
    import numpy as np
    from matplotlib.patches import Rectangle

    shown = {name: found for name, found in texts.items() if "against_label" in found["emotion"]}
    rows = max(len(found["emotion"]["against_label"]["table"]["labels"]) for found in shown.values())
    figure, panels = new_figure(6.4 * len(shown), 2.0 + 0.38 * rows, len(shown))
    for axes, (name, found) in zip(panels, shown.items(), strict=True):
        table = found["emotion"]["against_label"]["table"]
        shares = 100 * np.array(table["share"])
        axes.imshow(shares, cmap=SEQUENTIAL, vmin=0, vmax=100, aspect="auto")
        for row, column in np.ndindex(shares.shape):
            dark = shares[row, column] > 60
            axes.text(
                column, row, f"{shares[row, column]:.0f}", ha="center", va="center", color="white" if dark else "black"
            )
        for index in range(len(table["labels"])):
            axes.add_patch(
                Rectangle((index - 0.5, index - 0.5), 1, 1, fill=False, linewidth=1.5, edgecolor=OKABE_ITO[1])
            )
        axes.set_xticks(range(len(table["claims"])), table["claims"], rotation=40, ha="right")
        axes.set_yticks(range(len(table["labels"])), table["labels"])
        axes.set(xlabel="emotion that words claim, % of the label's texts", ylabel="label", title=name)
        axes.spines[:].set_visible(False)
    return encode_figure(figure)


def _truth(texts: dict[str, Any]) -> bytes:
    import numpy as np

    figure, (axes,) = new_figure(7, 3.2)
    shown = {name: found["truth"] for name, found in texts.items() if "truth" in found}
    kinds = [(what, kind) for what in ("actions", "regions", "order") for kind in ("precision", "recall")]
    positions, thickness = np.arange(len(kinds) + 1), 0.8 / len(shown)
    for series, ((name, scores), colour) in enumerate(zip(shown.items(), OKABE_ITO, strict=False)):
        values = [*(100 * scores[what][kind] for what, kind in kinds), 100 * scores["specificity"]]
        bars = axes.bar(
            positions + (series - (len(shown) - 1) / 2) * thickness, values, thickness, color=colour, label=name
        )
        axes.bar_label(bars, fmt="%.0f", fontsize=8)
    axes.set_xticks(positions, [*(f"{what}\n{kind}" for what, kind in kinds), "specificity"])
    axes.set(ylim=(0, 112), ylabel="%")
    axes.legend(frameon=False, ncols=len(shown), loc="upper right")
    return encode_figure(figure)
