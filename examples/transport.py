"""GRACE's transport solver alone: two clouds of points, compared with POT.

    python examples/transport.py [transport.png]

Twelve points are matched with thirty others, a third of which lie far from all of the twelve. The balanced problem
gives every point its share, so mass travels far; with a relaxed second marginal the far points get next to nothing.
Both plans equal POT's.
"""

from __future__ import annotations

import sys

import matplotlib

matplotlib.use("Agg")
import numpy as np
import ot
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from grace.trainer.alignment import Alignment, sinkhorn

EPSILON = 0.02
RELAXED = 0.05


def clouds(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Twelve points, and thirty of which the last ten lie apart."""
    generator = torch.Generator().manual_seed(seed)
    sources = torch.randn(12, 2, generator=generator) * 0.15
    near = torch.randn(20, 2, generator=generator) * 0.15 + torch.tensor([0.4, 0.3])
    far = torch.randn(10, 2, generator=generator) * 0.1 + torch.tensor([1.2, -0.3])
    return sources, torch.cat([near, far])


def solve(sources: torch.Tensor, targets: torch.Tensor, rho: float) -> Alignment:
    """The plan [1, 12, 30] for squared distances; ``rho`` holds the second marginal, infinite: exactly."""
    cost = torch.cdist(sources, targets).square()[None]
    a = torch.full((1, len(sources)), 1 / len(sources))
    b = torch.full((1, len(targets)), 1 / len(targets))
    return sinkhorn(cost, a, b, EPSILON, iterations=5000, tolerance=1e-7, marginal_relaxation=rho)


def solve_with_pot(sources: torch.Tensor, targets: torch.Tensor, rho: float) -> np.ndarray:
    """The same plan by POT."""
    a, b = ot.unif(len(sources)), ot.unif(len(targets))
    cost = ot.dist(sources.double().numpy(), targets.double().numpy())
    if np.isinf(rho):
        return np.asarray(ot.sinkhorn(a, b, cost, EPSILON, method="sinkhorn_log", numItermax=20000, stopThr=1e-9))
    marginals = (np.inf, rho)  # how firmly the first and the second are held
    return np.asarray(
        ot.unbalanced.sinkhorn_unbalanced(a, b, cost, EPSILON, marginals, reg_type="kl", numItermax=20000, stopThr=1e-9)
    )


def draw(axes: Axes, sources: torch.Tensor, targets: torch.Tensor, plan: torch.Tensor, title: str) -> None:
    """Lines as wide as the mass that travels along them; targets as large as the mass that they receive."""
    for source, row in zip(sources, plan / plan.max(), strict=True):
        for target, mass in zip(targets, row, strict=True):
            if mass > 0.02:
                axes.plot(*torch.stack([source, target]).T, color="0.5", linewidth=2 * float(mass), zorder=1)
    axes.scatter(*sources.T, color="tab:blue", label="sources", zorder=2)
    axes.scatter(*targets.T, s=50, facecolor="none", edgecolor="tab:orange", label="targets", zorder=2)
    axes.scatter(*targets.T, s=1500 * plan.sum(0), color="tab:orange", alpha=0.6, linewidth=0, zorder=3)
    axes.set(title=title, aspect="equal", xticks=[], yticks=[])


def main() -> None:
    file = sys.argv[1] if len(sys.argv) > 1 else "transport.png"
    sources, targets = clouds()
    figure, panels = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for axes, rho in zip(panels, (np.inf, RELAXED), strict=True):
        solved = solve(sources, targets, rho)
        plan = solved.plan[0]
        difference = np.abs(plan.numpy() - solve_with_pot(sources, targets, rho)).sum()
        name = "balanced" if np.isinf(rho) else f"second marginal relaxed, ρ = {rho}"
        far = float(plan[:, 20:].sum())
        print(
            f"{name}: cost {float(solved.cost):.3f}, {far:.0%} of the mass goes to the far points, {solved.iterations} "
            f"iterations, marginal error {float(solved.marginal_error):.1e}, difference from POT {difference:.1e}"
        )
        draw(axes, sources, targets, plan, name)
    panels[0].legend(loc="upper right", frameon=False)
    figure.savefig(file, dpi=120)
    print(f"Drawn: {file}")


if __name__ == "__main__":
    main()
