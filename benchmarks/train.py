"""Training from the cache beats re-encoding: clips per second of `grace train` on a cache of ViT-B/32's shape beside an
end-to-end training step of CLIP ViT-B/32 with a temporal transformer on the same 16 frames.

The cache is real files of random tokens (16 × 49 × 512, float16), read from the disk by the trainer's own loop, with
validation, checkpoints and curves; the rival is a `CLIPVisionModel` of random weights, fully fine-tuned, its frames
already decoded in memory (which flatters it). Both may use all processors, or the GPU where there is one.

    python -m benchmarks.train [--quick] [--threads N]

Ends with one line of JSON: train_ratio (goal >= 800), clips/s of both, and where a step of `grace` spends its time;
processor_ratio is the same of processor time, for a machine that is busy with other work; train_ratio_cues of texts
that have a token per cue, not per word, train_ratio_bfloat16 of layers in that precision, which is only faster where
the processor has units for it, and train_ratio_cues_bfloat16 of both.

The full run has 16 times the clips of --quick.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.harness import Benchmark, scratch_folder, seconds_in_turns
from grace.pipeline.devices import choose_device
from grace.pipeline.store import Store, write_clips
from grace.pipeline.store.schemas import MOTION, TOKENS
from grace.trainer.batch import Sizes
from grace.trainer.data import Cache, Subset
from grace.trainer.layers import ModelConfig, TemporalTransformer
from grace.trainer.losses import LossConfig, contrastive_distance, total_loss
from grace.trainer.methods import build
from grace.trainer.model import Grace
from grace.trainer.protocol import TrainSelection
from grace.trainer.settings import TrainSettings
from grace.trainer.training_loop import fit

INSTANTS, GRID, WIDTH, LENGTH, WORDS, CUES = 16, 7, 512, 77, 40, 8
LABELS = ["happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear"]
SHARD = 32
SETTINGS: dict[str, tuple[int, dict[str, str]]] = {
    "": (WORDS, {}),
    "_cues": (CUES, {}),
    "_bfloat16": (WORDS, {"precision": "bfloat16"}),
    "_cues_bfloat16": (CUES, {"precision": "bfloat16"}),
}
"""Of each key's ending: text tokens of a clip (``tokens.text_unit``), and settings of the training. None: defaults."""

BENCHMARK = Benchmark("train", __doc__, keys=("train_ratio", "processor_ratio"), quick="64 clips, one end-to-end step")


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of both sides")
    return options


def main() -> None:
    """Measure both sides and the shares, print them and the line of JSON."""
    args = parser().parse_args()
    torch.set_num_threads(args.threads)
    clips, steps = (64, 1) if args.quick else (1024, 5)
    device = choose_device("auto")
    settings = TrainSettings().model_copy(update={"epochs": 2, "patience": 2, "threads": args.threads})
    rates, share = {}, {}
    for ending, (words, changed) in SETTINGS.items():
        with scratch_folder() as folder:
            cache = Cache(random_cache(folder, clips, words))
            ids = tuple(cache.rows)
            selection = TrainSelection(Subset(cache, ids), Subset(cache, ids[: clips // 8]))
            rates[ending] = cached_rate(selection, settings.model_copy(update=changed), folder)
            if not ending:
                share = shares(selection.train, settings, device)
    end_to_end = end_to_end_rate(steps, device, batch=1 if args.quick else 2)
    figures = {
        "train_ratio": round(rates[""][0] / end_to_end[0], 1),
        "processor_ratio": round(rates[""][1] / end_to_end[1], 1),
        **{f"train_ratio{ending}": round(rate[0] / end_to_end[0], 1) for ending, rate in rates.items() if ending},
        "cached_clips_per_second": round(rates[""][0], 2),
        "end_to_end_clips_per_second": round(end_to_end[0], 4),
        **{f"share_{name}": round(value, 3) for name, value in share.items()},
        "clips": clips,
        "threads": args.threads,
        "device": device.type,
    }
    BENCHMARK.report(figures, keep=not args.quick)


def random_cache(folder: Path, clips: int, words: int = WORDS) -> Path:
    """Real store files of random tokens in the shape of CLIP ViT-B/32, and as many text tokens per clip."""
    generator = np.random.default_rng(0)
    names = [f"{number:05d}" for number in range(clips)]
    ok = {"status": "ok", "error": ""}
    write_clips(folder, [{"clip_id": name, "label": LABELS[k % 7], **ok} for k, name in enumerate(names)], LABELS)
    mask = np.arange(LENGTH) < words
    for shard, start in enumerate(range(0, clips, SHARD)):
        tokens, motion = [], []
        for name in names[start : start + SHARD]:
            visual = generator.standard_normal((INSTANTS, GRID * GRID, WIDTH), dtype=np.float32).astype(np.float16)
            text = generator.standard_normal((LENGTH, WIDTH), dtype=np.float32).astype(np.float16)
            described = {"text": text * mask[:, None], "text_mask": mask, "sentence": np.where(mask, 0, -1)}
            tokens.append({"clip_id": name, **ok, "visual": visual, "frame": visual[:, 0], **described})
            maps = generator.random((INSTANTS, GRID, GRID), dtype=np.float32)
            motion.append({"clip_id": name, **ok, "motion": maps, "rigid": np.zeros((INSTANTS, 4))})
        for place, schema, rows in (("tokens", TOKENS, tokens), ("motion", MOTION, motion)):
            Store(folder / place, schema).write(shard, rows, {"cache_key": {}, "fingerprint": f"{shard}"})
    return folder


def cached_rate(selection: TrainSelection, settings: TrainSettings, folder: Path) -> tuple[float, float]:
    """Training clips per second of the trainer's own loop, everything included: by the clock, and of processor time."""
    torch.manual_seed(0)
    model = build(ModelConfig.from_settings(settings, selection.train.cache.sizes))
    start, used = time.perf_counter(), time.process_time()
    fit(model, selection, settings, folder, "benchmark", quiet=True)
    clips = settings.epochs * len(selection.train)
    return clips / (time.perf_counter() - start), clips / (time.process_time() - used)


def end_to_end_rate(steps: int, device: torch.device, batch: int) -> tuple[float, float]:
    """The same of full fine-tuning: CLIP ViT-B/32 on every frame, a temporal transformer, AdamW."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    class EndToEnd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            config = CLIPVisionConfig(hidden_size=768, intermediate_size=3072, patch_size=32, image_size=224)
            self.clip = CLIPVisionModel(config)
            sizes = Sizes(len(LABELS), INSTANTS, GRID * GRID, WIDTH)
            like_ours = ModelConfig.from_settings(TrainSettings(hidden=512, heads=8), sizes)  # as deep as ours
            self.project, self.temporal = nn.Linear(768, 512), TemporalTransformer(like_ours)
            self.classifier = nn.Linear(512, len(LABELS))

        def forward(self, frames: Tensor) -> Tensor:
            seen = self.clip(pixel_values=frames.flatten(0, 1)).pooler_output.unflatten(0, frames.shape[:2])
            scores: Tensor = self.classifier(self.temporal(self.project(seen)).mean(1))
            return scores

    torch.manual_seed(0)
    model = EndToEnd().to(device)
    optimizer = torch.optim.AdamW(model.parameters())
    frames, labels = torch.randn(batch, INSTANTS, 3, 224, 224, device=device), torch.zeros(batch, dtype=torch.long)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = nn.functional.cross_entropy(model(frames).float(), labels.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    used = time.process_time()
    by_clock = median_seconds(step, steps, device)
    return batch / by_clock, batch * (steps + 1) / (time.process_time() - used)


def shares(part: Subset, settings: TrainSettings, device: torch.device) -> dict[str, float]:
    """Where a step of ``grace`` goes: each part alone, forward and backward, over step and reading together."""
    torch.manual_seed(0)
    model = build(ModelConfig.from_settings(settings, part.cache.sizes)).to(device)
    assert isinstance(model, Grace)
    start = time.perf_counter()
    batches = [batch for batch, _ in part.batches(settings.batch)][:1]
    reading = (time.perf_counter() - start) / math.ceil(len(part) / settings.batch)
    batch = batches[0].to(device).drop_patches(settings.patch_dropout)
    labels = torch.arange(settings.batch, device=device) % len(LABELS)
    prior = torch.full((len(LABELS),), 1 / len(LABELS), device=device)
    loss = LossConfig(matcher=model.aligner.matcher)

    def step() -> None:
        total_loss(model(batch), labels, prior, loss)["loss"].backward()

    problem = model(batch).problem
    assert problem is not None
    fields = ("text", "text_marginal", "visual_marginal")  # the visual tokens come from the cache and need no gradient
    problem = replace(problem, **{name: getattr(problem, name).detach().requires_grad_() for name in fields})

    def sinkhorn() -> None:
        plan = model.aligner.matcher(*problem.costs_and_marginals()).plan
        (plan.square().sum() + contrastive_distance(problem, labels, loss.matcher, batch.has_text)).backward()

    patches = torch.randn(*batch.visual.shape[:3], settings.hidden, device=device, requires_grad=True)
    frames = torch.randn(*batch.frame.shape[:2], settings.hidden, device=device, requires_grad=True)

    def attention() -> None:
        model.aligner.temporal(model.aligner.frame_attention(frames, patches, batch.motion)).sum().backward()

    parts = {name: median_seconds(run, 3, device) for name, run in (("sinkhorn", sinkhorn), ("attention", attention))}
    whole = median_seconds(step, 3, device) + reading
    named = {**parts, "reading": reading}
    return {name: value / whole for name, value in named.items()} | {"rest": 1 - sum(named.values()) / whole}


def median_seconds(run: Callable[[], None], times: int, device: torch.device) -> float:
    """Median wall-clock seconds of ``run`` after one warm-up."""
    return median(seconds_in_turns({"run": run}, times, device=device)["run"])


if __name__ == "__main__":
    main()
