"""The pocket VLM: an Idefics3 (the architecture of SmolVLM) that tells in words what eight pictures of a face show.

Its vision tower is the one of ``pocket/vision_pretraining.py``, its language model starts from the pocket LLM's. The features of all
training clips are computed once, and the connector and the language model learn to write the true coarse captions
from them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grace.pipeline.text.caption import coarse_request
from grace.pipeline.text.prompts import Prompt, read_prompt
from grace.pipeline.world.sentences import coarse_caption
from grace.pocket.batches import DEVIATION, MEAN, aligned, normalised
from grace.pocket.loop import BUILD, Schedule, fit
from grace.pocket.render_dataset import INSTANTS, SIZE, TRAIN, Drawn, instants, load
from grace.pocket.synthetic_text import corpus, shortened
from grace.pocket.tokenizer import train_chat_tokenizer
from grace.pocket.train_llm import FOLDER as LLM_FOLDER
from grace.pocket.train_llm import IGNORED, prompts, text_config
from grace.pocket.vision_pretraining import CONFIG, PATCH, pretrained_vision_tower

if TYPE_CHECKING:
    import torch
    from transformers import Idefics3ForConditionalGeneration, Idefics3Processor

FOLDER = Path(__file__).parent / "vlm"
SCHEDULE = Schedule(steps=1500, rate=1.5e-3, muon=1e-2)
BATCH = 32
SHUFFLE = 4
IMAGE_TOKENS = (SIZE // PATCH // SHUFFLE) ** 2
"""Tokens a picture: 64 patches, shuffled four by four into 4."""


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
    """Start the language model from the pocket LLM's: its layers, and the embeddings of the tokens that both know."""
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    donor = LlamaForCausalLM.from_pretrained(llm, dtype=torch.float32).model
    known = AutoTokenizer.from_pretrained(llm).get_vocab()
    heir = model.model.text_model
    heir.layers.load_state_dict(donor.layers.state_dict())
    heir.norm.load_state_dict(donor.norm.state_dict())
    with torch.no_grad():
        for token, place in processor.tokenizer.get_vocab().items():
            if token in known:
                heir.embed_tokens.weight[place] = donor.embed_tokens.weight[known[token]]


def question(processor: Idefics3Processor, prompt: Prompt, rng: np.random.Generator, times: np.ndarray) -> list[int]:
    """Token ids of the caption stage's request, pictures and all; the prompt is shortened now and then."""
    blank = [np.zeros((2, 2, 3), np.uint8)] * INSTANTS
    request = coarse_request(blank, list(times), shortened(prompt, rng, "times"))
    asked = processor.apply_chat_template(list(request.messages), tokenize=False, add_generation_prompt=True)
    around = "<fake_token_around_image>"
    picture = f"{around}<global-img>{'<image>' * IMAGE_TOKENS}{around}"
    return list(processor.tokenizer(asked.replace("<image>", picture), add_special_tokens=False)["input_ids"])


class Captions:
    """Training clips with their captions, batch by batch."""

    def __init__(self, processor: Idefics3Processor, blocks: list[Drawn]) -> None:
        self.processor = processor
        self.prompt = read_prompt("coarse-v1")
        self.blocks = blocks
        self.clips = [(block, index) for block in range(len(blocks)) for index in range(len(blocks[block].frames))]
        timelines = [blocks[block].script(index).timeline for block, index in self.clips]
        self.durations = [timeline.duration for timeline in timelines]
        tokenizer = processor.tokenizer
        self.captions = [
            tokenizer(coarse_caption(timeline), add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
            for timeline in timelines
        ]

    def batch(self, step: int) -> tuple[list[int], dict[str, torch.Tensor]]:
        """Numbers of the batch's clips, and their ids and labels, padded on the right. One question serves all."""
        import torch

        rng = np.random.default_rng((9, step))
        picked = rng.integers(len(self.clips), size=BATCH).tolist()
        times = instants(self.durations[picked[0]])
        asked = question(self.processor, self.prompt, rng, times)
        length = len(asked) + max(len(self.captions[clip]) for clip in picked)
        ids = torch.full((BATCH, length), self.processor.tokenizer.pad_token_id)
        labels = torch.full((BATCH, length), IGNORED)
        for row, clip in enumerate(picked):
            caption = torch.tensor(self.captions[clip])
            ids[row, : len(asked)] = torch.tensor(asked)
            ids[row, len(asked) : len(asked) + len(caption)] = caption
            labels[row, len(asked) : len(asked) + len(caption)] = caption
        return picked, {"input_ids": ids, "labels": labels}

    def pixels(self, picked: list[int]) -> torch.Tensor:
        """The pictures of clips, normalised, [n, INSTANTS, 3, SIZE, SIZE]; each clip is placed in its own way."""
        import torch

        crops = []
        for clip in picked:
            block, index = self.clips[clip]
            drawn = self.blocks[block]
            crops.append(aligned(drawn.frames[index], drawn.regions[index], np.random.default_rng((10, clip)))[0])
        return torch.from_numpy(normalised(np.stack(crops)))


def build(folder: Path = FOLDER) -> None:
    """Train the VLM and save it as a Hugging Face folder."""
    import torch

    from grace.pocket.caption_training import CaptionTraining
    from grace.pocket.checkpoint_io import save_language_model

    processor = make_processor()
    torch.manual_seed(0)
    model = make_model(-(-len(processor.tokenizer) // 64) * 64, processor)
    model.set_attn_implementation("eager")  # on a CPU its backward pass is the faster one
    model.model.vision_model.load_state_dict(pretrained_vision_tower().state_dict())
    init_from_llm(model, processor, LLM_FOLDER)
    captions = Captions(processor, load(TRAIN))
    story = CaptionTraining(model, captions)
    story.cache_vision_features()
    fit("vlm-words", story, story.loss, SCHEDULE, build=BUILD)
    save_language_model(model, processor.tokenizer, folder)
    processor.save_pretrained(folder)
