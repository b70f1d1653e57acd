"""The general CLIP of the bench: what of it learns, and by which loss."""

from __future__ import annotations

import math

import torch
from transformers import Dinov2Config, Dinov2Model

from grace.pocket.train_general_clip import LEARNED, GeneralClip


def test_the_last_blocks_alone_learn_to_tell_pairs_of_pictures_and_texts() -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": LEARNED + 2, "num_attention_heads": 2, "mlp_ratio": 2}
    vision = Dinov2Model(Dinov2Config(**sizes, image_size=28, patch_size=14)).eval()
    before = {name: value.clone() for name, value in vision.state_dict().items()}
    model = GeneralClip(vision, text_width=8)
    pictures, sentences = torch.randn(6, 5, 16), torch.randn(6, 8)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = model(pictures, sentences)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 0.8 * math.log(6)  # chance
    assert losses[-1] < 0.1 * losses[0]
    changed = {name for name, value in vision.state_dict().items() if not torch.equal(value, before[name])}
    learned = tuple(f"encoder.layer.{number}." for number in range(2, LEARNED + 2))
    assert changed and all(name.startswith((*learned, "layernorm.")) for name in changed)
