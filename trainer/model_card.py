"""The model card of a run: what it is, how it was judged, how it is opened, what it must not be used for."""

from __future__ import annotations

import json
from typing import Any

import yaml

from grace.trainer.data import Cache
from grace.trainer.protocol import PREFIX
from grace.trainer.settings import TrainSettings

METHOD_LINES = {
    "vision": "pooled video alone",
    "template": "pooled video beside class prompts",
    "narrative": "pooled video beside one embedding of the clip's whole text",
    "grace": "words of a description matched with patches and instants by optimal transport",
}


def model_card(metrics: dict[str, Any], cache: Cache, settings: TrainSettings) -> str:
    """Markdown with the front matter that model hubs read. Holds no path, name or time of this machine."""
    prefix = PREFIX[settings.protocol]
    front = {
        "library_name": "grace-dfer",
        "pipeline_tag": "video-classification",
        "tags": ["dynamic-facial-expression-recognition", settings.method],
    }
    tokens = (cache.cache_key()["tokens"] or {}).get("model")
    recall = "\n".join(f"| {label} | {_percent(share)} |" for label, share in metrics[f"{prefix}recall"].items())
    best = " The test fold chose the epoch: these are not held-out numbers." if prefix else ""
    return f"""---
{yaml.safe_dump(front, sort_keys=False).strip()}
---

# {settings.method}, fold {metrics["fold"]}

A classifier of facial expressions in short clips, over cached CLIP tokens: {METHOD_LINES[settings.method]}.
(GRACE, Liu et al. 2025, arXiv 2507.11892; the formulas that the paper leaves open are this implementation's reading.)

```python
from grace.trainer.classifier import GraceClassifier
classifier = GraceClassifier.from_pretrained("path/to/this/folder")
probabilities, plan = classifier.predict(row)  # the arrays of one clip; `grace predict` makes them from a video
```

## Scores

Protocol {settings.protocol}, fold {metrics["fold"]}, {metrics[f"{prefix}clips"]} test clips.{best}

| | % |
| --- | ---: |
| {prefix}UAR | {_percent(metrics[f"{prefix}UAR"])} |
| {prefix}WAR | {_percent(metrics[f"{prefix}WAR"])} |
{recall}

## Made from

{metrics["train_clips"]} training clips; {metrics["selection_clips"]} clips chose epoch {metrics["epoch"]}. Tokens by
`{json.dumps(tokens)}`. All settings are in `config.yaml`.

## Limits

It knows the classes above and people like those of its data set; an expression shown is not an emotion felt. Its
tokens must be made by the model and the settings named in `config.yaml`. Do not use it to judge people.
"""


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"
