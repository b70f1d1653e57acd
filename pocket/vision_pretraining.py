"""Learning to see: the vision tower that the pocket VLM and the pocket CLIP both start from.

A plain vision transformer learns slowly from one label a picture. Its lessons are dense instead: each patch tells which
region it shows and how strongly each action moves there, and all patches together, each from its own place, tell the
intensities. The heads are thrown away.
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

from grace.pipeline.world.actions import ACTIONS, REGIONS
from grace.pocket.batches import dense_target, sample
from grace.pocket.loop import Schedule, fit
from grace.pocket.render_dataset import SIZE, TRAIN, load

KNOWN = len(ACTIONS) + 2
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
"""Heads of 64, as vLLM's attention wants them on a CPU."""


class AuxiliaryHeads(nn.Module):
    """The heads that teach patches [n, patches, width] to see, and their loss."""

    def __init__(self, width: int) -> None:
        super().__init__()
        patches = (SIZE // PATCH) ** 2
        self.each = nn.Linear(width, len(REGIONS) + len(ACTIONS))
        self.together = nn.Sequential(
            nn.Linear(width, 16),
            nn.GELU(),
            nn.Flatten(1),
            nn.Linear(16 * patches, 128),
            nn.GELU(),
            nn.Linear(128, KNOWN),
        )

    def forward(
        self, patches: Float[Tensor, "n patches width"], truth: np.ndarray, regions: np.ndarray
    ) -> Float[Tensor, ""]:
        """Mean squared errors against the dense target and the intensities, weighed to be of one size."""
        dense = F.mse_loss(self.each(patches).float(), torch.from_numpy(dense_target(truth, regions)))
        whole = F.mse_loss(self.together(patches).float(), torch.from_numpy(truth))
        return 100 * dense + 20 * whole


class VisionPretraining(nn.Module):
    """The tower with its lessons."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = Idefics3VisionTransformer(Idefics3VisionConfig(**CONFIG, attn_implementation="eager"))
        self.lessons = AuxiliaryHeads(self.tower.config.hidden_size)

    def loss(self, images: np.ndarray, truth: np.ndarray, regions: np.ndarray) -> Float[Tensor, ""]:
        """The loss of frames [n, 3, SIZE, SIZE] with their truth and region boxes."""
        patches = self.tower(pixel_values=torch.from_numpy(images)).last_hidden_state
        return self.lessons(patches, truth, regions)


@lru_cache(maxsize=1)
def pretrained_vision_tower() -> Idefics3VisionTransformer:
    """The trained tower; trains it, or goes on training it, when ``pocket/build`` does not hold it."""
    torch.manual_seed(0)
    pupil = VisionPretraining()
    blocks = load(TRAIN)
    fit("eyes", pupil, lambda step: pupil.loss(*sample(blocks, step)), SCHEDULE)
    return pupil.tower


@torch.no_grad()
def init_clip_vision(eyes: Idefics3VisionTransformer, clip: CLIPModel) -> None:
    """Start CLIP's vision tower from ``eyes``: layers, patch embedding, the places of the patches, the last norm.

    CLIP norms its embeddings before the first layer and Idefics3 does not; the norm's gain and shift are set to give
    back the embeddings' own deviation and mean, which is right on average, and training mends the rest.
    """
    heir = clip.vision_model
    heir.embeddings.patch_embedding.weight.copy_(eyes.embeddings.patch_embedding.weight)
    places = eyes.embeddings.position_embedding.weight + eyes.embeddings.patch_embedding.bias
    heir.embeddings.position_embedding.weight[1:] = places
    heir.encoder.load_state_dict(eyes.encoder.state_dict())
    heir.post_layernorm.load_state_dict(eyes.post_layernorm.state_dict())
    images = torch.from_numpy(sample(load(TRAIN), 0)[0][:32])
    embedded = heir.embeddings(images)[:, 1:]
    heir.pre_layrnorm.weight.fill_(float(embedded.std(-1).mean()))
    heir.pre_layrnorm.bias.fill_(float(embedded.mean()))
