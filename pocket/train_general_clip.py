"""A general CLIP for the bench: DINOv2-small, tuned on whole pictures and their alternative texts with CLIP's loss.

No action, no region, no intensity and no tower of a pocket model is used (``pocket/train_clip.py`` has all of them):
what it knows of an expression is what DINOv2 knows, and what a word in half of its texts, some of them wrong, teaches.
The text side, MiniLM, is locked, and so are the first blocks of the vision side: locked-image tuning with the sides
exchanged (Zhai et al., "LiT", CVPR 2022). The loss is CLIP's (Radford et al. 2021). Its weights are made by the bench
and are not part of the package.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from grace.pipeline.devices import choose_dtype, keep_freed_memory
from grace.pocket.alt_texts import EXPRESSION_SHARE, WRONG_SHARE, alt_text
from grace.pocket.batches import place_crops
from grace.pocket.loop import Schedule, fit
from grace.pocket.render_dataset import TRAIN, RenderedBlock, draw, instants, load, training_scenario

if TYPE_CHECKING:
    from transformers import Dinov2Model

    from grace.pipeline.tokens.text_encoder import SentenceEncoder

BLOCKS = 16
"""Blocks of 250 clips: 4,000 clips of 1,334 people, of which no data set of the project has one."""
FRAMES = 4
"""Of each clip, evenly spaced."""
LEARNED = 4
"""Transformer blocks that learn, the last ones."""
SIDE = 112
"""Pixels of a picture's side: 8 x 8 patches, as in the bench's cells."""
BATCH = 96
SCHEDULE = Schedule(steps=500, rate=3e-4)
VERSION = 3
"""Rises with anything in this file, or in ``alt_texts``, that gives other weights."""

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the colour channels, as DINOv2 was trained (ImageNet's)."""

logger = logging.getLogger(__name__)


def recipe() -> dict[str, Any]:
    """Everything that its weights depend on: who changes it gets another model, never the old one's weights."""
    shares = {"expression": EXPRESSION_SHARE, "wrong": WRONG_SHARE}
    sizes = {"blocks": BLOCKS, "frames": FRAMES, "learned": LEARNED, "side": SIDE, "batch": BATCH}
    return {"version": VERSION, **shares, **sizes, "schedule": asdict(SCHEDULE)}


class GeneralClip(nn.Module):
    """The part of the model that learns: the last blocks of the vision side, a projection, CLIP's temperature.

    Args:
        vision: The whole vision side; its last ``LEARNED`` blocks and its last norm are taken.
        text_width: Dimensions of a sentence's embedding.
    """

    def __init__(self, vision: Dinov2Model, text_width: int) -> None:
        super().__init__()
        self.layers = vision.encoder.layer[-LEARNED:]
        self.norm = vision.layernorm
        self.projection = nn.Linear(vision.config.hidden_size, text_width, bias=False)
        self.scale = nn.Parameter(torch.tensor(2.66))  # exp of it is 14.3, CLIP's start

    def forward(
        self, hidden: Float[Tensor, "n tokens width"], sentences: Float[Tensor, "n text_width"]
    ) -> Float[Tensor, ""]:
        """CLIP's symmetric cross-entropy of pictures, as the locked blocks give them, and their texts."""
        for layer in self.layers:
            hidden = layer(hidden)
        pictures = F.normalize(self.projection(self.norm(hidden[:, 0])).float(), dim=-1)
        logits = pictures @ F.normalize(sentences, dim=-1).T * self.scale.exp().clamp(max=100)
        pairs = torch.arange(len(logits))
        return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2


def build(folder: Path, work: Path, real_models: Path, workers: int = 2, schedule: Schedule = SCHEDULE) -> None:
    """Train the vision side and save it as a Hugging Face folder; an interrupted training resumes from ``work``.

    Args:
        folder: Where the model is written.
        work: Where hidden states and checkpoints of the training are kept.
        real_models: Has ``dinov2-small`` and ``minilm`` as Hugging Face folders.
        workers: Processes that render pictures.
        schedule: Steps and learning rate.
    """
    from transformers import Dinov2Model

    from grace.pipeline.tokens.checkpoint import Checkpoint
    from grace.pipeline.tokens.text_encoder import SentenceEncoder

    keep_freed_memory(torch.device("cpu"))
    draw(TRAIN, range(BLOCKS), workers)
    vision = Dinov2Model.from_pretrained(real_models / "dinov2-small").float()
    texts = SentenceEncoder.of(Checkpoint.load(str(real_models / "minilm"), dtype="float32", device="cpu"))
    blocks = load(TRAIN)[:BLOCKS]
    hidden = [_locked(vision, block, work / f"hidden-{block.first:06d}.npy") for block in blocks]
    torch.manual_seed(1)
    model = GeneralClip(vision, texts.text_width)
    fit("general-clip", model, lambda step: _loss(model, texts, blocks, hidden, step), schedule, build=work)
    _save(vision, folder)


@torch.inference_mode()
def _locked(vision: Dinov2Model, block: RenderedBlock, file: Path) -> np.ndarray:
    """What the locked blocks make of a block's pictures: float16 [clips, FRAMES, 1 + patches, width], memory-mapped."""
    if not file.exists():
        picked = _picked(block)
        made = np.stack([_hidden(vision, block, clip, picked) for clip in range(len(block.frames))])
        file.parent.mkdir(parents=True, exist_ok=True)
        with (partial := file.with_suffix(".part")).open("wb") as written:
            np.save(written, made)
        partial.replace(file)
        logger.info("general-clip: pictures of clips %d to %d", block.first, block.first + len(block.frames) - 1)
    found: np.ndarray = np.load(file, mmap_mode="r")
    return found


def _picked(block: RenderedBlock) -> np.ndarray:
    return np.linspace(0, block.frames.shape[1] - 1, FRAMES).round().astype(int)


def _hidden(vision: Dinov2Model, block: RenderedBlock, clip: int, picked: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng((9, block.first + clip))
    crops, _ = place_crops(block.frames[clip, picked], block.regions[clip, picked], rng)
    images = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
    images = F.interpolate(images, size=(SIDE, SIDE), mode="bicubic", antialias=True)
    images = (images - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]
    lower = choose_dtype("auto", torch.device("cpu")) == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16, enabled=lower):
        hidden = vision.embeddings(images)
        for layer in vision.encoder.layer[:-LEARNED]:
            hidden = layer(hidden)
    made: np.ndarray = hidden.half().numpy()
    return made


def _loss(
    model: GeneralClip, texts: SentenceEncoder, blocks: list[RenderedBlock], hidden: list[np.ndarray], step: int
) -> Tensor:
    """Of one picture each of ``BATCH`` clips, and a new text for each."""
    rng = np.random.default_rng((9, step))
    seen, said = [], []
    for _ in range(BATCH):
        number = int(rng.integers(len(blocks)))
        clip, at = int(rng.integers(len(hidden[number]))), int(rng.integers(FRAMES))
        seen.append(hidden[number][clip, at])
        scenario, person = training_scenario(blocks[number].seed, blocks[number].first + clip)
        time = float(instants(scenario.duration)[_picked(blocks[number])[at]])
        said.append(alt_text(rng, scenario, person, time))
    tokens, _, _ = texts.texts(said)  # a sentence's own token is the last
    loss: Tensor = model(torch.from_numpy(np.stack(seen)).float(), tokens[:, -1].clone())
    return loss


def _save(vision: Dinov2Model, folder: Path) -> None:
    from transformers import BitImageProcessorPil

    vision.eval().save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    BitImageProcessorPil(size=size, crop_size=size, image_mean=MEAN, image_std=DEVIATION).save_pretrained(folder)
