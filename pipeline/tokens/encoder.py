"""A checkpoint of the CLIP family as the tokens step sees it: images and sentences to tokens in the shared space.

- Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021 (CLIP).
- Zhai et al., "Sigmoid loss for language image pre-training", ICCV 2023 (SigLIP).
- Tschannen et al., "SigLIP 2", arXiv 2502.14786, 2025; its fixed-size checkpoints are opened as SigLIP.
- Zhou et al., "Extract free dense labels from CLIP", ECCV 2022 (patches from the value path).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from transformers import AutoProcessor

from grace.pipeline.errors import UserError
from grace.pipeline.tokens.checkpoint import Checkpoint
from grace.pipeline.tokens.image_encoder import ImageEncoder, ImageTokens, Pixels
from grace.pipeline.tokens.text_encoder import TextTokens


@dataclass
class ClipEncoder(ImageEncoder):
    """A ``CLIPModel`` with its processor: images and sentences to tokens of one space.

    Args:
        model: The model, on its device and in evaluation mode.
        processor: Its image processor and tokenizer.
        max_text_tokens: Tokens that a sentence may have, besides the special ones that the tokenizer adds.
        patch_path: Where patch tokens come from (``tokens.patch_path``).

    Example:
        >>> encoder = ClipEncoder.load("pocket/clip", device="cpu")
        >>> crop = np.zeros((128, 128, 3), np.uint8)
        >>> patches, classes = encoder.images(torch.stack([encoder.prepare(crop)]))
        >>> tuple(patches.shape), tuple(classes.shape)
        ((1, 64, 128), (1, 128))
    """

    processor: Any
    max_text_tokens: int
    patch_path: Literal["output", "value"] = "output"

    @staticmethod
    def load(model: str, revision: str | None = None, dtype: str = "auto", device: str = "auto") -> ClipEncoder:
        """Open a checkpoint of the CLIP family.

        Args:
            model: A folder or an id of the Hugging Face hub.
            revision: Branch, tag or commit of a hub model.
            dtype: ``float32``, ``bfloat16``, ``float16``, or ``auto`` for what the device is good at.
            device: ``auto``, ``cpu``, ``cuda``, or any name that PyTorch knows.

        Returns:
            The encoder of the checkpoint's architecture, one of :data:`FAMILIES`.

        Raises:
            UserError: When there is no such model, it cannot be opened, or it is not of the family.
        """
        return ClipEncoder.of(Checkpoint.load(model, revision, dtype, device))

    @staticmethod
    def of(checkpoint: Checkpoint) -> ClipEncoder:
        """The encoder of an opened checkpoint. Raises :class:`UserError` when it is not of the family."""
        towers = checkpoint.model
        family = FAMILIES.get(type(towers).__name__)
        if family is None:
            known = ", ".join(FAMILIES)
            raise UserError(
                f"The model {checkpoint.name} is a {type(towers).__name__}: tokens.model must be one of {known}; other "
                "models go into tokens.vision and tokens.text_encoder."
            )
        processor = checkpoint.part(AutoProcessor)
        tokenizer = processor.tokenizer
        longest = min(tokenizer.model_max_length, towers.config.text_config.max_position_embeddings)
        return family(towers, processor, longest - tokenizer.num_special_tokens_to_add())

    def __post_init__(self) -> None:
        self.processor.tokenizer.padding_side = "right"

    @property
    def image_processor(self) -> Any:
        """The processor's part for images."""
        return self.processor.image_processor

    @property
    def text_width(self) -> int:
        """Dimensions of a text token."""
        return int(self.model.text_projection.out_features)

    @torch.inference_mode()
    def images(self, pixels: Pixels) -> ImageTokens:
        """Patch tokens and class token of each frame: projection(post_layernorm(last hidden state)).

        The class tokens equal ``CLIPModel.get_image_features``. CLIP trains no output of a patch. With ``patch_path``
        value, a patch's token is what the last layer's attention would read of it alone, out(value(x)), in the place of
        its hidden state (Zhou et al. 2022, eq. 2): it says more of what lies at the patch.
        """
        tower, value = self.model.vision_model, self.patch_path == "value"
        seen = tower(pixel_values=self.normalise(pixels), output_hidden_states=value)
        hidden = seen.last_hidden_state
        if value:
            layer, entering = tower.encoder.layers[-1], seen.hidden_states[-2]
            attention = layer.self_attn
            values = attention.out_proj(attention.v_proj(layer.layer_norm1(entering)))
            hidden = torch.cat([hidden[:, :1], values[:, 1:]], dim=1)
        tokens = self.model.visual_projection(tower.post_layernorm(hidden))
        return tokens[:, 1:], tokens[:, 0]

    def count(self, text: str) -> int:
        """How many tokens a text has, without special ones."""
        return len(self.processor.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    @torch.inference_mode()
    def texts(self, sentences: Sequence[str]) -> TextTokens:
        """Tokens of each sentence, their vocabulary ids, and which of them count: words and the end token.

        Tokens are text_projection(final_layer_norm(last hidden state)). The end token is the sentence's embedding
        (``CLIPModel.get_text_features``); the begin token is the same for all texts and is left out.
        """
        batch = self.processor.tokenizer(list(sentences), padding=True, return_tensors="pt").to(self.model.device)
        ids, real = batch["input_ids"], batch["attention_mask"]
        hidden = self.model.text_model(input_ids=ids, attention_mask=real).last_hidden_state
        kept = real.bool()
        begin = self.processor.tokenizer.bos_token_id
        if begin is not None and begin != self.processor.tokenizer.eos_token_id:
            kept &= ids != begin
        return self.model.text_projection(hidden), ids, kept


@dataclass
class SiglipEncoder(ClipEncoder):
    """A ``SiglipModel``: no class token, no projection of patches; a pooling head makes one vector of all patches."""

    @property
    def text_width(self) -> int:
        """Dimensions of a text token."""
        return int(self.model.text_model.head.out_features)

    @torch.inference_mode()
    def images(self, pixels: Pixels) -> ImageTokens:
        """Each patch through the pooling head by itself, and the head's vector of the whole frame.

        The head maps into the shared space: given one patch alone, it passes on that patch's value. The frame tokens
        equal ``SiglipModel.get_image_features``.
        """
        seen = self.model.vision_model(**self.vision_inputs(pixels))
        hidden = seen.last_hidden_state
        alone = self.model.vision_model.head(hidden.flatten(0, 1)[:, None])
        return alone.unflatten(0, hidden.shape[:2]), seen.pooler_output

    def vision_inputs(self, pixels: Pixels) -> dict[str, Tensor]:
        """What the vision tower is called with."""
        return {"pixel_values": self.normalise(pixels)}

    @torch.inference_mode()
    def texts(self, sentences: Sequence[str]) -> TextTokens:
        """Tokens of each sentence, their vocabulary ids, and which of them count: words and the last position.

        Tokens are head(final_layer_norm(last hidden state)). SigLIP was trained on texts padded to its full length
        without a mask, and its embedding of a text (``SiglipModel.get_text_features``) is the token at the last
        position, whichever that is; it is given the id of the end token. Other special tokens are left out.
        """
        tokenizer = self.processor.tokenizer
        longest = self.model.config.text_config.max_position_embeddings
        batch = tokenizer(
            list(sentences),
            padding="max_length",
            max_length=longest,
            return_special_tokens_mask=True,
            return_tensors="pt",
        ).to(self.model.device)
        ids, kept = batch["input_ids"], ~batch["special_tokens_mask"].bool()
        hidden = self.model.text_model(input_ids=ids).last_hidden_state
        ids[:, -1], kept[:, -1] = tokenizer.eos_token_id, True
        return self.model.text_model.head(hidden), ids, kept


@dataclass
class NaflexEncoder(SiglipEncoder):
    """A ``Siglip2Model``: the processor cuts an image of any shape into patches. Crops are square, so all grids are."""

    def _processor_is_identity(self, shape: tuple[int, ...]) -> bool:
        return False  # it always cuts

    def _resized(self, image: UInt8[np.ndarray, "height width 3"]) -> UInt8[Tensor, "*pixels"]:
        prepared = self.image_processor(Image.fromarray(image), do_rescale=False, do_normalize=False)
        rows, columns = prepared["spatial_shapes"][0]
        patches = np.asarray(prepared["pixel_values"][0])[: rows * columns]  # without padding
        return torch.from_numpy(np.ascontiguousarray(patches, dtype=np.uint8))

    def _by_channel(self, values: Float[Tensor, " channels"]) -> Float[Tensor, "*shape"]:
        return values.repeat(self.image_processor.patch_size**2)  # a patch's values: pixel by pixel, RGB

    def vision_inputs(self, pixels: Pixels) -> dict[str, Tensor]:
        """What the vision tower is called with: square grids without padding."""
        side = round(pixels.shape[1] ** 0.5)
        values = self.normalise(pixels)
        return {
            "pixel_values": values,
            "pixel_attention_mask": torch.ones(values.shape[:2], dtype=torch.long, device=values.device),
            "spatial_shapes": torch.full((len(values), 2), side, dtype=torch.long),
        }


FAMILIES: Mapping[str, type[ClipEncoder]] = {
    "CLIPModel": ClipEncoder,
    "MetaClip2Model": ClipEncoder,
    "SiglipModel": SiglipEncoder,
    "Siglip2Model": NaflexEncoder,
}
"""Class of a checkpoint, as transformers opens it, to what encodes with it."""
