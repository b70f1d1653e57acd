"""Transport costs no more than its solver: our forward and backward beside POT's batched solver on the same problem.

Both stop at the same marginal error (their own measure of it, the L1 norm here, the L2 norm, which is never larger, in
POT) and on the same iteration limit. POT's time is of its solver alone, without any gradient; the row below it, with
its gradient, through all iterations, is for orientation.

    python -m benchmarks.alignment [--quick] [--threads 1]

Ends with one line of JSON: pot_ratio (goal <= 0.5) and text_ratio, the cost of a ten times longer text (goal <= 11).

--quick takes 9 s of processor time; the full run has 20 times the work.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from ot.batch import solve_batch
from torch import Tensor

from benchmarks.harness import Benchmark, seconds_in_turns, table
from grace.pipeline.devices import keep_freed_memory
from grace.trainer.alignment import cosine_cost, sinkhorn, unit

EPSILON, TOLERANCE, LIMIT = 0.05, 1e-3, 100
WORDS, BRIEF, VISUAL, WIDTH = 40, 20, 16 * 49, 64
"""Tokens of a description; of a short sentence (ten times as many are a VLM's long caption); visual tokens of 16 frames
of ViT-B/32; the model's inner width."""

BENCHMARK = Benchmark("alignment", __doc__, keys=("pot_ratio", "text_ratio"), quick="fewer clips and rounds")


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument("--threads", type=int, default=1)
    return options


def main() -> None:
    """Time both sides in turns, print the table and the line of JSON."""
    args = parser().parse_args()
    torch.set_num_threads(args.threads)
    keep_freed_memory(torch.device("cpu"))  # as training does, for both sides
    clips, rounds = (4, 3) if args.quick else (32, 9)
    usual, brief, long = problem(clips, WORDS), problem(clips, BRIEF), problem(clips, 10 * BRIEF)
    sides: dict[str, Callable[[], object]] = {
        "ours, forward and backward": lambda: ours(*usual),
        "POT, forward": lambda: pots(*usual, backward=False),
        "POT, forward and backward": lambda: pots(*usual, backward=True),
        f"ours, {BRIEF} words": lambda: ours(*brief),
        f"ours, {10 * BRIEF} words": lambda: ours(*long),
    }
    # processor time: a side that other processes interrupt takes no longer
    seconds = {name: np.median(spent) for name, spent in seconds_in_turns(sides, rounds, time.process_time).items()}
    mine = "ours, forward and backward"
    figures = {
        "pot_ratio": round(float(seconds[mine] / seconds["POT, forward"]), 4),
        "pot_backward_ratio": round(float(seconds[mine] / seconds["POT, forward and backward"]), 4),
        "text_ratio": round(float(seconds[f"ours, {10 * BRIEF} words"] / seconds[f"ours, {BRIEF} words"]), 2),
        "plan_difference": difference(*usual),
        "iterations": sinkhorn(*usual, EPSILON, LIMIT, TOLERANCE).iterations,
        "clips": clips,
    }
    title = f"{WORDS} words, {VISUAL} visual tokens, epsilon {EPSILON}: processor time"
    rows = [(name, f"{1000 * value / clips:.2f}") for name, value in seconds.items()]
    BENCHMARK.report(figures, keep=not args.quick, tables=[table(title, ("side", "ms per clip"), rows)])


def problem(clips: int, words: int) -> tuple[Tensor, Tensor, Tensor]:
    """Costs and marginals like those of a trained model: cosines of unit vectors, uneven marginals on both sides."""
    torch.manual_seed(0)
    cost = cosine_cost(unit(torch.randn(clips, words, WIDTH)), unit(torch.randn(clips, VISUAL, WIDTH)))
    return cost, torch.randn(clips, words).softmax(-1), torch.randn(clips, VISUAL).softmax(-1)


def ours(cost: Tensor, a: Tensor, b: Tensor) -> None:
    """One solution and its gradient in cost and both marginals."""
    cost, a, b = (tensor.clone().requires_grad_() for tensor in (cost, a, b))
    solved = sinkhorn(cost, a, b, EPSILON, LIMIT, TOLERANCE)
    (solved.cost.sum() + (solved.plan * cost).sum()).backward()


def pots(cost: Tensor, a: Tensor, b: Tensor, backward: bool) -> None:
    """POT's batched log-domain solver, as its documentation calls it."""
    if not backward:
        with torch.no_grad():
            solve_batch(cost, EPSILON, a, b, max_iter=LIMIT, tol=TOLERANCE, method="log_sinkhorn", grad="detach")
        return
    leaves = [tensor.clone().requires_grad_() for tensor in (cost, a, b)]
    solved = solve_batch(
        leaves[0], EPSILON, *leaves[1:], max_iter=LIMIT, tol=TOLERANCE, method="log_sinkhorn", grad="autodiff"
    )
    (solved.plan * leaves[0]).sum().backward()


def difference(cost: Tensor, a: Tensor, b: Tensor) -> float:
    """Largest mass (of 1) by which the two plans of a clip differ: they solve the same problem."""
    there = solve_batch(cost, EPSILON, a, b, max_iter=LIMIT, tol=TOLERANCE, method="log_sinkhorn", grad="detach").plan
    apart = (sinkhorn(cost, a, b, EPSILON, LIMIT, TOLERANCE).plan - there).abs().sum((1, 2))
    return round(float(apart.max()), 6)


if __name__ == "__main__":
    main()
