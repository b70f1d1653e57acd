"""Training batches of the pocket VLM: the caption stage's requests for rendered clips, and the true captions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grace.pipeline.text.caption import coarse_request
from grace.pipeline.text.prompts import Prompt, read_prompt
from grace.pipeline.world.sentences import coarse_caption
from grace.pocket.batches import normalised, place_crops
from grace.pocket.render_dataset import INSTANTS, RenderedBlock, instants
from grace.pocket.synthetic_text import shortened
from grace.pocket.train_llm import IGNORED

if TYPE_CHECKING:
    import torch
    from transformers import Idefics3Processor

BATCH = 32
"""Clips per batch."""


def request_tokens(
    processor: Idefics3Processor, prompt: Prompt, rng: np.random.Generator, times: np.ndarray
) -> list[int]:
    """Token ids of the caption stage's request, image tokens included; some sentences of the prompt may be left out."""
    blank = [np.zeros((2, 2, 3), np.uint8)] * INSTANTS
    messages = coarse_request(blank, list(times), shortened(prompt, rng, "times")).messages
    chat = processor.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
    around = "<fake_token_around_image>"
    picture = f"{around}<global-img>{'<image>' * processor.image_seq_len}{around}"
    return list(processor.tokenizer(chat.replace("<image>", picture), add_special_tokens=False)["input_ids"])


class Captions:
    """Training clips with their captions, batch by batch."""

    def __init__(self, processor: Idefics3Processor, blocks: list[RenderedBlock]) -> None:
        self.processor = processor
        self.prompt = read_prompt("coarse-v1")
        self.blocks = blocks
        self.clips = [(block, index) for block in range(len(blocks)) for index in range(len(blocks[block].frames))]
        timelines = [blocks[block].scenario(index).timeline for block, index in self.clips]
        self.durations = [timeline.duration for timeline in timelines]
        tokenizer = processor.tokenizer
        self.captions = [
            tokenizer(coarse_caption(timeline), add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
            for timeline in timelines
        ]

    def batch(self, step: int) -> tuple[list[int], dict[str, torch.Tensor]]:
        """Numbers of a batch's clips, their token ids and labels, padded on the right; all have the same request."""
        import torch

        rng = np.random.default_rng((9, step))
        picked = rng.integers(len(self.clips), size=BATCH).tolist()
        times = instants(self.durations[picked[0]])
        request = request_tokens(self.processor, self.prompt, rng, times)
        length = len(request) + max(len(self.captions[clip]) for clip in picked)
        ids = torch.full((BATCH, length), self.processor.tokenizer.pad_token_id)
        labels = torch.full((BATCH, length), IGNORED)
        for row, clip in enumerate(picked):
            caption = torch.tensor(self.captions[clip])
            ids[row, : len(request)] = torch.tensor(request)
            ids[row, len(request) : len(request) + len(caption)] = caption
            labels[row, len(request) : len(request) + len(caption)] = caption
        return picked, {"input_ids": ids, "labels": labels}

    def pixels(self, picked: list[int]) -> torch.Tensor:
        """The normalised pictures of clips, [n, INSTANTS, 3, SIZE, SIZE]; each clip has its own jitter of the crop."""
        import torch

        crops = []
        for clip in picked:
            block, index = self.clips[clip]
            drawn = self.blocks[block]
            crops.append(place_crops(drawn.frames[index], drawn.regions[index], np.random.default_rng((10, clip)))[0])
        return torch.from_numpy(normalised(np.stack(crops)))
