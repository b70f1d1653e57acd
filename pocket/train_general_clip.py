"""A general CLIP for the bench: trained from scratch on whole pictures and their alternative texts, as CLIPs are.

No action, no region, no intensity and no tower of another model is used (``pocket/train_clip.py`` has all of them):
what it knows of an expression is what a word in half of its texts, some of them wrong, teaches. The loss is CLIP's
(Radford et al. 2021). Its weights are made by the bench and are not part of the package.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grace.pocket.alt_texts import EXPRESSION_SHARE, WRONG_SHARE, alt_text
from grace.pocket.batches import normalised, place_crops
from grace.pocket.loop import Schedule, fit
from grace.pocket.render_dataset import TRAIN, RenderedBlock, draw, instants, load, training_scenario
from grace.pocket.synthetic_text import corpus

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from transformers import CLIPModel, CLIPTokenizer

BLOCKS = 16
"""Blocks of 250 clips: 4,000 clips of 1,334 people, of which no data set of the project has one."""
BATCH = 96
SCHEDULE = Schedule(steps=1200, muon=5e-3)
TEXTS = 2
"""Rises when ``alt_texts`` writes others."""


def recipe() -> dict[str, Any]:
    """Everything that its weights depend on: who changes it gets another model, never the old one's weights."""
    shares = {"expression": EXPRESSION_SHARE, "wrong": WRONG_SHARE}
    return {"texts": TEXTS, **shares, "blocks": BLOCKS, "batch": BATCH, "schedule": asdict(SCHEDULE)}


def build(folder: Path, work: Path, workers: int = 2, schedule: Schedule = SCHEDULE) -> None:
    """Train the general CLIP and save it as a Hugging Face folder; an interrupted training resumes from ``work``."""
    import torch
    from transformers import CLIPModel

    from grace.pocket.checkpoint_io import save_clip
    from grace.pocket.tokenizer import train_clip_tokenizer
    from grace.pocket.train_clip import config

    draw(TRAIN, range(BLOCKS), workers)
    blocks = load(TRAIN)[:BLOCKS]
    tokenizer = train_clip_tokenizer(_texts(), work / "tokenizer")
    torch.manual_seed(1)
    model = CLIPModel(config(tokenizer))
    model.set_attn_implementation("eager")
    fit("general-clip", model, lambda step: _loss(model, tokenizer, *_batch(blocks, step)), schedule, build=work)
    save_clip(model, tokenizer, folder)


def _texts() -> Iterator[str]:
    """For the tokenizer: alternative texts, and the world's sentences, which it has to spell but never trains on."""
    rng = np.random.default_rng(10)
    yield from corpus([])
    for number in range(4000):
        scenario, person = training_scenario(TRAIN, number)
        yield alt_text(rng, scenario, person, 0.5)


def _batch(blocks: list[RenderedBlock], step: int) -> tuple[np.ndarray, list[str]]:
    """One frame each of ``BATCH`` clips, normalised, [BATCH, 3, SIZE, SIZE], and a text for each."""
    rng = np.random.default_rng((9, step))
    frames, texts = [], []
    for _ in range(BATCH):
        block = blocks[int(rng.integers(len(blocks)))]
        clip = int(rng.integers(len(block.frames)))
        at = int(rng.integers(block.frames.shape[1]))
        frames.append(place_crops(block.frames[clip, at : at + 1], block.regions[clip, at : at + 1], rng)[0])
        scenario, person = training_scenario(block.seed, block.first + clip)
        texts.append(alt_text(rng, scenario, person, float(instants(scenario.duration)[at])))
    return normalised(np.concatenate(frames)), texts


def _loss(model: CLIPModel, tokenizer: CLIPTokenizer, images: np.ndarray, texts: list[str]) -> torch.Tensor:
    """CLIP's symmetric cross-entropy over the batch."""
    import torch

    made = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    output = model(
        pixel_values=torch.from_numpy(images),
        input_ids=made["input_ids"],
        attention_mask=made["attention_mask"],
        return_loss=True,
    )
    loss: torch.Tensor = output.loss
    return loss
