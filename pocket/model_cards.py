"""The model cards, generated from ``measured.json``: no figure in them is typed by hand."""

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

**It knows the rendered world only**: drawn faces moved by action units (`pipeline/world`). It was trained on no real
footage and no other text; its output on them is meaningless.

It is one of three models of the demo of GRACE, an implementation of *From Coarse to Nuanced: Cross-Modal Alignment of
Fine-Grained Linguistic Cues and Visual Salient Regions for Dynamic Emotion Recognition* by Yu Liu, Leyuan Qu, Hanlei
Shi, Di Gao, Yuhua Zheng and Taihao Li (arXiv 2507.11892, 2025). The paper's authors did not make it.

## Training

`python -m grace.pocket build`, from scratch on a CPU: {made}

Training people and clips come from seed 1000. The demo has seed 1. The figures below are from seed 2000, whose people
are in neither. Weights are stored in bfloat16.

## Evaluation

`python -m grace.pocket measure`, {clips} unseen clips:

| metric | value |
| --- | --- |
{rows}
"""


def write_cards() -> None:
    """Write README.md into each model's folder."""
    figures: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8"))
    for folder, text in render_cards(figures).items():
        (HERE / folder / "README.md").write_text(text, encoding="utf-8")


def render_cards(figures: dict[str, Any]) -> dict[str, str]:
    """The text of each model's card, by folder, with the figures of :func:`~grace.pocket.evaluate.evaluate`."""
    cards = {}
    for folder, card in _contents(figures).items():
        rows = "\n".join(f"| {name} | {value} |" for name, value in card.pop("figures"))
        cards[folder] = CARD.format(rows=rows, clips=figures["clips"], **card)
    return cards


def _contents(figures: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What differs between the cards."""

    def share(name: str) -> str:
        return f"{figures[name]:.3f}"

    return {
        "clip": {
            "title": "Pocket CLIP",
            "tags": "clip, rendered-world",
            "what": "A `CLIPModel` (pictures of 128 pixels, 8 x 8 patches, shared space of 128) for drawn faces.",
            "made": "14,000 clips of eight frames, with the true intensities of their action units and their "
            "region boxes; the losses are in `pocket/clip_training.py`.",
            "figures": [
                (
                    "area under the ROC curve, frame against action sentence, mean of 18 actions",
                    share("clip_action_auc"),
                ),
                ("nearest of 18 action sentences is visible in the frame", share("clip_top1")),
                ("the same by chance", share("clip_top1_chance")),
                ("mass of an action's words on its region ÷ chance", f"{figures['clip_grounding']:.2f}"),
            ],
        },
        "vlm": {
            "title": "Pocket VLM",
            "tags": "idefics3, image-text-to-text, rendered-world",
            "what": "An `Idefics3ForConditionalGeneration` that describes what eight pictures of a drawn face show.",
            "made": "14,000 clips with their true captions; the vision tower is pretrained "
            "(`pocket/vision_pretraining.py`), and the language model starts from the pocket LLM's "
            "(`pocket/train_vlm.py`).",
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
            "made": "captions of the world and their refinements, generated at random (`pocket/train_llm.py`).",
            "figures": [
                ("valid JSON", share("refine_valid")),
                ("description and cues name exactly what the caption names", share("refine_faithful")),
                ("equal to the true description and cues", share("refine_exact")),
            ],
        },
    }
