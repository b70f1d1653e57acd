"""Joins the folds of a method into scores, plots and the table that papers print."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.store import Clips, GraceError, Row, Store, UserError, commit, read_table
from pipeline.store.schemas import DESCRIPTIONS, PREDICTIONS
from trainer.metrics import MISSING, bootstrap, confusion, recall, scores, uar, war
from trainer.protocol import PREFIX
from trainer.train import FILES, read_config, run_folder

if TYPE_CHECKING:
    from rich.table import Table


def evaluate(
    dataset_folder: Path,
    method: str,
    folds: Sequence[int],
    samples: int = 1000,
    confidence: float = 0.95,
    runs: Path | None = None,
) -> dict[str, Any]:
    """Scores of all ``folds`` of a method together; writes ``metrics.json`` and ``plots/`` into ``dataset_folder``.

    UAR and WAR are means over the folds, as the field reports them; intervals, recall, pairs and confusion are of all
    test clips together. Clips that could not be scored count as wrong. Raises :class:`UserError` when a fold is not
    trained or folds follow different protocols, :class:`GraceError` when the label was visible to a test clip's text.
    """
    folder = Path(dataset_folder)
    labels = Clips(folder, ["label"]).labels
    predictions: dict[int, list[Row]] = {}
    protocols: dict[int, str] = {}
    for fold in folds:
        run = run_folder(runs or folder / "runs", method, fold)
        _check_run(run, labels)
        predictions[fold] = read_table(run / "predictions.parquet", PREDICTIONS)
        protocols[fold] = str(read_config(run)["protocol"])
    if not predictions:
        raise UserError("No fold was named: set folds in params.yaml, such as [1, 2].")
    if len(set(protocols.values())) > 1:
        raise UserError(f"The folds of {method} follow different protocols ({protocols}): train them alike.")
    refuse_label_informed(folder, [row["clip_id"] for rows in predictions.values() for row in rows])
    protocol = protocols[folds[0]]
    metrics = _join(predictions, labels, samples, confidence)
    prefix = PREFIX[protocol]
    result = {"method": method, "protocol": protocol, **{f"{prefix}{name}": value for name, value in metrics.items()}}
    commit(folder / "metrics.json", (json.dumps(result, indent=2) + "\n").encode())
    _plot(folder / "plots", predictions, labels, metrics, f"{method}, protocol {protocol}")
    return result


def refuse_label_informed(dataset_folder: Path, clip_ids: Sequence[str]) -> None:
    """Raise :class:`GraceError` when the text of any of these clips was written with its label in sight."""
    store = Store(Path(dataset_folder) / "descriptions", DESCRIPTIONS)
    if not store.shards():
        return
    scored = set(clip_ids)
    seen = [row["clip_id"] for row in store.rows(["clip_id", "label_visible"]) if row["label_visible"]]
    if leaked := sorted(scored.intersection(seen)):
        raise GraceError(
            f"{len(leaked)} test clips ({leaked[0]} among them) have text that was written with the label in the "
            f"prompt; such clips are never scored: set refine.use_label to false and run refine, tokens, train again."
        )


def paper_table(result: dict[str, Any]) -> Table:
    """The scores as papers print them: folds as rows, classes as columns, the mean and its interval below."""
    from rich.box import HORIZONTALS
    from rich.table import Table

    prefix = PREFIX[result["protocol"]]
    get = {name.removeprefix(prefix): value for name, value in result.items()}
    best = " (test fold chose the epoch)" if result["protocol"] == "best-test" else ""
    title = f"{result['method']}, protocol {result['protocol']}{best}, recall in %"
    table = Table(title=title, box=HORIZONTALS, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("fold", *(_short(label) for label in get["recall"]), "UAR", "WAR", "n", "lost"):
        table.add_column(name, justify="left" if name == "fold" else "right", no_wrap=True)
    for fold, scored in get["folds"].items():
        table.add_row(fold, *_cells(scored), str(scored["clips"]), str(scored["missing"]))
    table.add_section()
    table.add_row("mean", *_cells(get), str(get["clips"]), str(get["missing"]))
    spans = get["interval"]
    bounds = [*(spans["recall"][name] for name in get["recall"]), spans["UAR"], spans["WAR"]]
    for side, name in enumerate(("from", "to")):
        table.add_row(f"{spans['confidence']:.0%} {name}", *(_percent(bound[side]) for bound in bounds), "", "")
    if get["missing"]:
        table.caption = f"{get['missing']} of {get['clips']} test clips could not be scored and count as wrong."
    return table


def _short(label: str) -> str:
    """A column's heading, as papers abbreviate it: ``hap.``"""
    return label if len(label) <= 4 else f"{label[:3]}."


def _check_run(run: Path, labels: list[str]) -> None:
    if missing := [name for name in FILES if not (run / name).exists()]:
        raise UserError(f"{run} lacks {', '.join(missing)}: run `grace train` for this fold first.")
    if read_config(run)["labels"] != labels:
        raise UserError(f"{run} was trained on other classes than clips.parquet lists: run `grace train` again.")


def _places(rows: Sequence[Row], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    place = {name: index for index, name in enumerate(names)}
    labels = np.array([place[row["label"]] for row in rows], dtype=np.int64)
    return labels, np.array([place.get(row["predicted"], MISSING) for row in rows], dtype=np.int64)


def _join(predictions: dict[int, list[Row]], names: list[str], samples: int, confidence: float) -> dict[str, Any]:
    classes = len(names)
    each = {fold: scores(*_places(rows, names), names) for fold, rows in predictions.items()}
    labels, predicted = _places([row for rows in predictions.values() for row in rows], names)
    together = scores(labels, predicted, names)

    def everything(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.array([uar(a, b, classes), war(a, b), *recall(a, b, classes)])

    low, high = bootstrap(everything, labels, predicted, samples, confidence).round(6).tolist()
    bounds = [[a, b] if np.isfinite(a) else [None, None] for a, b in zip(low, high, strict=True)]
    interval = {
        "confidence": confidence,
        "UAR": bounds[0],
        "WAR": bounds[1],
        "recall": dict(zip(names, bounds[2:], strict=True)),
    }
    means = {name: round(float(np.mean([scored[name] for scored in each.values()])), 6) for name in ("UAR", "WAR")}
    return {**together, **means, "interval": interval, "folds": {str(fold): scored for fold, scored in each.items()}}


def _cells(scored: dict[str, Any]) -> list[str]:
    return [_percent(value) for value in (*scored["recall"].values(), scored["UAR"], scored["WAR"])]


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _plot(
    folder: Path, predictions: dict[int, list[Row]], names: list[str], metrics: dict[str, Any], title: str
) -> None:
    """``confusion.csv`` (for ``dvc plots``), ``recall.csv``, and both as pictures."""
    rows = [row for of_fold in predictions.values() for row in of_fold]
    pairs = [{"actual": row["label"], "predicted": row["predicted"] or "missing"} for row in rows]
    commit(folder / "confusion.csv", _csv(pairs))
    spans = metrics["interval"]["recall"]
    bars = [
        {"label": name, "recall": metrics["recall"][name], "low": spans[name][0], "high": spans[name][1]}
        for name in names
    ]
    commit(folder / "recall.csv", _csv(bars))
    commit(folder / "confusion.png", _draw_confusion(confusion(*_places(rows, names), len(names)), names, title))
    commit(folder / "recall.png", _draw_recall(bars, title))


def _csv(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def _draw_confusion(counts: np.ndarray, names: list[str], title: str) -> bytes:
    from matplotlib.figure import Figure

    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    figure = Figure(figsize=(1.5 + 0.7 * len(names), 1.2 + 0.7 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), share in np.ndenumerate(shares):
        axes.text(
            j,
            i,
            f"{share:.0%}\n{counts[i, j]}",
            ha="center",
            va="center",
            color="white" if share > 0.6 else "black",
            fontsize=8,
        )
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")
    axes.set_title(title)
    return _png(figure)


def _draw_recall(bars: list[dict[str, Any]], title: str) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.5 + 0.9 * len(bars), 3.6), layout="constrained")
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
    return _png(figure)


def _png(figure: Any) -> bytes:
    """The picture without the name and version of what drew it, so that the same scores give the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
