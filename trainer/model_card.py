"""The model card of a run: what it is, how it was judged, how it is opened, what it must not be used for."""

from __future__ import annotations

import json
from typing import Any

import yaml

from grace.pipeline.messages import percent
from grace.trainer.data import Cache
from grace.trainer.runs import RunConfig, texts_of_known_clips
from grace.trainer.settings import METHODS, PREFIX

PAPER = (
    "From Coarse to Nuanced: Cross-Modal Alignment of Fine-Grained Linguistic Cues and Visual Salient Regions for "
    "Dynamic Emotion Recognition"
)


def model_card(metrics: dict[str, Any], cache: Cache, run: RunConfig, reads_only_text: bool) -> str:
    """Markdown with the front matter that model hubs read. Holds no path, name or time of this machine.

    Args:
        metrics: The content of the run's ``metrics.json``.
        cache: What it was trained on; its settings and limits are named.
        run: Its configuration.
        reads_only_text: Whether no head of its model reads the video.

    Returns:
        The content of the run's ``README.md``.
    """
    settings = run.settings
    prefix = PREFIX[settings.protocol]
    front = {
        "library_name": "grace-dfer",
        "pipeline_tag": "video-classification",
        "tags": ["dynamic-facial-expression-recognition", settings.method],
    }
    made = cache.cache_key()["tokens"] or {}
    tokens = {name: made[name] for name in ("model", "vision", "text_encoder") if name in made}
    recall = "\n".join(f"| {label} | {percent(share, '')} |" for label, share in metrics[f"{prefix}recall"].items())
    limits = "".join(f" {limit}." for limit in cache.tokens.limits())
    votes = f" It learned from the votes on {metrics['voted_clips']} of them." if "voted_clips" in metrics else ""
    best = " The test fold chose the epoch: these are not held-out numbers." if prefix else ""
    return f"""---
{yaml.safe_dump(front, sort_keys=False).strip()}
---

# {settings.method}, fold {metrics["fold"]}

A classifier of facial expressions in short clips, over cached tokens: {METHODS[settings.method]}.
(GRACE: Liu et al., *{PAPER}*, arXiv 2507.11892, 2025; the formulas that the paper leaves open are this
implementation's reading.)

{_usage(run, reads_only_text)}

## Scores

Protocol {settings.protocol}, fold {metrics["fold"]}, {metrics[f"{prefix}clips"]} test clips.{best}

| | % |
| --- | ---: |
| {prefix}UAR | {percent(metrics[f"{prefix}UAR"], unit="")} |
| {prefix}WAR | {percent(metrics[f"{prefix}WAR"], unit="")} |
{recall}

## Made from

{metrics["train_clips"]} training clips; {metrics["selection_clips"]} clips chose epoch {metrics["epoch"]}.{votes}
Tokens by `{json.dumps(tokens)}`. All settings are in `config.yaml`.

## Limits

It knows the classes above and people like those of its data set; an expression shown is not an emotion felt. Its
tokens must be made by the model and the settings named in `config.yaml`. Do not use it to judge people.{limits}
"""


def _usage(run: RunConfig, reads_only_text: bool) -> str:
    """How a new clip is predicted, as far as it can be: it has no text where the run's were the data set's own."""
    made = run.pipeline or {}
    engine, use_label = made.get("caption", {}).get("engine", ""), made.get("refine", {}).get("use_label", False)
    known = texts_of_known_clips(engine, use_label)
    if known and reads_only_text:
        return f"It cannot predict new clips: it reads nothing but {known}."
    without = f"It was trained on {known}, which a new clip does not have:\n\n" if known else ""
    return f"""{without}```python
from grace import GraceClassifier
classifier = GraceClassifier.from_pretrained("path/to/this/folder")
prediction = classifier.predict("clip.mp4"{", text=False" if known else ""})
```"""
