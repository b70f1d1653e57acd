"""The pocket CLIP: frames of the world and sentences about them in one space, by patch and by word.

Frames against action sentences, by class token (SigLIP, Zhai et al. 2023) and by patches and words (FILIP's late
interaction, Yao et al. 2022: a word is as near as its nearest patch; and an action's words near the patches of its
region), with the action's intensity as the target; frames against whole sentences (CLIP, Radford et al. 2021), where
frames with similar intensities share the target; the auxiliary losses of ``pocket/vision_pretraining.py``; and a
regression of the intensities from the class token. The vision tower starts from the pretrained one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grace.pocket.batches import sample_batch
from grace.pocket.loop import BUILD, Schedule, fit
from grace.pocket.render_dataset import TRAIN, load
from grace.pocket.synthetic_text import corpus

if TYPE_CHECKING:
    import torch
    from transformers import CLIPConfig, CLIPTokenizer

FOLDER = Path(__file__).parent / "clip"
SCHEDULE = Schedule(steps=1000, muon=5e-3)


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
    model.set_attn_implementation("eager")  # its backward pass is the fastest on a CPU
    init_clip_vision(pretrained_vision_tower(), model)
    training = ClipTraining(model)
    blocks = load(TRAIN)

    def loss(step: int) -> torch.Tensor:
        return training.loss(tokenizer, *sample_batch(blocks, step), np.random.default_rng((8, step)))

    fit("clip", training, loss, SCHEDULE, build=BUILD)
    save_clip(model, tokenizer, folder)
