"""A loaded chat model of transformers: prompts from messages, tokens from prompts, texts from tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Float, Int
from PIL import Image as Pictures
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    LogitsProcessorList,
)
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.utils import logging

from grace.pipeline.checkpoints import download_line, model_name, require_model
from grace.pipeline.devices import choose_device, choose_dtype
from grace.pipeline.engines.base import Message, Request, Response
from grace.pipeline.engines.special_tokens import escape_special_tokens, texts_in
from grace.pipeline.engines.thoughts import decode_with_marks, opened_thoughts, thought_tokens
from grace.pipeline.errors import UserError
from grace.pipeline.messages import error_line


@dataclass
class ChatModel:
    """Model, processor and tokenizer of one checkpoint; ``processor`` is the tokenizer when it reads no images."""

    name: str
    model: Any
    processor: Any
    tokenizer: Any
    sees_images: bool
    template_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.thought_marks = thought_tokens(self.tokenizer.get_added_vocab())

    @classmethod
    def load(
        cls, model: str, revision: str | None, dtype: str, device: str, trust_remote_code: bool = False
    ) -> ChatModel:
        """Open a checkpoint for generation.

        Args:
            model: A folder, one of the installed models, or a hub id.
            revision: Branch, tag or commit of a hub model.
            dtype: A type of PyTorch, such as ``bfloat16``; ``auto`` is what the device is good at.
            device: A device of PyTorch, such as ``cuda:1``; ``auto`` is the first GPU, else the CPU.
            trust_remote_code: Whether to run the code that the checkpoint brings.

        Raises:
            UserError: The checkpoint cannot be opened or cannot chat.
        """
        name, source = model_name(model), require_model(model, revision)
        target = choose_device(device)
        logging.disable_progress_bar()  # the stage has one of its own
        options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
        try:
            config = AutoConfig.from_pretrained(source, **options)
            sees_images = type(config) in AutoModelForImageTextToText._model_mapping
            auto = AutoModelForImageTextToText if sees_images else AutoModelForCausalLM
            processor = (
                _processor(config, source, options) if sees_images else AutoTokenizer.from_pretrained(source, **options)
            )
            opened = auto.from_pretrained(source, dtype=choose_dtype(dtype, target), **options)
        except Exception as error:  # each architecture reports missing files or packages in its own way
            hint = download_line(model, revision)  # part of it may be missing from the cache
            raise UserError(f"The model {name} cannot be opened: {error_line(error)}. {hint}".strip()) from error
        if not getattr(processor, "chat_template", None):
            raise UserError(f"The model {name} has no chat template: name one that was tuned to follow instructions.")
        tokenizer = processor.tokenizer if sees_images else processor
        tokenizer.padding_side = "left"  # answers then start at the same position in the whole batch
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        if sees_images:
            for setting, value in untiled(processor.image_processor).items():
                setattr(processor.image_processor, setting, value)
        # Always the likeliest token: _GumbelSampler draws, so that a draw does not depend on the batch.
        opened.generation_config.update(do_sample=False, temperature=None, top_p=None, top_k=None, num_beams=1)
        return cls(name, opened.to(target).eval(), processor, tokenizer, sees_images)

    @torch.inference_mode()
    def answer(self, requests: Sequence[Request]) -> list[Response]:
        """Answers to one batch. Raises what PyTorch and transformers raise, memory errors among them."""
        prompts = self._prompts(requests)
        inputs = self._inputs(requests, prompts)
        sizes = inputs["attention_mask"].sum(dim=1).tolist()
        longest = max(request.max_tokens for request in requests)
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if limit and max(sizes) + longest > limit:
            raise ValueError(f"{max(sizes)} prompt tokens and {longest} new ones are more than the model's {limit}")
        start = inputs["input_ids"].shape[1]
        produced = self.model.generate(
            **inputs,
            max_new_tokens=longest,
            pad_token_id=self.tokenizer.pad_token_id,
            logits_processor=LogitsProcessorList([_GumbelSampler(requests)]),
        )
        rows = produced[:, start:].tolist()
        # A template may open the thoughts of a reasoning model; without their mark they would pass for the answer.
        opened = map(opened_thoughts, prompts)
        return [self._response(request, *each) for request, *each in zip(requests, rows, sizes, opened, strict=True)]

    def free_memory(self) -> None:
        """Return memory that the allocator keeps to the device."""
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()

    def unload(self) -> None:
        """Return the model's own memory; nothing can be answered any more."""
        device, self.model = self.model.device, None
        if device.type == "cuda":
            torch.cuda.empty_cache()

    def _prompts(self, requests: Sequence[Request]) -> list[str]:
        return [
            self.processor.apply_chat_template(
                [self._message(message) for message in request.messages],
                add_generation_prompt=True,
                tokenize=False,
                **self.template_options,
            )
            for request in requests
        ]

    def _inputs(self, requests: Sequence[Request], prompts: Sequence[str]) -> Any:
        bos = self.tokenizer.bos_token
        options: dict[str, Any] = {
            "padding": True,
            "return_tensors": "pt",
            # Templates of text models hold every special token; those of processors leave the first one out.
            "add_special_tokens": self.sees_images and not (bos and prompts[0].startswith(bos)),
        }
        if not self.sees_images:
            return self.tokenizer(list(prompts), **options).to(self.model.device)
        pictures = [[Pictures.fromarray(image) for image in request.images] for request in requests]
        inputs = self.processor(text=list(prompts), images=pictures if any(pictures) else None, **options)
        return inputs.to(self.model.device, self.model.dtype)

    def _message(self, message: Message) -> Message:
        """The message as templates need it, its text unable to act as control tokens (``<|im_end|>``, ``<image>``)."""
        tokens = tuple(self.tokenizer.get_added_vocab())
        if not self.sees_images:
            return {**message, "content": escape_special_tokens(texts_in(message), tokens)}
        parts = [
            {**part, "text": escape_special_tokens(part["text"], tokens)} if part["type"] == "text" else part
            for part in message["content"]
        ]
        return {**message, "content": parts}

    def _response(self, request: Request, tokens: list[int], size: int, opened: str) -> Response:
        tokens = tokens[: request.max_tokens]
        ends = self.model.generation_config.eos_token_id
        ends = {ends} if isinstance(ends, int) else set(ends or ())
        end = next((position for position, token in enumerate(tokens) if token in ends), None)
        kept = tokens if end is None else tokens[:end]
        text = decode_with_marks(kept, self.thought_marks, partial(self.tokenizer.decode, skip_special_tokens=True))
        return Response(
            f"{opened}{text.strip()}", size, len(kept) + (end is not None), "length" if end is None else "stop"
        )


class _GumbelSampler:
    """Sampling by the Gumbel-max trick with one random stream per request, so that the batch does not change a draw.

    argmax(logits / temperature + Gumbel noise) is a draw from softmax(logits / temperature).
    """

    def __init__(self, requests: Sequence[Request]) -> None:
        self.streams = {
            row: (request.temperature, torch.Generator().manual_seed(request.seed))
            for row, request in enumerate(requests)
            if request.temperature > 0
        }

    def __call__(self, ids: Int[Tensor, "rows length"], scores: Float[Tensor, "rows words"]) -> Tensor:
        for row, (temperature, stream) in self.streams.items():
            uniform = torch.rand(scores.shape[1], generator=stream).clamp_min(1e-20).to(scores.device)
            scores[row] = scores[row] / temperature - (-uniform.log()).log()
        return scores


def _processor(config: Any, source: str, options: dict[str, Any]) -> Any:
    """The checkpoint's processor; without its part for video where that cannot load, since only pictures are shown."""
    if find_spec("torchvision") is not None or type(config) not in PROCESSOR_MAPPING:
        return AutoProcessor.from_pretrained(source, **options)
    whole = PROCESSOR_MAPPING[type(config)]
    if "video_processor" not in whole.get_attributes():
        return AutoProcessor.from_pretrained(source, **options)

    class ImageOnlyProcessor(whole):  # type: ignore[misc, valid-type]
        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            if argument_name != "video_processor":
                return super().check_argument_for_proper_class(argument_name, argument)
            return None

    tokenizer = AutoTokenizer.from_pretrained(source, **options)
    pictures = AutoImageProcessor.from_pretrained(source, **options)
    template = whole.get_processor_dict(source, **options)[0].get("chat_template") or tokenizer.chat_template
    return ImageOnlyProcessor(pictures, tokenizer, None, chat_template=template)


def untiled(image_processor: Any) -> dict[str, Any]:
    """Settings with which an image processor shows a face crop whole; empty when it does so anyway.

    A dozen enlarged tiles of a picture, made for documents, show nothing more of a face.
    """
    if not getattr(image_processor, "do_image_splitting", False):
        return {}
    return {"do_image_splitting": False, "size": dict(image_processor.max_image_size)}
