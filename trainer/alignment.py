"""Entropy-regularised optimal transport between the words of a text and the visual tokens of a clip.

Problem, solver and result are three things: tensors that state the problem go into :func:`sinkhorn`, and an
:class:`Alignment` comes out that also says how far from converged it is, so that nobody trusts an unconverged plan.

- Cuturi, "Sinkhorn distances: lightspeed computation of optimal transport", NIPS 2013.
- Schmitzer, "Stabilized sparse scaling algorithms for entropy regularized transport problems", SIAM JSC 2019.
- Chizat, Peyré, Schmitzer, Vialard, "Scaling algorithms for unbalanced transport problems", Math. Comp. 2018.
- Eisenberger et al., "A unified framework for implicit Sinkhorn differentiation", CVPR 2022.
- Liu et al., "GRACE", arXiv 2507.11892, 2025: tokens of text and video matched by such a plan.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

MAX_MARGINAL_ERROR = 0.05
"""Marginal error, of a total mass of 1, above which a plan is not to be trusted."""

CHECK_EVERY = 5
"""Iterations between two looks at the marginals; POT looks every 10."""

ABSORB_ABOVE = 30.0
"""Log of the largest scaling that stays outside the kernel: e^30 squared is still far from float32's e^88."""


@dataclass
class Alignment:
    """A solved batch of transport problems.

    ``plan`` [B, L, N] is the mass that travels from word l to visual token n; rows sum to the text marginal, columns to
    the visual one, or near it where it is relaxed. ``cost`` [B] is ⟨Π, C⟩. ``marginal_error`` [B] is the L1 distance of
    the plan's row sums from the text marginal (its columns are as they should be). ``iterations`` were done by the
    whole batch.
    """

    plan: Float[Tensor, "batch text visual"]
    cost: Float[Tensor, " batch"]
    marginal_error: Float[Tensor, " batch"]
    iterations: int


class NotConvergedWarning(UserWarning):
    """A plan whose marginals are off by more than ``MAX_MARGINAL_ERROR``."""


@dataclass(frozen=True)
class Matcher:
    """How words meet visual tokens: by transport, or (``transport`` false) by plain cross-attention.

    ``column_weight`` is ρ of :func:`sinkhorn`: how firmly the plan is held to the visual marginal.
    """

    epsilon: float = 0.05
    iterations: int = 30
    transport: bool = True
    column_weight: float = math.inf

    def __call__(
        self,
        cost: Float[Tensor, "batch text visual"],
        text_marginal: Float[Tensor, "batch text"],
        visual_marginal: Float[Tensor, "batch visual"],
    ) -> Alignment:
        """The plan of a batch, by :func:`sinkhorn` or :func:`cross_attention`."""
        if self.transport:
            rho = self.column_weight
            return sinkhorn(cost, text_marginal, visual_marginal, self.epsilon, self.iterations, column_weight=rho)
        return cross_attention(cost, text_marginal, visual_marginal, self.epsilon)

    def warn_if_not_converged(self, marginal_error: float) -> bool:
        """Warn, and return true, when plans of this (mean) error did not converge."""
        if marginal_error <= MAX_MARGINAL_ERROR:
            return False
        warnings.warn(
            f"Sinkhorn did not converge in {self.iterations} iterations: {marginal_error:.0%} of the mass is not where "
            f"the words' marginal wants it. Raise train.sinkhorn_iterations or train.epsilon ({self.epsilon:g}).",
            NotConvergedWarning,
            stacklevel=2,
        )
        return True


def unit(tokens: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape dim"]:
    """Vectors scaled to length 1; zero stays zero. (Two passes fewer backward than ``functional.normalize``.)"""
    return tokens * tokens.square().sum(-1, keepdim=True).clamp_min(1e-12).rsqrt()


def cosine_cost(
    text: Float[Tensor, "batch text dim"], visual: Float[Tensor, "batch visual dim"]
) -> Float[Tensor, "batch text visual"]:
    """Cost of moving a word to a visual token: C = 1 − cos(u, v), in [0, 2]; 1 where either is zero.

    Lengths are divided out of the product, which is many times smaller than the visual tokens.
    """
    lengths = torch.linalg.vector_norm(text, dim=-1)[:, :, None] * torch.linalg.vector_norm(visual, dim=-1)[:, None, :]
    return 1 - (text @ visual.mT) / lengths.clamp_min(1e-12)


def sinkhorn(
    cost: Float[Tensor, "batch text visual"],
    text_marginal: Float[Tensor, "batch text"],
    visual_marginal: Float[Tensor, "batch visual"],
    epsilon: float,
    iterations: int = 30,
    tolerance: float = 1e-3,
    column_weight: float = math.inf,
) -> Alignment:
    r"""Solve Π = argmin ⟨Π, C⟩ + ε KL(Π ‖ abᵀ) + ρ KL(Πᵀ1 ‖ b) with Π1 = a, for a whole batch.

    For ρ = ∞ this is Cuturi's problem (2013, eq. 2), Πᵀ1 = b. A finite ρ relaxes the visual marginal (Chizat et al.
    2018): every word still has its mass to give, but not every patch and moment has to take its share. As ρ falls to 0
    it becomes cross-attention (:func:`cross_attention`). POT's `ot.batch` and `ot.unbalanced` solve the same problems and are
    what the tests hold it to. Runs in float32 inside autocast (float64 stays float64).

    Args:
        cost: C, any real numbers; 1 − cos here.
        text_marginal: a ≥ 0, rows sum to 1. A padded word has a = 0 and gets exactly no mass.
        visual_marginal: b ≥ 0, rows sum to 1.
        epsilon: weight of the entropy; stable down to 0.01 for costs in [0, 2]. Smaller is sharper and slower.
        iterations: at most so many; ``marginal_error`` tells whether they sufficed.
        tolerance: L1 error of the worst item's row marginal at which to stop.
        column_weight: ρ > 0.

    Returns:
        The :class:`Alignment`. Gradients reach all three tensors through ``plan`` and ``cost`` by the implicit function
        theorem at the solution: exact when converged, no iteration is unrolled or stored.
    """
    with torch.autocast(cost.device.type, enabled=False):
        dtype = torch.promote_types(cost.dtype, torch.float32)
        cost, a, b = cost.to(dtype), text_marginal.to(dtype), visual_marginal.to(dtype)
        plan, total, steps = _Plan.apply(cost, a, b, epsilon, column_weight, iterations, tolerance)
        return Alignment(
            plan=plan,
            cost=total,
            marginal_error=(plan.detach().sum(2) - a.detach()).abs().sum(1),
            iterations=int(steps),
        )


def cross_attention(
    cost: Float[Tensor, "batch text visual"],
    text_marginal: Float[Tensor, "batch text"],
    visual_marginal: Float[Tensor, "batch visual"],
    epsilon: float,
) -> Alignment:
    """Cross-attention in the place of transport: Π_l = a_l · softmax(log b − C_l/ε).

    Each word spreads its mass for itself, at the temperature ε and with b as a prior (motion keeps its say); what
    arrives at a visual token is not held to b, which is all that transport adds. It is Sinkhorn's first half step.
    """
    with torch.autocast(cost.device.type, enabled=False):
        dtype = torch.promote_types(cost.dtype, torch.float32)
        cost, a, b = cost.to(dtype), text_marginal.to(dtype), visual_marginal.to(dtype)
        scores = torch.log(b.clamp_min(torch.finfo(dtype).tiny))[:, None, :] - cost / epsilon
        plan = a[:, :, None] * scores.softmax(-1)
        error = (plan.detach().sum(2) - a.detach()).abs().sum(1)
        return Alignment(plan, (plan * cost).sum((1, 2)), error, iterations=0)


class _Plan(torch.autograd.Function):
    """The plan as a function of cost and marginals, differentiated implicitly (Eisenberger et al. 2022, theorem 1).

    Π = b∘exp((f ⊕ g − C)/ε) with dΠ1 = da and, from g = −ρ log(c/b), dc = c∘(d log b − dg/ρ), c = Πᵀ1, is linear in
    the differentials. For G = ∂ℓ/∂Π solve [diag a, Π; Πᵀ, diag c(1 + ε/ρ)] [λ; μ] = [(Π∘G)1; (Π∘G)ᵀ1]; then
    ∂ℓ/∂a = λ, ∂ℓ/∂b = (1 + ε/ρ) c/b∘μ, ∂ℓ/∂C = Π∘(λ ⊕ μ − G)/ε.
    """

    @staticmethod
    def forward(
        ctx: Any, cost: Tensor, a: Tensor, b: Tensor, epsilon: float, rho: float, iterations: int, tolerance: float
    ) -> Any:
        log_kernel = torch.add(b.log()[:, None, :], cost, alpha=-1 / epsilon)
        f, g, steps = _sinkhorn_scaling(log_kernel, a, b, 1 / (1 + epsilon / rho), iterations, tolerance)
        plan = log_kernel.add_(f[:, :, None]).add_(g[:, None, :]).exp_()
        ctx.epsilon, ctx.slack = epsilon, epsilon / rho
        ctx.save_for_backward(plan, cost, b)
        return plan, torch.linalg.vecdot(plan.flatten(1), cost.flatten(1)), torch.tensor(steps)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        plan, cost, b = ctx.saved_tensors
        of_plan, of_total, _ = gradients
        total = of_total[:, None, None]
        gradient = torch.addcmul(of_plan, cost, total)  # ⟨Π, C⟩ depends on the plan, and below on the cost itself
        weighted = plan * gradient
        rows, columns = plan.sum(2), plan.sum(1) * (1 + ctx.slack)
        balanced = ctx.slack == 0
        if plan.shape[1] <= plan.shape[2]:
            row, column = _adjoint(plan, rows, columns, weighted.sum(2), weighted.sum(1), balanced)
        else:
            column, row = _adjoint(plan.mT, columns, rows, weighted.sum(1), weighted.sum(2), balanced)
        of_cost = torch.add(row[:, :, None], column[:, None, :]).sub_(gradient).add_(total * ctx.epsilon)
        return of_cost.mul_(plan).div_(ctx.epsilon), row, columns * _inverse(b) * column, None, None, None, None


def _adjoint(plan: Tensor, a: Tensor, b: Tensor, row: Tensor, column: Tensor, balanced: bool) -> tuple[Tensor, Tensor]:
    """λ and μ of [diag a, Π; Πᵀ, diag b] [λ; μ] = [row; column], by eliminating the longer side.

    In the variables √a∘λ the Schur complement is I − KKᵀ with K = a^-½ Π b^-½. When ``balanced`` it has the null vector
    √a (adding a constant to λ and taking it from μ changes nothing), which is lifted by √a√aᵀ. Tokens without mass have
    λ = 0.
    """
    root_a, inverse_b = a.sqrt(), _inverse(b)
    inverse_root_a = _inverse(root_a)
    kernel = torch.bmm(plan * inverse_b[:, None, :], plan.mT) * inverse_root_a[:, :, None] * inverse_root_a[:, None, :]
    eye = torch.eye(a.shape[1], dtype=torch.float64, device=plan.device)
    ridge = 10 * torch.finfo(plan.dtype).eps  # a plan that falls apart into islands has further null vectors
    system = eye * (1 + ridge) - kernel.double()
    if balanced:
        system = system + (root_a[:, :, None] * root_a[:, None, :]).double()
    right = (row - torch.bmm(plan, (inverse_b * column)[..., None])[..., 0]) * inverse_root_a
    solution = torch.linalg.solve(system, right.double()).to(plan.dtype) * inverse_root_a
    other = inverse_b * (column - torch.bmm(solution[:, None, :], plan)[:, 0])
    return solution, other


def _inverse(x: Tensor) -> Tensor:
    """1/x, and 0 where x is 0 (or so small that 1/x would overflow)."""
    return torch.where(x > torch.finfo(x.dtype).tiny, 1 / x, 0)


def _sinkhorn_scaling(
    log_kernel: Tensor, a: Tensor, b: Tensor, power: float, iterations: int, tolerance: float
) -> tuple[Tensor, Tensor, int]:
    """Log potentials f [B, L], g [B, N] by matrix scaling with absorption (Schmitzer 2019, alg. 2), and steps done.

    u = a/(Kv), v = (b/Kᵀu)^``power``, the power being ρ/(ρ + ε) (Chizat et al. 2018, table 1): 1 when balanced. One
    iteration is two matrix–vector products, ten times cheaper than log-sum-exp over the whole kernel. Scalings that
    grow beyond ``ABSORB_ABOVE`` move into the potentials and the kernel is made anew, so small ε does not overflow; a
    column that no row sees is first lifted until one does, so that it does not underflow.
    """
    g = torch.zeros_like(b)
    tiny = torch.finfo(a.dtype).tiny
    steps = 0
    converged = False
    while steps < iterations and not converged:
        kernel = log_kernel + g[:, None, :]
        f = -kernel.amax(2)  # free to choose, since an iteration starts from g alone: the largest entry of a row is 1
        kernel = kernel.add_(f[:, :, None])
        top = kernel.amax(1)
        unseen = torch.where((top < -ABSORB_ABOVE) & (b > 0), -top, 0)  # columns that would underflow
        g = g + unseen
        kernel = kernel.add_(unseen[:, None, :]).exp_()
        transposed = kernel.mT.contiguous()  # a product with the vector on the left reads memory in order
        absorbed = ((power - 1) * g).clamp(-ABSORB_ABOVE, ABSORB_ABOVE).exp()  # v is what g has not yet; 1 if balanced
        u, v = torch.ones_like(a), torch.ones_like(b)
        large = False
        while steps < iterations and not (converged or large):
            row = torch.bmm(v[:, None, :], transposed)[:, 0]
            if steps and steps % CHECK_EVERY == 0:
                converged = bool((u * row - a).abs().sum(1).max() <= tolerance)
            u = a / row.clamp_min(tiny)
            v = (b / torch.bmm(u[:, None, :], kernel)[:, 0].clamp_min(tiny)) ** power * absorbed
            steps += 1
            large = bool(torch.maximum(_log(u).abs().amax(1), _log(v).abs().amax(1)).max() > ABSORB_ABOVE)
        f, g = f + u.log(), g + _log(v)
    return f, g, steps


def _log(scaling: Tensor) -> Tensor:
    """Log of a scaling; 0 for tokens without mass, whose kernel is 0 already."""
    return torch.where(scaling == 0, 1, scaling).log()
