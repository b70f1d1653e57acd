"""Tiny checkpoints with random weights, of the architectures that users pick: the real loading code, in a second."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

TURNS = """{% for message in messages %}<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}
{%- if part.type == 'image' %}IMAGE{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
"""A chat template; ``IMAGE`` stands for the architecture's image placeholder."""

PROMPTS = Path(__file__).parents[2] / "pipeline/text/prompts"

SMALL_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 2048,
}


def train_tokenizer(*control: str) -> Any:
    """A byte-level BPE of the prompts' words, chatting with ``<|im_start|>`` and ``<|im_end|>``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    # CLIPTextModel takes an end token of id 2 for OpenAI's first configuration and pools elsewhere: 2 is not the end.
    special = ["<pad>", "<|im_start|>", "<unk>", "<|im_end|>", *control]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    texts = [file.read_text() for file in sorted(PROMPTS.glob("*.md"))]
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=500, special_tokens=special, initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<|im_end|>",
        extra_special_tokens=list(control),
        chat_template=TURNS,
    )


def save_text_model(folder: Path, architecture: str) -> None:
    """A ``llama`` or ``qwen2`` text model."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = train_tokenizer()
    torch.manual_seed(0)
    ids = {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    config = AutoConfig.for_model(architecture, **SMALL_TEXT, **ids, pad_token_id=tokenizer.pad_token_id)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def save_idefics3(folder: Path) -> None:
    """SmolVLM's architecture: pictures of 64 pixels become 4 tokens each."""
    import torch
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    tokenizer = train_tokenizer("<fake_token_around_image>", "<image>", "<global-img>", "<end_of_utterance>")
    pictures = Idefics3ImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 64})
    template = TURNS.replace("IMAGE", "<image>")
    Idefics3Processor(pictures, tokenizer, image_seq_len=4, chat_template=template).save_pretrained(folder)
    text = {"model_type": "llama", **SMALL_TEXT, "vocab_size": len(tokenizer)}
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 16,
    }
    torch.manual_seed(0)
    config = Idefics3Config(
        vision_config=vision,
        text_config=text,
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Idefics3ForConditionalGeneration(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)


def save_llava(folder: Path) -> None:
    """LLaVA: a CLIP vision tower of 32 pixels in patches of 16 before a Llama."""
    import torch
    from transformers import LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    tokenizer = train_tokenizer("<image>")
    pictures = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    template = TURNS.replace("IMAGE", "<image>")
    LlavaProcessor(
        pictures,
        tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config={"model_type": "clip_vision_model", **small_vision(32, 16)},
        text_config={"model_type": "llama", **SMALL_TEXT, "vocab_size": len(tokenizer)},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    model = LlavaForConditionalGeneration(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)


def small_vision(size: int, patch: int) -> dict[str, int]:
    """A two-layer CLIP vision tower."""
    return {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": size,
        "patch_size": patch,
    }


def save_qwen2_5_vl(folder: Path) -> None:
    """Qwen2.5-VL: pictures of any size, in patches of 14 merged two by two."""
    import torch
    from transformers import AutoConfig, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    control = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    tokenizer = train_tokenizer(*control)
    pictures = Qwen2VLImageProcessorPil(size={"shortest_edge": 28 * 28, "longest_edge": 56 * 56})
    template = TURNS.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
    if find_spec("torchvision"):
        from transformers import Qwen2VLVideoProcessor

        videos = Qwen2VLVideoProcessor()
        Qwen2_5_VLProcessor(pictures, tokenizer, videos, chat_template=template).save_pretrained(folder)
    else:  # without it the processor cannot even be made; a user's folder has its parts
        tokenizer.chat_template = template
        pictures.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    start, end, image, video = (tokenizer.convert_tokens_to_ids(token) for token in control)
    torch.manual_seed(0)
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
    config = AutoConfig.for_model(
        "qwen2_5_vl",
        text_config={**SMALL_TEXT, "vocab_size": len(tokenizer), "rope_parameters": rope},
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": 32,
            "fullatt_block_indexes": [1],
        },
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)


def tower_tokenizer(begin: str | None, positions: int) -> Any:
    """The tokenizer of a text tower of ``positions``: texts get an end token, and a first one if ``begin`` names it."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = train_tokenizer()
    end = "<|im_end|>"
    special = [(end, tokenizer.eos_token_id)]
    if begin is not None:
        tokenizer.add_special_tokens({"bos_token": begin})
        special.append((begin, tokenizer.bos_token_id))
    single = f"{begin} $A {end}" if begin else f"$A {end}"
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=single, special_tokens=special)
    tokenizer.model_max_length = positions
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return tokenizer


def small_text(tokenizer: Any, positions: int) -> dict[str, Any]:
    """A two-layer text tower."""
    return {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": positions,
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def save_clip(folder: Path, family: str = "CLIP") -> None:
    """A CLIP (or ``MetaClip2``) of 32-pixel pictures in 4 patches, 24 text positions, shared space of 16."""
    import torch
    import transformers
    from transformers import CLIPProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    tokenizer = tower_tokenizer("<|im_start|>", 24)
    pictures = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(pictures, tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(
        text_config=small_text(tokenizer, 24), vision_config=small_vision(32, 16), projection_dim=16
    )
    getattr(transformers, f"{family}Model")(config).save_pretrained(folder)


def save_siglip(folder: Path) -> None:
    """A SigLIP of 32-pixel pictures in 4 patches, 24 text positions, shared space of 32."""
    import torch
    from transformers import SiglipConfig, SiglipModel, SiglipProcessor
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    tokenizer = tower_tokenizer(None, 24)
    SiglipProcessor(SiglipImageProcessorPil(size={"height": 32, "width": 32}), tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    config = SiglipConfig(text_config=small_text(tokenizer, 24), vision_config=small_vision(32, 16))
    SiglipModel(config).save_pretrained(folder)


def save_siglip2(folder: Path) -> None:
    """A SigLIP 2 of the kind that takes patches: 9 of 16 pixels."""
    import torch
    from transformers import Siglip2Config, Siglip2Model, Siglip2Processor
    from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

    tokenizer = tower_tokenizer(None, 24)
    pictures = Siglip2ImageProcessorPil(patch_size=16, max_num_patches=10)
    Siglip2Processor(pictures, tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    vision = {**small_vision(32, 16), "num_patches": 4}
    Siglip2Model(Siglip2Config(text_config=small_text(tokenizer, 24), vision_config=vision)).save_pretrained(folder)


SAVERS: dict[str, Callable[[Path], None]] = {
    "llama": lambda folder: save_text_model(folder, "llama"),
    "qwen2": lambda folder: save_text_model(folder, "qwen2"),
    "idefics3": save_idefics3,
    "llava": save_llava,
    "qwen2_5_vl": save_qwen2_5_vl,
    "clip": save_clip,
    "metaclip2": lambda folder: save_clip(folder, "MetaClip2"),
    "siglip": save_siglip,
    "siglip2": save_siglip2,
}
