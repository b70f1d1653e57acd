"""Pretraining of the vision tower that the pocket VLM and the pocket CLIP both start from.

A plain vision transformer learns slowly from one label per picture. Its targets are dense instead: from each patch, a
head predicts which region it shows and how strongly each action moves there, and from all patches together, a second
head predicts the intensities. The heads are discarded afterwards.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from transformers import CLIPModel
from transformers.models.idefics3.configuration_idefics3 import Idefics3VisionConfig
from transformers.models.idefics3.modeling_idefics3 import Idefics3VisionTransformer

from grace.pipeline.vocabulary import REGIONS
from grace.pipeline.world.actions import ACTIONS
from grace.pocket.batches import dense_target, sample_batch
from grace.pocket.loop import Schedule, fit
from grace.pocket.render_dataset import SIZE, TRAIN, load

N_TARGETS = len(ACTIONS) + 2
"""Intensities of the actions, blink and speech."""
PATCH = 16
SCHEDULE = Schedule(steps=2500, muon=1.5e-2)
CONFIG = {
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "image_size": SIZE,
    "patch_size": PATCH,
    "layer_norm_eps": 1e-5,
}
"""Heads of 64, the smallest that vLLM's attention supports on a CPU."""


class AuxiliaryHeads(nn.Module):
    """The heads on patches [n, patches, width] that exist during training only, and their loss."""

    def __init__(self, width: int) -> None:
        super().__init__()
        patches = (SIZE // PATCH) ** 2
        self.per_patch = nn.Linear(width, len(REGIONS) + len(ACTIONS))
        self.pooled = nn.Sequential(
            nn.Linear(width, 16),
            nn.GELU(),
            nn.Flatten(1),
            nn.Linear(16 * patches, 128),
            nn.GELU(),
            nn.Linear(128, N_TARGETS),
        )

    def forward(
        self, patches: Float[Tensor, "n patches width"], truth: np.ndarray, regions: np.ndarray
    ) -> Float[Tensor, ""]:
        """Mean squared errors against the dense target and the intensities, weighted to the same magnitude."""
        dense = F.mse_loss(self.per_patch(patches).float(), torch.from_numpy(dense_target(truth, regions)))
        intensity = F.mse_loss(self.pooled(patches).float(), torch.from_numpy(truth))
        return 100 * dense + 20 * intensity


class VisionPretraining(nn.Module):
    """The vision tower with its auxiliary heads."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = Idefics3VisionTransformer(Idefics3VisionConfig(**CONFIG, attn_implementation="eager"))
        self.auxiliary = AuxiliaryHeads(self.tower.config.hidden_size)

    def loss(self, images: np.ndarray, truth: np.ndarray, regions: np.ndarray) -> Float[Tensor, ""]:
        """The loss of frames [n, 3, SIZE, SIZE] with their truth and region boxes."""
        patches = self.tower(pixel_values=torch.from_numpy(images)).last_hidden_state
        return self.auxiliary(patches, truth, regions)


@lru_cache(maxsize=1)
def pretrained_vision_tower() -> Idefics3VisionTransformer:
    """The trained tower; it is trained, or its training resumed, if ``pocket/build`` does not hold it."""
    torch.manual_seed(0)
    pretraining = VisionPretraining()
    blocks = load(TRAIN)
    fit("vision", pretraining, lambda step: pretraining.loss(*sample_batch(blocks, step)), SCHEDULE)
    return pretraining.tower


@torch.no_grad()
def init_clip_vision(tower: Idefics3VisionTransformer, clip: CLIPModel) -> None:
    """Initialise CLIP's vision tower from ``tower``: layers, patch and position embeddings, and the last norm.

    CLIP normalises its embeddings before the first layer and Idefics3 does not; the norm's gain and shift are set to
    restore the embeddings' own deviation and mean, which is right on average, and training corrects the rest.
    """
    vision = clip.vision_model
    vision.embeddings.patch_embedding.weight.copy_(tower.embeddings.patch_embedding.weight)
    positions = tower.embeddings.position_embedding.weight + tower.embeddings.patch_embedding.bias
    vision.embeddings.position_embedding.weight[1:] = positions
    vision.encoder.load_state_dict(tower.encoder.state_dict())
    vision.post_layernorm.load_state_dict(tower.post_layernorm.state_dict())
    images = torch.from_numpy(sample_batch(load(TRAIN), 0)[0][:32])
    embedded = vision.embeddings(images)[:, 1:]
    vision.pre_layrnorm.weight.fill_(float(embedded.std(-1).mean()))
    vision.pre_layrnorm.bias.fill_(float(embedded.mean()))
