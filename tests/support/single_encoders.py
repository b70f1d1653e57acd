"""Tiny encoders of one side, with random weights: vision transformers, and a sentence encoder with WordPiece."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.checkpoints import small_vision

PATCH, SIDE, WIDTH = 16, 64, 32
"""Pixels of a patch and of the picture; dimensions of a visual token."""

WORDS = "the a brows brow rise ris ##e ##ing lips part jaw drops eyes close and slightly . , : which is held fading"


def save_vision(folder: Path, kind: str) -> None:
    """A vision transformer of that ``model_type``: 64-pixel pictures in 4 × 4 patches."""
    import torch
    from transformers import AutoConfig, AutoModel
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    torch.manual_seed(0)
    sizes: dict[str, Any] = small_vision(SIDE, PATCH)
    if kind == "dinov2":
        sizes["mlp_ratio"] = 2
        del sizes["intermediate_size"]
    AutoModel.from_config(AutoConfig.for_model(kind, **sizes)).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)


def save_sentence_encoder(folder: Path) -> None:
    """A BERT of 24 dimensions and 20 positions."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(WORDS.split())]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=20).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    BertModel(BertConfig(vocab_size=len(vocabulary), max_position_embeddings=20, **sizes)).save_pretrained(folder)
