"""What a method costs: parameters, operations of a forward pass, and clips per second of a training step.

On random tokens in the shape of CLIP ViT-B/32 (16 instants of 49 patches, 512 wide; 40 words), with the settings of
params.yaml; reading the cache is not part of it. Operations are those of matrix products, as torch's counter sees them,
Sinkhorn's iterations among them. Methods take turns, so that a busy machine slows all of them.

    python -m benchmarks.method_costs [--quick] [--threads N]

Ends with one line of JSON: grace_share (goal >= 0.1), the training speed of `grace` over that of `vision`; and all
figures by method.
"""

from __future__ import annotations

import argparse
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.harness import Benchmark, table
from benchmarks.train import GRID, INSTANTS, LABELS, WIDTH, WORDS
from grace.trainer.batch import Batch, Sizes
from grace.trainer.layers import ModelConfig
from grace.trainer.methods import build
from grace.trainer.settings import METHODS, TrainSettings
from grace.trainer.throughput import seconds_per_clip

SIZES = Sizes(classes=len(LABELS), instants=INSTANTS, patches=GRID * GRID, width=WIDTH)
ROUNDS = 5

BENCHMARK = Benchmark("method_costs", __doc__, keys=("grace_share", "methods"), quick="one round")


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument("--threads", type=int, default=1)
    return options


def main() -> None:
    """Measure every method and print the table and the line of JSON."""
    args = parser().parse_args()
    settings = {method: TrainSettings.model_validate({"method": method, "threads": args.threads}) for method in METHODS}
    taken: dict[str, list[float]] = {method: [] for method in settings}
    for _ in range(1 if args.quick else ROUNDS):
        for method, one in settings.items():
            taken[method].append(seconds_per_clip(one, SIZES, WORDS))
    methods = {
        method: {
            "parameters": parameters(one),
            "forward_mflop": round(forward_operations(one) / 1e6, 1),
            "clips_per_second": round(1 / median(taken[method])),
        }
        for method, one in settings.items()
    }
    share = methods["grace"]["clips_per_second"] / methods["vision"]["clips_per_second"]
    lines = [
        (name, f"{found['parameters']:,}", f"{found['forward_mflop']:.1f}", f"{found['clips_per_second']:,}")
        for name, found in methods.items()
    ]
    columns = ("method", "parameters", "MFLOP a clip, forward", "training clips/s")
    figures = {"grace_share": round(share, 3), "methods": methods, "threads": args.threads}
    BENCHMARK.report(figures, keep=not args.quick, tables=[table("what a method costs", columns, lines)])


def parameters(settings: TrainSettings) -> int:
    """Learned numbers of a method."""
    model = build(ModelConfig.from_settings(settings, SIZES), torch.zeros(SIZES.classes, SIZES.text_width))
    return sum(parameter.numel() for parameter in model.parameters())


def forward_operations(settings: TrainSettings) -> float:
    """Floating-point operations of one clip's forward pass."""
    config = ModelConfig.from_settings(settings, SIZES)
    model = build(config, torch.randn(SIZES.classes, SIZES.text_width)).eval()
    counter = FlopCounterMode(display=False)
    with counter:
        model(Batch.random(SIZES, settings.batch, WORDS))
    return counter.get_total_flops() / settings.batch


if __name__ == "__main__":
    main()
