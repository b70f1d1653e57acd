"""A run as a folder for a model hub, which :meth:`grace.GraceClassifier.from_pretrained` opens again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from grace.export.folders import claim_export
from grace.pipeline.checkpoints import is_installed
from grace.pipeline.store import write_atomic
from grace.trainer.provenance import check_place, refuse_label_informed
from grace.trainer.runs import RunConfig, check_file, encode_config, file_digests, open_run
from grace.trainer.settings import PREFIX

KEPT = ("model.safetensors", "metrics.json", "history.csv")
"""Files of a run that are handed on; its predictions hold the labels of a data set, and stay."""


def export_model(run: Path, folder: Path, dataset: str) -> list[str]:
    """Write a finished run as a folder for a hub: weights, configuration, metrics and a model card.

    Args:
        run: A fold's run folder.
        folder: Where to; made if it is not there.
        dataset: The data set that it was trained on, for the card.

    Returns:
        Models that the run's settings name as folders of this machine: who opens the export needs them there as well.

    Raises:
        UserError: The run is missing, unfinished, damaged or in the place of another one, or the folder holds other
            files.
        GraceError: The label was visible to the text of one of its test clips: its scores mean nothing.
    """
    found = open_run(run)
    check_place(run, found.config)
    refuse_label_informed(found.predictions)
    claim_export(folder, "model")
    for name in (*KEPT, "README.md"):
        content = check_file(run, found.config, name).read_bytes()
        if name == "README.md":
            content = _card(content.decode("utf-8"), found.config, found.metrics, dataset)
        write_atomic(folder / name, content)
    digests = file_digests(folder, (*KEPT, "README.md"))
    write_atomic(folder / "config.yaml", encode_config(found.config.model_copy(update={"files": digests})))
    return local_models(found.config)


def local_models(config: RunConfig) -> list[str]:
    """The settings of a run that name a folder of this machine, such as ``tokens.model=/models/clip``."""
    found = []
    for stage, section in (config.pipeline or {}).items():
        for key in ("model", "vision", "text_encoder", "detector_model"):
            value = section.get(key)
            if not isinstance(value, str) or is_installed(value):
                continue
            if value.startswith(("/", "~", ".")) or Path(value).is_dir():
                found.append(f"{stage}.{key}={value}")
    return found


def _card(card: str, config: RunConfig, metrics: dict[str, Any], dataset: str) -> bytes:
    """The run's own card with what a hub asks for, and what whoever opens it must know."""
    _, front, body = card.split("---\n", 2)
    prefix = PREFIX[config.protocol]
    scores = [
        {"type": name.lower(), "name": f"{prefix}{name}", "value": round(100 * metrics[f"{prefix}{name}"], 2)}
        for name in ("UAR", "WAR")
        if metrics[f"{prefix}{name}"] is not None
    ]
    result = {
        "task": {"type": "video-classification", "name": "dynamic facial expression recognition"},
        "dataset": {"name": dataset, "type": dataset},
        "metrics": scores,
    }
    more = {
        "license": "unknown",
        "metrics": ["uar", "war"],
        "model-index": [{"name": f"{config.settings.method}, fold {config.fold}", "results": [result]}],
    }
    named = "\n".join(f"- `{model}`" for model in _models(config))
    further = f"""
## Licence and labels

The licence of `{dataset}` is not known here: its owner's terms hold for what was learned from it. No label was in the
prompt of the text of any test clip. Predictions are left out, since they hold the data set's labels.

## What it needs

GRACE from its repository (`pip install -e .` in a clone) or from a wheel made of it, since it is on no package index;
and the models that made its tokens, with the same content:

{named}
"""
    content = yaml.safe_dump({**yaml.safe_load(front), **more}, sort_keys=False, allow_unicode=True)
    return f"---\n{content}---\n{body.rstrip()}\n{further}".encode()


def _models(config: RunConfig) -> list[str]:
    """The models of the steps, by name; of a folder, its last part."""
    found = []
    for section in (config.pipeline or {}).values():
        for key in ("model", "vision", "text_encoder"):
            if isinstance(section.get(key), str) and section[key]:
                value = section[key]
                found.append(Path(value).name if value.startswith(("/", "~", ".")) else value)
    return list(dict.fromkeys(found))
