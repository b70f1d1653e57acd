"""The model cards, made from ``measured.json``: no figure in them is typed by hand."""

from __future__ import annotations

import json
from typing import Any

from grace.pocket.evaluate import HERE, RESULT

CARD = """\
---
license: apache-2.0
library_name: transformers
knows_only: the rendered world
tags: [{tags}]
---

# {title}

{what}

**It knows the rendered world only**: drawn faces moved by action units (`pipeline/world`). Of real footage or of any
other text it knows nothing, and what it says there means nothing.

## How it was made

`python -m pocket build`, from scratch on a CPU: {made}

Training people and clips come from seed 1000; the demo's seed is 1, and the figures below are of seed 2000, whose
people neither has seen. Weights are stored in bfloat16.

## What it scores

`python -m pocket measure`, {clips} unseen clips:

| measure | value |
| --- | --- |
{rows}
"""


def write_cards() -> None:
    """Write README.md into each model's folder."""
    figures: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8"))
    for folder, card in _cards(figures).items():
        rows = "\n".join(f"| {name} | {value} |" for name, value in card.pop("figures"))
        (HERE / folder / "README.md").write_text(
            CARD.format(rows=rows, clips=figures["clips"], **card), encoding="utf-8"
        )


def _cards(figures: dict[str, Any]) -> dict[str, dict[str, Any]]:
    def share(name: str) -> str:
        return f"{figures[name]:.3f}"

    return {
        "clip": {
            "title": "Pocket CLIP",
            "tags": "clip, rendered-world",
            "what": "A `CLIPModel` (pictures of 128 pixels, 8 x 8 patches, shared space of 128) for drawn faces.",
            "made": "14,000 clips of eight frames with the true intensities of their action units; their "
            "region boxes; the losses are in `pocket/train_clip.py`.",
            "figures": [
                (
                    "area under the ROC curve, frame against action sentence, mean of 18 actions",
                    share("clip_action_auc"),
                ),
                ("nearest of 18 action sentences shows in the frame", share("clip_top1")),
                ("the same by chance", share("clip_top1_chance")),
                ("mass of an action's words on its region ÷ chance", f"{figures['clip_grounding']:.2f}"),
            ],
        },
        "vlm": {
            "title": "Pocket VLM",
            "tags": "idefics3, image-text-to-text, rendered-world",
            "what": "An `Idefics3ForConditionalGeneration` that tells what eight pictures of a drawn face show.",
            "made": "14,000 clips with their true sentences; the vision tower learns to see first (`pocket/vision_pretraining.py`), "
            "the language model starts from the pocket LLM's (`pocket/train_vlm.py`).",
            "figures": [
                ("actions named, precision", share("caption_action_precision")),
                ("actions named, recall", share("caption_action_recall")),
                ("regions named, precision", share("caption_region_precision")),
                ("regions named, recall", share("caption_region_recall")),
            ],
        },
        "llm": {
            "title": "Pocket LLM",
            "tags": "llama, text-generation, rendered-world",
            "what": "A small Llama that refines a coarse caption of the world into a description and cues, as JSON.",
            "made": "sentences of the world and their refinements, drawn without end (`pocket/train_llm.py`).",
            "figures": [
                ("valid JSON", share("refine_valid")),
                ("description and cues name just what the caption names", share("refine_faithful")),
                ("equal to the true description and cues", share("refine_exact")),
            ],
        },
    }
