"""Encoding wastes nothing: frames a second of the tokens stage beside the bare forward pass of the same CLIP.

The stage does all that it does in a run: reads shards of JPEG crops and texts, decodes, resizes, tokenises, encodes,
lays out, writes and fsyncs. The bare pass gets tensors that are prepared and in memory: the same frames in the same
batches and the same sentences, in the same dtype, and keeps nothing. The CLIP has the shape of ViT-B/32 and random
weights. Beside it, bfloat16 against float32, in speed and in what comes out.

    python benchmarks/encode.py [--quick]

Ends with one line of JSON: encode_ratio (goal >= 0.90), bf16_ratio (goal >= 3 where the processor has the units), and
the least and the mean cosine between tokens of both (goal >= 0.999).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.random_datasets import crops_set
from grace.pipeline.devices import choose_device, choose_dtype
from grace.pipeline.estimate import TYPICAL
from grace.pipeline.execution.runner import run
from grace.pipeline.media.images import decode_crop
from grace.pipeline.store import Store, write_atomic
from grace.pipeline.store.schemas import FACES
from grace.pipeline.text.sentences import split_sentences, split_to_length
from grace.pipeline.tokens.encoder import ClipEncoder
from grace.pipeline.tokens.settings import TokensSettings
from grace.pipeline.tokens.step import TokensStep
from tests.support.checkpoints import tower_tokenizer

INSTANTS, SIDE, SHARD = 16, 224, 16


def main() -> None:
    """Measure, print the table and the line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few frames, one round; no file is written")
    parser.add_argument("--clips", type=int, help="a round of the stage")
    parser.add_argument("--rounds", type=int)
    chosen = parser.parse_args()
    device = choose_device("auto")
    clips = chosen.clips or (8 if chosen.quick else 2048 if device.type == "cuda" else 96)
    rounds = chosen.rounds or (1 if chosen.quick else 5)
    dtype = choose_dtype("auto", device)
    batch = 256 if device.type == "cuda" else 64
    with TemporaryDirectory(prefix="grace-bench-") as scratch:
        folder = crops_set(Path(scratch) / "set", clips, instants=INSTANTS, side=SIDE, size=SHARD)
        encoder = random_clip(Path(scratch) / "clip", device)
        figures: dict[str, Any] = {"device": device.type, "dtype": str(dtype).removeprefix("torch."), "batch": batch}
        frames = prepared(folder, encoder, min(clips, 32))
        figures |= precision(encoder, frames, batch, rounds)
        encoder.model.to(dtype)
        figures |= stage_beside_bare(folder, encoder, clips, batch, rounds)
    figures |= {"frames": clips * INSTANTS, "rounds": rounds, "threads": torch.get_num_threads()}
    Console(highlight=False).print(table(figures))
    if not chosen.quick:
        write_atomic(Path(__file__).parent / "results/encode.json", (json.dumps(figures, indent=2) + "\n").encode())
    print(json.dumps(figures))


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
            taken.append(len(frames) / seconds(lambda pixels=pixels: forward(encoder, pixels), encoder))
            tokens[dtype] = torch.cat([encoder.images(part)[0] for part in frames[:32].split(16)]).float()
    cosine = torch.cosine_similarity(tokens[torch.float32], tokens[torch.bfloat16], dim=-1)
    pairs = zip(rates[torch.bfloat16], rates[torch.float32], strict=True)
    return {
        "bf16_ratio": round(median(fast / slow for fast, slow in pairs), 2),
        "bf16_frames_per_second": round(median(rates[torch.bfloat16]), 1),
        "fp32_frames_per_second": round(median(rates[torch.float32]), 1),
        "cosine_least": round(float(cosine.min()), 5),
        "cosine_mean": round(float(cosine.mean()), 5),
    }


def stage_beside_bare(folder: Path, encoder: ClipEncoder, clips: int, batch: int, rounds: int) -> dict[str, float]:
    """The whole stage and the bare forward passes of all its frames and sentences, in turn."""
    settings = TokensSettings(model=str(folder.parent / "clip"), batch=batch)
    step = TokensStep(settings)
    step.encoder = encoder
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
        once = seconds(lambda: forward(encoder, pixels, texts), encoder)
        bare.append(len(frames) / once)
        for shard in (folder / "tokens").glob("*.h5"):
            shard.unlink()
        start = time.perf_counter()
        run(step, folder, size=SHARD)
        stage.append(clips * INSTANTS / (time.perf_counter() - start))
        print(f"round {number + 1}: stage {stage[-1]:.1f}, bare {bare[-1]:.1f} frames/s", file=sys.stderr)
    return {
        "encode_ratio": round(median(a / b for a, b in zip(stage, bare, strict=True)), 3),
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


def seconds(work: Callable[[], None], encoder: ClipEncoder) -> float:
    """Wall-clock seconds of ``work``."""
    start = time.perf_counter()
    work()
    if encoder.model.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def table(figures: dict[str, Any]) -> Table:
    """The figures, a row each."""
    made = Table(title="the tokens stage beside bare CLIP", title_justify="left", show_header=False)
    for name, value in figures.items():
        made.add_row(name.replace("_", " "), str(value))
    return made


if __name__ == "__main__":
    main()
