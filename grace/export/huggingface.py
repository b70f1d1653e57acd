"""A Hugging Face data set: Parquet files and a data card, which ``datasets.load_dataset(folder)`` opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from grace.export.content import MEDIA, Content
from grace.pipeline.messages import one_line
from grace.pipeline.store import Row
from grace.pipeline.table_files import write_rows
from grace.pipeline.vocabulary import CUE_FIELDS

SPLIT = "clips"
"""The one split: folds are columns, since a clip is in the train part of one and in the test part of another."""


def write(content: Content, folder: Path) -> str:
    """Write ``data/descriptions.parquet``, ``data/predictions.parquet`` and the card ``README.md``."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    rows = [_row(content, row) for row in content.clips]
    write_rows(folder / "data" / "descriptions.parquet", list(rows[0]), rows)
    if content.predictions:
        write_rows(folder / "data" / "predictions.parquet", list(content.predictions[0]), content.predictions)
    (folder / "README.md").write_text(card(content), encoding="utf-8")
    return f"datasets.load_dataset({str(folder)!r})"


def _row(content: Content, row: Row) -> Row:
    cues = [{name: str(cue[name]) for name in CUE_FIELDS} for cue in row["cues"]]
    made = {**row, "cues": cues}
    return {**made, "file": f"{MEDIA}/{row['path']}"} if content.copied else made


def card(content: Content) -> str:
    """Markdown with the front matter that the Hugging Face hub reads.

    It names no path of this machine, and says what must be known before the texts are used.
    """
    configs: list[dict[str, Any]] = [
        {
            "config_name": "descriptions",
            "default": True,
            "data_files": [{"split": SPLIT, "path": "data/descriptions.parquet"}],
        }
    ]
    if content.predictions:
        files = [{"split": SPLIT, "path": "data/predictions.parquet"}]
        configs.append({"config_name": "predictions", "data_files": files})
    front = {
        "license": "unknown",
        "language": ["en"],
        "task_categories": ["video-classification"],
        "tags": ["dynamic-facial-expression-recognition", "facial-expression-descriptions", "grace"],
        "pretty_name": f"Facial expression descriptions of {content.dataset}",
        "configs": configs,
    }
    return f"""---
{yaml.safe_dump(front, sort_keys=False, allow_unicode=True).strip()}
---

# Facial expression descriptions of {_quoted(content.dataset)}

Texts that models wrote about the clips of a data set, made with GRACE (`grace-dfer`), one row per clip.

```python
from datasets import load_dataset
descriptions = load_dataset("path/to/this/folder", split="{SPLIT}")
```

## What is in it

{_contents(content)}

## What was visible to the models

{_visibility(content)}

## Licence

The licence of {_quoted(content.dataset)} itself is not known here, and is not changed by this export: its owner's terms
hold for its clips, labels and names, and may forbid handing any of them on. {_clips(content)}

## Limits

The texts are a model's and may be wrong: they miss movements and invent some. An expression shown is not an emotion
felt. Do not use them to judge people.{"".join(f" {one_line(limit)}." for limit in content.limits)}
"""


def _contents(content: Content) -> str:
    captioned = sum(bool(row["caption"]) for row in content.clips)
    described = sum(bool(row["description"]) for row in content.clips)
    lines = [
        f"- `descriptions`: {len(content.clips):,} clips, {captioned:,} with a caption, "
        f"{described:,} with a description; {len(content.failed):,} could not be used, and say why in `error`.",
        f"- Captions by {_names(content.models('caption_model'))}; descriptions by "
        f"{_names(content.models('description_model'))}"
        f"{_overrides(content)}.",
        f"- Classes, in order: {', '.join(map(_quoted, content.labels)) or 'none'}.",
    ]
    if content.folds:
        folds = ", ".join(f"`fold_{fold}`" for fold in content.folds)
        lines.append(f"- Folds: {folds}; each says `train`, `val` or `test`.")
    if content.predictions:
        lines.append(
            f"- `predictions`: {len(content.predictions):,} test clips by the method `{content.method}`, protocol "
            f"`{content.protocol}`; `p_<class>` are probabilities."
            + (" The test folds chose the epochs: no held-out numbers." if content.protocol == "best-test" else "")
        )
    return "\n".join(lines)


def _overrides(content: Content) -> str:
    count = sum(row["description_engine"] == "override" for row in content.clips)
    return f", {count:,} of them corrected by a person" if count else ""


def _visibility(content: Content) -> str:
    if count := content.label_visible:
        return (
            f"**The label was in the prompt of {count:,} of {len(content.clips):,} descriptions** (`label_visible`). "
            "They tell the label, and must never be used to score a classifier."
        )
    return (
        "No label was in any prompt (`label_visible` is false in every row): the models saw pictures and their times, "
        "and the texts made of these."
    )


def _clips(content: Content) -> str:
    if content.copied:
        return f"The clips were copied into `{MEDIA}/` on request: check that you may."
    return "No clips are included; `path` names them below the root of their own data set."


def _names(models: list[str]) -> str:
    return ", ".join(map(_quoted, models)) or "no model"


def _quoted(name: str) -> str:
    return f"`{one_line(name).replace('`', chr(39))}`"
