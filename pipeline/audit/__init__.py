"""What is in texts about faces, counted: lengths, repeats, emotions, regions, how much of the label, how much truth.

``sources`` reads a data set's texts or anybody's table, ``words`` is what is looked for, ``measures`` counts,
``classifier`` says how much of the label the words hold, ``truth`` compares with the rendered world, ``tables`` and
``plots`` show it. Everything shown is in the report, and the report is plain JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grace.pipeline.errors import UserError
from grace.pipeline.store import write_atomic

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from grace.pipeline.audit.ground_truth import Truth
    from grace.pipeline.audit.sources import Texts

METRICS = "metrics.json"
PLOTS = "plots"


def audit(texts: Texts, tokenizer: PreTrainedTokenizerFast, truth: Truth | None = None) -> dict[str, Any]:
    """The report: for each kind of text all measures, what a bag of words makes of it, and, with ``truth``, how true.

    With a truth, captions and descriptions, ``refining`` says what the second lost and gained over the first.
    """
    from grace.pipeline.audit.classifier import bag_of_words
    from grace.pipeline.audit.ground_truth import truthfulness
    from grace.pipeline.audit.measures import measure

    report: dict[str, Any] = {}
    for name, each in texts.items():
        report[name] = measure(each, tokenizer)
        if (learnt := bag_of_words(each)) is not None:
            report[name]["bag_of_words"] = learnt
        if truth is not None:
            report[name]["truth"] = truthfulness(each, truth)
    if truth is not None and {"caption", "description"} <= report.keys():
        report["refining"] = refining(report["caption"]["truth"], report["description"]["truth"])
    return report


def refining(caption: dict[str, Any], description: dict[str, Any]) -> dict[str, float]:
    """What descriptions have over captions; a loss is below zero."""
    gained = {
        f"{what}_{kind}_gained": description[what][kind] - caption[what][kind]
        for what in ("actions", "regions", "order")
        for kind in ("precision", "recall")
    }
    gained["specificity_gained"] = description["specificity"] - caption["specificity"]
    return {name: round(value, 4) for name, value in gained.items()}


def load_tokenizer(name: str, revision: str | None = None) -> PreTrainedTokenizerFast:
    """The tokenizer of a CLIP, by folder or hub id. Raises :class:`UserError` when it cannot be had."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast
    from transformers.utils import logging

    from grace.pipeline.checkpoints import model_folder, model_name

    logging.set_verbosity_error()  # texts beyond the model's length are what is being counted
    folder = model_folder(name)
    source = str(folder) if folder.is_dir() else name
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        said = " ".join(str(error).split())[:160]
        raise UserError(f"There is no tokenizer '{name}': name a CLIP with --tokenizer ({said}).") from None
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UserError(f"The tokenizer of {name} does not tell where its tokens stand: name another with --tokenizer.")
    tokenizer.name_or_path = model_name(name)
    return tokenizer


def write_report(report: dict[str, Any], folder: Path) -> None:
    """``metrics.json`` (its numbers are what ``dvc metrics`` shows) and the plots, in ``folder``."""
    from grace.pipeline.audit.plots import draw

    write_atomic(folder / METRICS, (json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode())
    for name, picture in draw(report).items():
        write_atomic(folder / PLOTS / f"{name}.png", picture)
