"""The pocket CLIP: frames of the world and sentences about that moment, in one space, patch by patch and word by word.

Frames against action sentences, by class token (SigLIP, Zhai et al. 2023) and by patches and words (FILIP's late
interaction, Yao et al. 2022: a word is as near as its nearest patch; and an action's words near the patches of its
region), with the action's intensity as the target; frames against whole sentences (CLIP, Radford et al. 2021), where
frames of like intensities share the target; and the lessons of ``pocket/vision_pretraining.py`` go on, with a regression of the
intensities from the class token. The vision tower starts from the one that those lessons trained.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grace.pipeline.world.actions import ACTIONS
from grace.pipeline.world.sentences import PHASES, WHEN_FINE, Clause, moment_sentence, tell_fine
from grace.pipeline.world.timeline import VISIBLE
from grace.pocket.batches import sample
from grace.pocket.loop import BUILD, Schedule, fit
from grace.pocket.render_dataset import TRAIN, load
from grace.pocket.synthetic_text import corpus

if TYPE_CHECKING:
    import torch
    from transformers import CLIPConfig, CLIPTokenizer

FOLDER = Path(__file__).parent / "clip"
SCHEDULE = Schedule(steps=1000, muon=5e-3)
CENTRES = {"slightly": 0.33, "clearly": 0.58, "strongly": 0.86}
"""The intensity that each word stands for."""


def config(tokenizer: CLIPTokenizer) -> CLIPConfig:
    """Two small towers with heads of 64; the picture's grid is 8 x 8."""
    from transformers import CLIPConfig

    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 77,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "hidden_act": "gelu_pytorch_tanh",
    }
    vision = {
        "image_size": 128,
        "patch_size": 16,
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "hidden_act": "gelu_pytorch_tanh",
    }
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=128)


def action_sentences(rng: np.random.Generator) -> tuple[list[str], np.ndarray]:
    """A sentence for each action at a level drawn at random, in words of moments or descriptions, and the levels."""
    levels = [str(rng.choice(list(CENTRES))) for _ in ACTIONS]
    texts = []
    for action, level in zip(ACTIONS, levels, strict=True):
        if rng.random() < 0.5:
            texts.append(moment_sentence([(action, CENTRES[level])]))
        else:
            clause = Clause(action, level, str(rng.choice(PHASES)), int(rng.integers(len(WHEN_FINE))))
            texts.append(tell_fine([clause]))
    return texts, np.array([CENTRES[level] for level in levels], dtype=np.float32)


def nearness(intensities: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """How true each action's sentence is of each frame, in [0, 1]: 0 for an action that is not to be seen."""
    near = np.clip(1 - np.abs(intensities - centres) / 0.45, 0.0, 1.0)
    return np.where(intensities < VISIBLE / 2, 0.0, 0.25 + 0.75 * near).astype(np.float32)


def moment_sentences(truth: np.ndarray) -> list[str]:
    """What each frame shows, all its actions in the order of FACS."""
    return [
        moment_sentence(
            [(action, float(value)) for action, value in zip(ACTIONS, row, strict=False) if value >= VISIBLE]
        )
        for row in truth
    ]


def build(folder: Path = FOLDER) -> None:
    """Train CLIP and save it as a Hugging Face folder."""
    import torch
    from transformers import CLIPModel

    from grace.pocket.checkpoint_io import save_clip
    from grace.pocket.clip_training import ClipTraining
    from grace.pocket.tokenizer import train_clip_tokenizer
    from grace.pocket.vision_pretraining import init_clip_vision, pretrained_vision_tower

    tokenizer = train_clip_tokenizer(corpus([]), BUILD / "clip-tokenizer")
    torch.manual_seed(0)
    model = CLIPModel(config(tokenizer))
    model.set_attn_implementation("eager")  # on a CPU its backward pass is the faster one
    init_clip_vision(pretrained_vision_tower(), model)
    teacher = ClipTraining(model)
    blocks = load(TRAIN)

    def loss(step: int) -> torch.Tensor:
        return teacher.loss(tokenizer, *sample(blocks, step), np.random.default_rng((8, step)))

    fit("clip", teacher, loss, SCHEDULE, build=BUILD)
    save_clip(model, tokenizer, folder)
