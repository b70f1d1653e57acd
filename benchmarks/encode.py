"""Encoding wastes nothing: frames per second of the tokens stage beside the bare forward pass of the same CLIP.

The stage does all that it does in a run: reads shards of JPEG crops and texts, decodes, resizes, tokenises, encodes,
lays out, writes and fsyncs. The bare pass gets tensors that are prepared and in memory: the same frames in the same
batches and the same sentences, in the same dtype, and keeps nothing. The CLIP has the shape of ViT-B/32 and random
weights. Beside it, bfloat16 against float32, in speed and in what comes out.

    python -m benchmarks.encode [--quick] [--clips 96] [--rounds 5]

Ends with one line of JSON: encode_ratio (goal >= 0.95), bf16_ratio (goal >= 3 where the processor has the units), and
cosine_least and cosine_mean, the least and the mean cosine between tokens of both (goal >= 0.999).

The full run has 60 times the work of --quick.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from benchmarks.harness import Benchmark, median_ratio, progress, scratch_folder, seconds
from benchmarks.random_datasets import crops_set
from grace.pipeline.devices import choose_device, choose_dtype
from grace.pipeline.estimate.trial import TYPICAL
from grace.pipeline.execution.runner import run
from grace.pipeline.media.images import decode_crop
from grace.pipeline.sentences import split_sentences, split_to_length
from grace.pipeline.store import Store
from grace.pipeline.store.schemas import FACES
from grace.pipeline.tokens.encoder import ClipEncoder
from grace.pipeline.tokens.encoders import Encoders
from grace.pipeline.tokens.settings import TokensSettings
from grace.pipeline.tokens.step import TokensStep
from tests.support.checkpoints import tower_tokenizer

INSTANTS, SIDE, SHARD = 16, 224, 16

BENCHMARK = Benchmark(
    "encode",
    __doc__,
    keys=("encode_ratio", "bf16_ratio", "cosine_least", "cosine_mean"),
    quick="few frames, one round",
)


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument("--clips", type=int, help="in one round of the stage")
    options.add_argument("--rounds", type=int)
    return options


def main() -> None:
    """Measure, print the table and the line of JSON."""
    args = parser().parse_args()
    device = choose_device("auto")
    clips = args.clips or (8 if args.quick else 2048 if device.type == "cuda" else 96)
    rounds = args.rounds or (1 if args.quick else 5)
    dtype = choose_dtype("auto", device)
    batch = 256 if device.type == "cuda" else 64
    with scratch_folder() as scratch:
        folder = crops_set(scratch / "set", clips, instants=INSTANTS, side=SIDE, size=SHARD)
        encoder = random_clip(scratch / "clip", device)
        figures: dict[str, Any] = {"device": device.type, "dtype": str(dtype).removeprefix("torch."), "batch": batch}
        frames = prepared(folder, encoder, min(clips, 32))
        figures |= precision(encoder, frames, batch, rounds)
        encoder.model.to(dtype)
        figures |= stage_beside_bare(folder, encoder, clips, batch, rounds)
    figures |= {"frames": clips * INSTANTS, "rounds": rounds, "threads": torch.get_num_threads()}
    BENCHMARK.report(figures, keep=not args.quick)


def random_clip(folder: Path, device: torch.device) -> ClipEncoder:
    """A CLIP in the shape of ViT-B/32 with random weights; its configuration is written to ``folder``."""
    torch.manual_seed(0)
    tokenizer = tower_tokenizer("<|im_start|>", 77)
    ids = {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id}
    config = CLIPConfig(text_config=ids | {"bos_token_id": tokenizer.bos_token_id, "pad_token_id": 0})
    config.save_pretrained(folder)
    processor = CLIPProcessor(CLIPImageProcessorPil(), tokenizer)
    return ClipEncoder(CLIPModel(config).to(device).eval(), processor, 75)


def prepared(folder: Path, encoder: ClipEncoder, clips: int) -> Tensor:
    """The frames of the first clips, decoded and resized."""
    crops = [frame for row in Store(folder / "faces", FACES).rows(["frames"]) for frame in row["frames"]]
    return torch.stack([encoder.prepare(decode_crop(crop)) for crop in crops[: clips * INSTANTS]])


def precision(encoder: ClipEncoder, frames: Tensor, batch: int, rounds: int) -> dict[str, float]:
    """bfloat16 beside float32, on the same frames."""
    frames = frames[: 2 * batch]
    rates: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    tokens: dict[torch.dtype, Tensor] = {}
    for _ in range(rounds):
        for dtype, taken in rates.items():
            encoder.model.to(dtype)
            encoder.images(frames[:2])
            pixels = [encoder.normalise(part) for part in frames.split(batch)]
            taken.append(len(frames) / seconds(partial(forward, encoder, pixels), device=encoder.model.device))
            tokens[dtype] = torch.cat([encoder.images(part)[0] for part in frames[:32].split(16)]).float()
    cosine = torch.cosine_similarity(tokens[torch.float32], tokens[torch.bfloat16], dim=-1)
    return {
        "bf16_ratio": round(median_ratio(rates[torch.bfloat16], rates[torch.float32]), 2),
        "bf16_frames_per_second": round(median(rates[torch.bfloat16]), 1),
        "fp32_frames_per_second": round(median(rates[torch.float32]), 1),
        "cosine_least": round(float(cosine.min()), 5),
        "cosine_mean": round(float(cosine.mean()), 5),
    }


def stage_beside_bare(folder: Path, encoder: ClipEncoder, clips: int, batch: int, rounds: int) -> dict[str, float]:
    """The whole stage and the bare forward passes of all its frames and sentences, in turns."""
    settings = TokensSettings(model=str(folder.parent / "clip"), batch=batch)
    step = TokensStep(settings)
    step.encoders = Encoders(encoder, encoder)
    frames = prepared(folder, encoder, min(clips, 32))
    pixels = [encoder.normalise(part) for part in frames.split(batch)]
    sentences = [
        part
        for text in split_sentences(TYPICAL)
        for part in split_to_length(text, encoder.max_text_tokens, encoder.count)
    ]
    many = (sentences * min(clips, 32))[: min(clips, 32) * len(sentences)]
    tokenizer = encoder.processor.tokenizer
    texts = [
        tokenizer(many[start : start + batch], padding=True, return_tensors="pt").to(encoder.model.device)
        for start in range(0, len(many), batch)
    ]
    stage, bare = [], []
    for number in range(rounds):
        bare.append(len(frames) / seconds(partial(forward, encoder, pixels, texts), device=encoder.model.device))
        for shard in (folder / "tokens").glob("*.h5"):
            shard.unlink()
        stage.append(clips * INSTANTS / seconds(lambda: run(step, folder, size=SHARD)))
        progress(f"round {number + 1}: stage {stage[-1]:.1f}, bare {bare[-1]:.1f} frames/s")
    return {
        "encode_ratio": round(median_ratio(stage, bare), 3),
        "stage_frames_per_second": round(median(stage), 1),
        "bare_frames_per_second": round(median(bare), 1),
    }


@torch.inference_mode()
def forward(encoder: ClipEncoder, pixels: list[Tensor], texts: list[Any] | None = None) -> None:
    """What a loop over ``get_image_features`` and ``get_text_features`` does."""
    for part in pixels:
        encoder.model.get_image_features(pixel_values=part)
    for text in texts or []:
        encoder.model.get_text_features(**text)


if __name__ == "__main__":
    main()
