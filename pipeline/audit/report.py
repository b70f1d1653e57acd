"""The report of an audit, as plain JSON and plots: everything that is shown is in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grace.pipeline.audit.classifier import bag_of_words
from grace.pipeline.audit.ground_truth import GroundTruth, truthfulness
from grace.pipeline.audit.measures import measure
from grace.pipeline.audit.plots import draw
from grace.pipeline.audit.sources import TextsByKind
from grace.pipeline.store import write_atomic

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

METRICS = "metrics.json"
PLOTS = "plots"


def audit(texts: TextsByKind, tokenizer: PreTrainedTokenizerFast, truth: GroundTruth | None = None) -> dict[str, Any]:
    """Audit texts about faces.

    Args:
        texts: The texts by kind, as :func:`read_dataset_texts` and :func:`read_table_texts` give them.
        tokenizer: The tokenizer whose tokens are counted, as :func:`load_fast_tokenizer` opens it.
        truth: What happened in each clip, where the clips are of the rendered world.

    Returns:
        For each kind of text all measures, ``bag_of_words`` where there are labels enough, and with ``truth`` how much
        of it is true (``truth``). Where captions and descriptions have a truth, ``refining`` is what descriptions
        gained over captions. All of it is plain JSON.

    Example:
        >>> from grace.pipeline.audit import AuditedText, load_fast_tokenizer
        >>> texts = {"caption": [AuditedText("a", "The brows rise, then the jaw drops.", label="surprise")]}
        >>> report = audit(texts, load_fast_tokenizer("pocket/clip"))
        >>> report["caption"]["words"]["mean"], report["caption"]["regions"]["mean"]
        (7.0, 2.0)
    """
    report: dict[str, Any] = {}
    for name, each in texts.items():
        report[name] = measure(each, tokenizer)
        if (classified := bag_of_words(each)) is not None:
            report[name]["bag_of_words"] = classified
        if truth is not None:
            report[name]["truth"] = truthfulness(each, truth)
    if truth is not None and {"caption", "description"} <= report.keys():
        report["refining"] = refining(report["caption"]["truth"], report["description"]["truth"])
    return report


def refining(caption: dict[str, Any], description: dict[str, Any]) -> dict[str, float]:
    """What descriptions gained over captions; a loss is negative."""
    gained = {
        f"{what}_{kind}_gained": description[what][kind] - caption[what][kind]
        for what in ("actions", "regions", "order")
        for kind in ("precision", "recall")
    }
    gained["specificity_gained"] = description["specificity"] - caption["specificity"]
    return {name: round(value, 4) for name, value in gained.items()}


def write_report(report: dict[str, Any], folder: Path) -> None:
    """``metrics.json`` (`dvc metrics show FILE` prints it; the table of scores leaves it out) and the plots."""
    write_atomic(folder / METRICS, (json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode())
    for name, plot in draw(report).items():
        write_atomic(folder / PLOTS / f"{name}.png", plot)
