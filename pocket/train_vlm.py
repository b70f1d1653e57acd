"""The pocket VLM: an Idefics3 (the architecture of SmolVLM) that describes what eight pictures of a face show.

Its vision tower is the one of ``pocket/vision_pretraining.py``; its language model starts from the pocket LLM's. The
features of all training clips are computed once, and the connector and the language model learn to write the true
coarse captions from them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from grace.pocket.batches import DEVIATION, MEAN
from grace.pocket.caption_batches import Captions
from grace.pocket.loop import BUILD, Schedule, fit
from grace.pocket.render_dataset import SIZE, TRAIN, load
from grace.pocket.synthetic_text import corpus
from grace.pocket.tokenizer import train_chat_tokenizer
from grace.pocket.train_llm import FOLDER as LLM_FOLDER
from grace.pocket.train_llm import padded_vocabulary, prompts, text_config
from grace.pocket.vision_pretraining import CONFIG, PATCH, pretrained_vision_tower

if TYPE_CHECKING:
    from transformers import Idefics3ForConditionalGeneration, Idefics3Processor

FOLDER = Path(__file__).parent / "vlm"
SCHEDULE = Schedule(steps=1500, rate=1.5e-3, muon=1e-2)
SHUFFLE = 4
IMAGE_TOKENS = (SIZE // PATCH // SHUFFLE) ** 2
"""Tokens per picture: 64 patches, merged four by four (pixel shuffle) into 4 tokens."""


def make_model(vocabulary: int, processor: Idefics3Processor) -> Idefics3ForConditionalGeneration:
    """The untrained model."""
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration

    tokenizer = processor.tokenizer
    text = text_config(tokenizer, layers=3)
    image = tokenizer.convert_tokens_to_ids("<image>")
    config = Idefics3Config(
        text_config=text.to_dict(),
        vision_config=CONFIG,
        scale_factor=SHUFFLE,
        image_token_id=image,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    config.eos_token_id = tokenizer.eos_token_id
    assert text.vocab_size == vocabulary
    return Idefics3ForConditionalGeneration(config)


def make_processor() -> Idefics3Processor:
    """Tokenizer and image processor: whole pictures of 128 pixels, never split."""
    from transformers import Idefics3ImageProcessorPil, Idefics3Processor

    tokenizer = train_chat_tokenizer(corpus(prompts()), images=True)
    pictures = Idefics3ImageProcessorPil(
        do_image_splitting=False,
        size={"longest_edge": SIZE},
        max_image_size={"longest_edge": SIZE},
        image_mean=[MEAN] * 3,
        image_std=[DEVIATION] * 3,
    )
    template = tokenizer.chat_template
    return Idefics3Processor(pictures, tokenizer, image_seq_len=IMAGE_TOKENS, chat_template=template)


def init_from_llm(model: Idefics3ForConditionalGeneration, processor: Idefics3Processor, llm: Path) -> None:
    """Initialise the language model from the pocket LLM's: its layers, and the embeddings of the tokens they share."""
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    source = LlamaForCausalLM.from_pretrained(llm, dtype=torch.float32).model
    source_ids = AutoTokenizer.from_pretrained(llm).get_vocab()
    target = model.model.text_model
    target.layers.load_state_dict(source.layers.state_dict())
    target.norm.load_state_dict(source.norm.state_dict())
    with torch.no_grad():
        for token, index in processor.tokenizer.get_vocab().items():
            if token in source_ids:
                target.embed_tokens.weight[index] = source.embed_tokens.weight[source_ids[token]]


def build(folder: Path = FOLDER) -> None:
    """Train the VLM and save it as a Hugging Face folder."""
    import torch

    from grace.pocket.caption_training import CaptionTraining
    from grace.pocket.checkpoint_io import save_language_model

    processor = make_processor()
    torch.manual_seed(0)
    model = make_model(padded_vocabulary(processor.tokenizer), processor)
    model.set_attn_implementation("eager")  # its backward pass is the fastest on a CPU
    model.model.vision_model.load_state_dict(pretrained_vision_tower().state_dict())
    init_from_llm(model, processor, LLM_FOLDER)
    captions = Captions(processor, load(TRAIN))
    training = CaptionTraining(model, captions)
    training.cache_vision_features()
    fit("vlm", training, training.loss, SCHEDULE, build=BUILD)
    save_language_model(model, processor.tokenizer, folder)
    processor.save_pretrained(folder)
