"""The losses of the pocket CLIP, as a module around the model."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import CLIPModel, CLIPTokenizer

from grace.pipeline.world.actions import ACTIONS
from grace.pocket.batches import ACTION_REGION, patch_coverage
from grace.pocket.clip_targets import action_sentences, moment_sentences, nearness
from grace.pocket.vision_pretraining import N_TARGETS, AuxiliaryHeads


class ClipTraining(nn.Module):
    """CLIP with the heads and temperatures that exist during training only."""

    def __init__(self, model: CLIPModel) -> None:
        super().__init__()
        self.model = model
        width = model.config.vision_config.hidden_size
        self.from_class = nn.Linear(width, N_TARGETS)
        self.auxiliary = AuxiliaryHeads(width)
        self.scale = nn.Parameter(torch.tensor([2.3, 2.3, 2.3]))
        self.bias = nn.Parameter(torch.tensor([-4.0, -4.0, -5.0]))

    def loss(
        self,
        tokenizer: CLIPTokenizer,
        images: np.ndarray,
        truth: np.ndarray,
        regions: np.ndarray,
        rng: np.random.Generator,
    ) -> Float[Tensor, ""]:
        """The sum of the losses for frames [n, 3, 128, 128], truth [n, KNOWN] and region boxes [n, regions, 4]."""
        hidden = self.model.vision_model(pixel_values=torch.from_numpy(images)).last_hidden_state
        norm = self.model.vision_model.post_layernorm
        classes, patches = norm(hidden[:, 0]), norm(hidden[:, 1:])
        intensity = F.mse_loss(self.from_class(classes).float(), torch.from_numpy(truth))
        auxiliary = self.auxiliary(patches, truth, regions)
        frame = _unit(self.model.visual_projection(classes))
        patch = _unit(self.model.visual_projection(patches))
        texts, centres = action_sentences(rng)
        target = torch.from_numpy(nearness(truth[:, : len(ACTIONS)], centres))
        sentence, words, mask = self.texts(tokenizer, texts)
        by_class = frame @ sentence.T
        scores = torch.stack([by_class, late_interaction(patch, words, mask)])
        logits = scores.float() * self.scale[:2].exp()[:, None, None] + self.bias[:2, None, None]
        paired = F.binary_cross_entropy_with_logits(logits, target.expand_as(logits))
        grounding = self._grounding_loss(patch, words, mask, target, torch.from_numpy(patch_coverage(regions)))
        contrast = self._contrastive_loss(tokenizer, frame[::3], truth[::3])
        return 20 * intensity + auxiliary + 4 * paired + 20 * grounding + 0.3 * contrast

    def texts(
        self, tokenizer: CLIPTokenizer, texts: list[str]
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n words d"], Bool[Tensor, "n words"]]:
        """Sentence embeddings (at the end token), word embeddings, and the mask of words (no padding, not special)."""
        made = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        output = self.model.text_model(input_ids=made["input_ids"], attention_mask=made["attention_mask"])
        words = _unit(self.model.text_projection(output.last_hidden_state))
        mask = made["attention_mask"].bool()
        last = mask.sum(1) - 1
        positions = torch.arange(mask.shape[1])
        inner = mask & (positions > 0) & (positions < last[:, None])
        return words[torch.arange(len(texts)), last], words, inner

    def _grounding_loss(
        self,
        patch: Float[Tensor, "n patches d"],
        words: Float[Tensor, "m words d"],
        mask: Bool[Tensor, "m words"],
        target: Float[Tensor, "n m"],
        shown: Float[Tensor, "n patches regions"],
    ) -> Float[Tensor, ""]:
        """Each action's words against each patch; the target is the region's share of the patch times the intensity."""
        sentence = (words * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        logits = torch.einsum("npd,md->nmp", patch, sentence) * self.scale[2].exp() + self.bias[2]
        target_patches = shown[..., ACTION_REGION].transpose(1, 2) * target[..., None]
        return F.binary_cross_entropy_with_logits(logits, target_patches)

    def _contrastive_loss(
        self, tokenizer: CLIPTokenizer, frame: Float[Tensor, "n d"], truth: np.ndarray
    ) -> Float[Tensor, ""]:
        """CLIP's loss, in which frames with similar intensities share the target."""
        sentence, _, _ = self.texts(tokenizer, moment_sentences(truth))
        logits = (frame @ sentence.T).float() * self.model.logit_scale.exp().clamp(max=100)
        actions = torch.from_numpy(truth[:, : len(ACTIONS)])
        target = torch.softmax(-(torch.cdist(actions, actions) ** 2) / 0.05, dim=1)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def late_interaction(
    patch: Float[Tensor, "n patches d"], words: Float[Tensor, "m words d"], mask: Bool[Tensor, "m words"]
) -> Float[Tensor, "n m"]:
    """FILIP's similarity of each text and frame: the mean over words of the cosine with the nearest patch."""
    cosines = torch.einsum("npd,mwd->nmwp", patch, words).amax(-1)
    return (cosines * mask).sum(-1) / mask.sum(-1).clamp(min=1)


def _unit(vectors: Tensor) -> Tensor:
    return F.normalize(vectors.float(), dim=-1)
