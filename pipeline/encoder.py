"""A CLIP checkpoint as the tokens stage sees it: pictures and sentences to tokens in the shared, projected space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from torch import Tensor
from transformers import AutoModel, AutoProcessor, CLIPModel
from transformers.utils import logging

from pipeline.errors import UserError
from pipeline.models import choose_device, choose_dtype


@dataclass
class ClipEncoder:
    """A ``CLIPModel`` with its processor. Its methods are all that the stage asks of a model family."""

    model: Any
    processor: Any
    room: int
    """Text tokens a sentence may have, besides the special ones that the tokenizer adds."""

    @classmethod
    def load(cls, name: str, source: str, revision: str | None, dtype: str, device: str) -> ClipEncoder:
        """Open a checkpoint. Raises :class:`UserError` when it cannot be opened or is no CLIP."""
        where = choose_device(device)
        logging.disable_progress_bar()  # the stage has one of its own
        options: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
        try:
            model = AutoModel.from_pretrained(source, dtype=choose_dtype(dtype, where), **options)
            processor = AutoProcessor.from_pretrained(source, **options)
        except Exception as error:  # each kind of broken folder is complained of in its own way
            said = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise UserError(f"The model {name} cannot be opened: {said}") from error
        if not isinstance(model, CLIPModel):
            raise UserError(f"The model {name} is a {type(model).__name__}: tokens.model must be a CLIPModel.")
        tokenizer = processor.tokenizer
        tokenizer.padding_side = "right"
        longest = min(tokenizer.model_max_length, model.config.text_config.max_position_embeddings)
        room = longest - tokenizer.num_special_tokens_to_add()
        return cls(model.to(where).eval(), processor, room)

    def prepare(self, picture: UInt8[np.ndarray, "height width 3"]) -> UInt8[Tensor, "3 side side2"]:
        """A picture in the size that the model takes, by the processor's own rule. Safe to call from threads.

        Scaling and normalising wait for :meth:`images`: on the device, and on a quarter of the bytes to get there.
        """
        prepared = self.processor.image_processor(Image.fromarray(picture), do_rescale=False, do_normalize=False)
        return torch.from_numpy(np.ascontiguousarray(prepared["pixel_values"][0], dtype=np.uint8))

    @torch.inference_mode()
    def images(
        self, pixels: UInt8[Tensor, "frames 3 side side2"]
    ) -> tuple[Float[Tensor, "frames patches dim"], Float[Tensor, "frames dim"]]:
        """Patch tokens and class token of each frame: projection(post_layernorm(last hidden state)).

        The class tokens equal ``CLIPModel.get_image_features``.
        """
        hidden = self.model.vision_model(pixel_values=self._normalise(pixels)).last_hidden_state
        tokens = self.model.visual_projection(self.model.vision_model.post_layernorm(hidden))
        return tokens[:, 1:], tokens[:, 0]

    def _normalise(self, pixels: UInt8[Tensor, "frames 3 side side2"]) -> Float[Tensor, "frames 3 side side2"]:
        rule = self.processor.image_processor
        values = pixels.to(self.model.device).to(torch.float32)
        if rule.do_rescale:
            values *= rule.rescale_factor
        if rule.do_normalize:
            mean, std = (values.new_tensor(each).view(-1, 1, 1) for each in (rule.image_mean, rule.image_std))
            values = (values - mean) / std
        return values.to(self.model.dtype)

    def count(self, text: str) -> int:
        """How many tokens a text has, without special ones."""
        return len(self.processor.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    @torch.inference_mode()
    def texts(
        self, sentences: Sequence[str]
    ) -> tuple[
        Float[Tensor, "sentences length dim"], Int[Tensor, "sentences length"], Bool[Tensor, "sentences length"]
    ]:
        """Tokens of each sentence, their vocabulary ids, and which of them count: words and the end token.

        Tokens are text_projection(final_layer_norm(last hidden state)). The end token is the sentence's embedding
        (``CLIPModel.get_text_features``); the begin token is the same for all texts, tells nothing, and is left out.
        """
        batch = self.processor.tokenizer(list(sentences), padding=True, return_tensors="pt").to(self.model.device)
        ids, real = batch["input_ids"], batch["attention_mask"]
        hidden = self.model.text_model(input_ids=ids, attention_mask=real).last_hidden_state
        kept = real.bool()
        begin = self.processor.tokenizer.bos_token_id
        if begin is not None and begin != self.processor.tokenizer.eos_token_id:
            kept &= ids != begin
        return self.model.text_projection(hidden), ids, kept
