"""The pocket LLM: a small Llama that refines a coarse caption of the world into JSON."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grace.pipeline.text.prompts import Prompt, read_prompt
from grace.pocket.loop import BUILD, Schedule, fit
from grace.pocket.synthetic_text import corpus, refine_messages, refinement, shortened
from grace.pocket.tokenizer import train_chat_tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import LlamaConfig, PreTrainedTokenizerFast

FOLDER = Path(__file__).parent / "llm"
SCHEDULE = Schedule(steps=1800, rate=2e-3)
BATCH = 24
POOL = 8
"""Batches per pool. A pool is sorted by length and cut into batches, so that little of a batch is padding."""
IGNORED = -100


Example = tuple[list[int], list[int]]
"""Token ids of a request and of its answer."""


def prompts() -> list[Prompt]:
    """The prompts that the pipeline sends by default."""
    return [read_prompt("coarse-v1"), read_prompt("refine-v1")]


def padded_vocabulary(tokenizer: PreTrainedTokenizerFast) -> int:
    """The tokenizer's size, rounded up to a multiple of 64."""
    return math.ceil(len(tokenizer) / 64) * 64


def text_config(tokenizer: PreTrainedTokenizerFast, layers: int) -> LlamaConfig:
    """A Llama with heads of 64, the smallest that vLLM's attention supports on a CPU."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=padded_vocabulary(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=layers,
        num_attention_heads=3,
        num_key_value_heads=3,
        head_dim=64,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def example(tokenizer: PreTrainedTokenizerFast, prompt: Prompt, rng: np.random.Generator) -> Example:
    """One training example: a refine request, some sentences of its prompt left out, and the right answer."""
    caption, answer = refinement(rng)
    messages = refine_messages(caption, shortened(prompt, rng, "captions"))
    chat = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    question = tokenizer(chat, add_special_tokens=False)["input_ids"]
    reply = tokenizer(answer, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    return question, reply


def batch(tokenizer: PreTrainedTokenizerFast, prompt: Prompt, step: int) -> list[Example]:
    """The examples of a training step: a pool's batches are taken in random order of length."""
    pool, order = _pool(tokenizer, prompt, step // POOL)
    part = order[step % POOL]
    return pool[part * BATCH : (part + 1) * BATCH]


@lru_cache(maxsize=1)
def _pool(tokenizer: PreTrainedTokenizerFast, prompt: Prompt, index: int) -> tuple[list[Example], list[int]]:
    rng = np.random.default_rng([1000, index])
    pool = [example(tokenizer, prompt, rng) for _ in range(POOL * BATCH)]
    return sorted(pool, key=lambda pair: len(pair[0]) + len(pair[1])), rng.permutation(POOL).tolist()


def padded(pairs: list[Example], pad: int) -> dict[str, torch.Tensor]:
    """Requests and answers as one batch, padded on the right; labels cover the answers only.

    No mask is needed: attention is causal, so no token attends to the padding behind it.
    """
    import torch

    length = max(len(question) + len(reply) for question, reply in pairs)
    ids = torch.full((len(pairs), length), pad)
    labels = torch.full((len(pairs), length), IGNORED)
    for row, (question, reply) in enumerate(pairs):
        end = len(question) + len(reply)
        ids[row, :end] = torch.tensor(question + reply)
        labels[row, len(question) : end] = torch.tensor(reply)
    return {"input_ids": ids, "labels": labels}


def build(folder: Path = FOLDER) -> None:
    """Train the LLM and save it as a Hugging Face folder."""
    import torch
    from transformers import LlamaForCausalLM

    from grace.pocket.checkpoint_io import save_language_model

    tokenizer = train_chat_tokenizer(corpus(prompts()))
    prompt = read_prompt("refine-v1")
    torch.manual_seed(0)
    model = LlamaForCausalLM(text_config(tokenizer, layers=3))
    model.set_attn_implementation("eager")  # its backward pass is the fastest on a CPU

    def loss(step: int) -> torch.Tensor:
        return model(**padded(batch(tokenizer, prompt, step), tokenizer.pad_token_id)).loss

    fit("llm", model, loss, SCHEDULE, build=BUILD)
    save_language_model(model, tokenizer, folder)
