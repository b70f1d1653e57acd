"""Writing of model folders for Hugging Face and vLLM: weights in bfloat16, tokenizer, processor, generation config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import CLIPModel, CLIPTokenizer, PreTrainedModel, PreTrainedTokenizerFast


def save_language_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a model that generates text, with its tokenizer."""
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    save_weights(model, folder)
    tokenizer.save_pretrained(folder)
    _name_plain_tokenizer(folder)


def save_weights(model: PreTrainedModel, folder: Path) -> None:
    """Write ``config.json`` and ``model.safetensors`` in bfloat16; the model itself stays in float32."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(folder)
    model.to(torch.float32)


def _name_plain_tokenizer(folder: Path) -> None:
    """Write a class name of the tokenizer that every release of transformers knows, not only the newest."""
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    file.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def save_clip(model: CLIPModel, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write a CLIP with its tokenizer and image processor."""
    from transformers import CLIPImageProcessorPil

    from grace.pocket.batches import DEVIATION, MEAN

    size = model.config.vision_config.image_size
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": size},
        crop_size={"height": size, "width": size},
        image_mean=[MEAN] * 3,
        image_std=[DEVIATION] * 3,
    )
    save_weights(model, folder)
    tokenizer.save_pretrained(folder)
    processor.save_pretrained(folder)
