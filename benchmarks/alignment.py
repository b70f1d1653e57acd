"""Transport costs no more than its solver: our forward and backward beside POT's batched solver on the same problem.

Both stop at the same marginal error (their own measure of it, the L1 norm here, the L2 norm, which is never larger, in
POT) and on the same iteration limit. POT's time is of its solver alone, without any gradient; the row below it, with
its gradient, through all iterations, is for orientation.

    python benchmarks/alignment.py [--quick]

Ends with one line of JSON: pot_ratio (goal <= 1.1) and text_ratio, the cost of a ten times longer text (goal <= 11).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from ot.batch import solve_batch
from rich.console import Console
from rich.table import Table
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from grace.pipeline.store import write_atomic
from grace.trainer.alignment import cosine_cost, sinkhorn, unit

EPSILON, TOLERANCE, LIMIT = 0.05, 1e-3, 100
WORDS, BRIEF, VISUAL, WIDTH = 40, 20, 16 * 49, 64
"""Tokens of a description; of a short sentence (ten times as many are a VLM's long caption); visual tokens of 16 frames
of ViT-B/32; the model's inner width."""


def main() -> None:
    """Time both sides in turn, print a table and the line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer clips and rounds; no file is written")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    clips, rounds = (4, 3) if chosen.quick else (32, 9)
    usual, brief, long = problem(clips, WORDS), problem(clips, BRIEF), problem(clips, 10 * BRIEF)
    sides: dict[str, Callable[[], object]] = {
        "ours, forward and backward": lambda: ours(*usual),
        "POT, forward": lambda: pots(*usual, backward=False),
        "POT, forward and backward": lambda: pots(*usual, backward=True),
        f"ours, {BRIEF} words": lambda: ours(*brief),
        f"ours, {10 * BRIEF} words": lambda: ours(*long),
    }
    seconds = {name: np.median(times) for name, times in timed(sides, rounds).items()}
    mine = "ours, forward and backward"
    figures = {
        "pot_ratio": round(float(seconds[mine] / seconds["POT, forward"]), 4),
        "pot_backward_ratio": round(float(seconds[mine] / seconds["POT, forward and backward"]), 4),
        "text_ratio": round(float(seconds[f"ours, {10 * BRIEF} words"] / seconds[f"ours, {BRIEF} words"]), 2),
        "plan_difference": difference(*usual),
        "iterations": sinkhorn(*usual, EPSILON, LIMIT, TOLERANCE).iterations,
        "clips": clips,
    }
    Console(highlight=False).print(table({name: value / clips for name, value in seconds.items()}))
    if not chosen.quick:
        write_atomic(Path(__file__).parent / "results/alignment.json", (json.dumps(figures, indent=2) + "\n").encode())
    print(json.dumps(figures))


def problem(clips: int, words: int) -> tuple[Tensor, Tensor, Tensor]:
    """Costs and marginals as a trained model poses them: cosines of unit vectors, uneven marginals on both sides."""
    torch.manual_seed(0)
    cost = cosine_cost(unit(torch.randn(clips, words, WIDTH)), unit(torch.randn(clips, VISUAL, WIDTH)))
    return cost, torch.randn(clips, words).softmax(-1), torch.randn(clips, VISUAL).softmax(-1)


def ours(cost: Tensor, a: Tensor, b: Tensor) -> None:
    """One solution and its gradient in cost and both marginals."""
    leaves = [tensor.clone().requires_grad_() for tensor in (cost, a, b)]
    solved = sinkhorn(*leaves, EPSILON, LIMIT, TOLERANCE)
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


def timed(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each side, the sides in turn so that a busy machine slows them alike."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, run in sides.items():
            start = time.process_time()
            run()
            if turn:  # the first turn warms up
                times[name].append(time.process_time() - start)
    return times


def table(seconds: dict[str, float]) -> Table:
    """Milliseconds of processor time a clip."""
    made = Table(title=f"{WORDS} words, {VISUAL} visual tokens, epsilon {EPSILON}", title_justify="left")
    made.add_column("side")
    made.add_column("ms a clip", justify="right")
    for name, value in seconds.items():
        made.add_row(name, f"{1000 * value:.2f}")
    return made


if __name__ == "__main__":
    main()
