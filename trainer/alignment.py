"""Entropy-regularised optimal transport between the words of a text and the visual tokens of a clip.

Problem, solver and result are three things: tensors that state the problem go into :func:`sinkhorn`, and an
:class:`Alignment` comes out that also says how far from converged it is, so that nobody trusts an unconverged plan.

- Cuturi, "Sinkhorn distances: lightspeed computation of optimal transport", NIPS 2013.
- Schmitzer, "Stabilized sparse scaling algorithms for entropy regularized transport problems", SIAM JSC 2019.
- Chizat, Peyré, Schmitzer, Vialard, "Scaling algorithms for unbalanced transport problems", Math. Comp. 2018.
- Eisenberger et al., "A unified framework for implicit Sinkhorn differentiation", CVPR 2022.
- Liu et al., "From Coarse to Nuanced: Cross-Modal Alignment of Fine-Grained Linguistic Cues and Visual Salient Regions
  for Dynamic Emotion Recognition" (GRACE), arXiv 2507.11892, 2025: tokens of text and video matched by such a plan.
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
"""Iterations between two checks of the marginals; POT checks every 10."""

ABSORB_ABOVE = 30.0
"""Log of the largest scaling that stays outside the kernel: e^30 squared is still far from float32's e^88."""

CACHE_BYTES = 6 << 20
"""On a processor, clips whose plans have so many bytes are solved together: what is read again in each iteration stays
in its cache. A fifth faster for 200 words; fewer clips at once would cost more in calls than they save."""


@dataclass
class TransportProblem:
    """The tokens and marginals of a batch of transport problems, kept so that a loss can pose them with other texts.

    ``text`` [B, L, d] and ``visual`` [B, N, d] lie in one space; ``text_marginal`` a [B, L] and ``visual_marginal`` b
    [B, N] sum to 1; the N visual tokens are ``instants`` T times equally many patches.
    """

    text: Float[Tensor, "batch text shared"]
    visual: Float[Tensor, "batch visual shared"]
    text_marginal: Float[Tensor, "batch text"]  # a
    visual_marginal: Float[Tensor, "batch visual"]  # b
    instants: int  # T

    def costs_and_marginals(self) -> tuple[Tensor, Tensor, Tensor]:
        """C = 1 − cos [B, L, N], a [B, L] and b [B, N], as :class:`Matcher` takes them."""
        return cosine_cost(self.text, self.visual), self.text_marginal, self.visual_marginal


@dataclass
class Alignment:
    """A solved batch of transport problems.

    Attributes:
        plan: Π [B, L, N], the mass that travels from word l to visual token n. Rows sum to the text marginal and
            columns to the visual one, or near it where it is relaxed.
        cost: ⟨Π, C⟩ [B].
        marginal_error: L1 distance [B] of the plan's row sums from what the solution's would be (the text marginal, or
            a relaxed one), of a total mass of 1; the columns are exact. Above ``MAX_MARGINAL_ERROR`` the plan did not
            converge.
        iterations: done by the clip that needed most; 0 for cross-attention.

    Example:
        >>> cost = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
        >>> even = torch.full((1, 2), 0.5)
        >>> alignment = sinkhorn(cost, even, even, epsilon=0.1)
        >>> round(float(alignment.plan[0, 0, 0]), 2), bool(alignment.marginal_error < MAX_MARGINAL_ERROR)
        (0.5, True)
    """

    plan: Float[Tensor, "batch text visual"]
    cost: Float[Tensor, " batch"]
    marginal_error: Float[Tensor, " batch"]
    iterations: int


class NotConvergedWarning(UserWarning):
    """A plan whose marginals are off by more than ``MAX_MARGINAL_ERROR``."""


@dataclass(frozen=True)
class Matcher:
    """How words and visual tokens are aligned: by transport, or (``transport`` false) by plain cross-attention.

    Args:
        epsilon: ε, the weight of the entropy; the temperature of cross-attention.
        iterations: of :func:`sinkhorn`, at most.
        transport: solve the transport problem; false: :func:`cross_attention`.
        marginal_relaxation: ρ_v of :func:`sinkhorn`, how firmly plans keep the visual marginal; infinite: exactly.
        text_relaxation: ρ_t, how firmly they keep the text's.

    Example:
        >>> match = Matcher(epsilon=0.1, marginal_relaxation=0.05)
        >>> words, patches = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
        >>> alignment = match(cosine_cost(words, patches), torch.full((2, 3), 1 / 3), torch.full((2, 5), 1 / 5))
        >>> alignment.plan.shape
        torch.Size([2, 3, 5])
    """

    epsilon: float = 0.05
    iterations: int = 30
    transport: bool = True
    marginal_relaxation: float = math.inf
    text_relaxation: float = math.inf

    def __call__(
        self,
        cost: Float[Tensor, "batch text visual"],
        text_marginal: Float[Tensor, "batch text"],
        visual_marginal: Float[Tensor, "batch visual"],
    ) -> Alignment:
        """The plan of a batch, by :func:`sinkhorn` or :func:`cross_attention`, whose arguments these are."""
        if self.transport:
            return sinkhorn(
                cost,
                text_marginal,
                visual_marginal,
                self.epsilon,
                self.iterations,
                marginal_relaxation=self.marginal_relaxation,
                text_relaxation=self.text_relaxation,
            )
        return cross_attention(cost, text_marginal, visual_marginal, self.epsilon)

    def warn_if_not_converged(self, marginal_error: float) -> bool:
        """Warn, and return true, when plans of this (mean) error did not converge."""
        if marginal_error <= MAX_MARGINAL_ERROR:
            return False
        warnings.warn(
            f"Sinkhorn did not converge in {self.iterations} iterations: {marginal_error:.0%} of the mass is not where "
            f"the words' marginal puts it. Raise train.sinkhorn_iterations or train.epsilon ({self.epsilon:g}).",
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
    """Cost of moving a word to a visual token: C = 1 − cos(u, v).

    Args:
        text: u, word tokens [B, L, d] of any length.
        visual: v, visual tokens [B, N, d] in the same space.

    Returns:
        C [B, L, N] in [0, 2]; 1 where either token is zero.

    Example:
        >>> cosine_cost(torch.tensor([[[3.0, 0.0]]]), torch.tensor([[[1.0, 0.0], [0.0, 2.0], [-1.0, 0.0]]]))
        tensor([[[0., 1., 2.]]])
    """
    # Lengths are divided out of the product, which is many times smaller than the visual tokens.
    lengths = torch.linalg.vector_norm(text, dim=-1)[:, :, None] * torch.linalg.vector_norm(visual, dim=-1)[:, None, :]
    return 1 - (text @ visual.mT) / lengths.clamp_min(1e-12)


def sinkhorn(
    cost: Float[Tensor, "batch text visual"],
    text_marginal: Float[Tensor, "batch text"],
    visual_marginal: Float[Tensor, "batch visual"],
    epsilon: float,
    iterations: int = 30,
    tolerance: float = 1e-3,
    marginal_relaxation: float = math.inf,
    text_relaxation: float = math.inf,
) -> Alignment:
    r"""Solve Π = argmin ⟨Π, C⟩ + ε KL(Π ‖ abᵀ) + ρ_v KL(Πᵀ1 ‖ b) + ρ_t KL(Π1 ‖ a), for a whole batch.

    For ρ_v = ρ_t = ∞ this is Cuturi's problem (2013, eq. 2), Πᵀ1 = b and Π1 = a. A finite ρ_v relaxes the visual
    marginal (Chizat et al. 2018): not every patch and instant has to receive its share, and as it falls to 0 the plan
    becomes :func:`cross_attention`. A finite ρ_t relaxes the text's: a word that nothing shows sends less mass, by
    exp(−f_l/ρ_t), f_l its potential. The tests compare it with POT's ``ot.batch`` and ``ot.unbalanced``, which solve
    the same problems. Runs in float32 inside autocast (float64 stays float64).

    Args:
        cost: C [B, L, N], any real numbers; :func:`cosine_cost` here.
        text_marginal: a [B, L] ≥ 0, rows sum to 1. A padded word has a = 0 and gets exactly no mass.
        visual_marginal: b [B, N] ≥ 0, rows sum to 1.
        epsilon: ε > 0, the weight of the entropy; stable down to 0.01 for costs in [0, 2]. Smaller is sharper and
            slower.
        iterations: at most so many; ``marginal_error`` says whether they sufficed.
        tolerance: L1 error of the worst item's row marginal at which to stop.
        marginal_relaxation: ρ_v > 0.
        text_relaxation: ρ_t > 0. The plan's mass is 1 where either is infinite, and free where neither is.

    Returns:
        The :class:`Alignment`. Gradients reach all three tensors through ``plan`` and ``cost`` by the implicit function
        theorem at the solution: exact when converged, no iteration is unrolled or stored.

    Example:
        The same plan as POT's, for three words and five patches:

        >>> import ot
        >>> cost = torch.rand(1, 3, 5, dtype=torch.float64)
        >>> a, b = torch.tensor([[0.5, 0.3, 0.2]]).double(), torch.full((1, 5), 0.2).double()
        >>> plan = sinkhorn(cost, a, b, epsilon=0.1, iterations=1000, tolerance=1e-9).plan[0]
        >>> bool(torch.allclose(plan, ot.sinkhorn(a[0], b[0], cost[0], reg=0.1, stopThr=1e-12), atol=1e-6))
        True
    """
    with torch.autocast(cost.device.type, enabled=False):
        dtype = torch.promote_types(cost.dtype, torch.float32)
        cost, a, b = cost.to(dtype), text_marginal.to(dtype), visual_marginal.to(dtype)
        relaxation = (text_relaxation, marginal_relaxation)
        parts = zip(*(tensor.split(_solved_together(cost)) for tensor in (cost, a, b)), strict=True)
        solved = [_Plan.apply(*part, epsilon, relaxation, iterations, tolerance) for part in parts]
        plan, total, error, steps = zip(*solved, strict=True)
        return Alignment(_joined(plan), _joined(total), _joined(error), iterations=int(max(steps)))


def _joined(parts: tuple[Tensor, ...]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)  # which would copy a single one


def _solved_together(cost: Float[Tensor, "batch text visual"]) -> int:
    """How many clips are solved at once: all of them, but on a processor no more than its cache holds."""
    clip = max(1, cost[0].numel() * cost.element_size()) if len(cost) else 1
    return max(1, CACHE_BYTES // clip if cost.device.type == "cpu" else len(cost))


def cross_attention(
    cost: Float[Tensor, "batch text visual"],
    text_marginal: Float[Tensor, "batch text"],
    visual_marginal: Float[Tensor, "batch visual"],
    epsilon: float,
) -> Alignment:
    """Cross-attention in the place of transport: Π_l = a_l · softmax(log b − C_l/ε).

    Each word spreads its mass independently, at the temperature ε and with b as a prior (so motion still counts); what
    arrives at a visual token is not held to b, which is all that transport adds. It is Sinkhorn's first half step.

    Args:
        cost: C [B, L, N].
        text_marginal: a [B, L], rows sum to 1.
        visual_marginal: b [B, N], rows sum to 1.
        epsilon: ε > 0, the temperature.

    Returns:
        The :class:`Alignment`, of 0 iterations; its rows sum to a.

    Example:
        >>> cost = torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])  # both words prefer the first token
        >>> even = torch.full((1, 2), 0.5)
        >>> cross_attention(cost, even, even, epsilon=0.1).plan.sum(1).round(decimals=2)  # and both get it
        tensor([[1., 0.]])
        >>> sinkhorn(cost, even, even, epsilon=0.1).plan.sum(1).round(decimals=2)  # transport makes them share
        tensor([[0.5000, 0.5000]])
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

    Π = exp((f ⊕ g − C)/ε) with f = −ρ_t log(r/a) and g = −ρ_v log(c/b), r = Π1 and c = Πᵀ1, so that
    dr = r∘(d log a − df/ρ_t) and dc = c∘(d log b − dg/ρ_v), is linear in the differentials. For G = ∂ℓ/∂Π solve
    [diag r(1 + ε/ρ_t), Π; Πᵀ, diag c(1 + ε/ρ_v)] [λ; μ] = [(Π∘G)1; (Π∘G)ᵀ1]; then ∂ℓ/∂C = Π∘(λ ⊕ μ − G)/ε,
    ∂ℓ/∂a = (1 + ε/ρ_t) r/a∘λ and ∂ℓ/∂b = (1 + ε/ρ_v) c/b∘μ. (Factors of abᵀ in front of Π change potentials alone.)
    """

    @staticmethod
    def forward(
        ctx: Any,
        cost: Tensor,
        a: Tensor,
        b: Tensor,
        epsilon: float,
        relaxation: tuple[float, float],
        iterations: int,
        tolerance: float,
    ) -> Any:
        slack = (epsilon / relaxation[0], epsilon / relaxation[1])
        powers = (1 / (1 + slack[0]), 1 / (1 + slack[1]))
        log_kernel = torch.add(b.log()[:, None, :], cost, alpha=-1 / epsilon)
        f, g, steps = _sinkhorn_scaling(log_kernel, a, b, powers, iterations, tolerance)
        plan = log_kernel.add_(f[:, :, None]).add_(g[:, None, :]).exp_()
        error = _row_error(plan.sum(2), f, a, powers[0])
        ctx.epsilon, ctx.slack = epsilon, slack
        ctx.save_for_backward(plan, cost, a, b)
        ctx.mark_non_differentiable(error)
        return plan, torch.linalg.vecdot(plan.flatten(1), cost.flatten(1)), error, torch.tensor(steps)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        plan, cost, a, b = ctx.saved_tensors
        of_plan, of_total, _, _ = gradients
        total = of_total[:, None, None]
        gradient = torch.addcmul(of_plan, cost, total)  # ⟨Π, C⟩ depends on the plan, and below on the cost itself
        weighted = plan * gradient
        rows, columns = plan.sum(2) * (1 + ctx.slack[0]), plan.sum(1) * (1 + ctx.slack[1])
        balanced = ctx.slack == (0, 0)
        if plan.shape[1] <= plan.shape[2]:
            row, column = _adjoint(plan, rows, columns, weighted.sum(2), weighted.sum(1), balanced)
        else:
            column, row = _adjoint(plan.mT, columns, rows, weighted.sum(1), weighted.sum(2), balanced)
        of_cost = torch.add(row[:, :, None], column[:, None, :]).sub_(gradient).add_(total * ctx.epsilon)
        of_a, of_b = rows * _inverse(a) * row, columns * _inverse(b) * column
        return of_cost.mul_(plan).div_(ctx.epsilon), of_a, of_b, None, None, None, None


def _row_error(rows: Tensor, f: Tensor, a: Tensor, power: float) -> Tensor:
    """L1 distance [B] of row sums r from what optimality asks of them: a, or a·(r·exp(−f))^(1−power) where relaxed."""
    if power == 1:
        return (rows - a).abs().sum(1)
    asked = a * (_log(rows) - torch.where(a == 0, 0, f)).mul(1 - power).exp()
    return (rows - asked).abs().sum(1)


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
    log_kernel: Tensor, a: Tensor, b: Tensor, powers: tuple[float, float], iterations: int, tolerance: float
) -> tuple[Tensor, Tensor, int]:
    """Log potentials f [B, L], g [B, N] by matrix scaling with absorption (Schmitzer 2019, alg. 2), and steps done.

    u = a/(Kv)^p_t, v = (b/Kᵀu)^p_v with p = ρ/(ρ + ε) (Chizat et al. 2018, table 1; a is not in the kernel, hence
    outside the power): p is 1 when balanced. One iteration is two matrix–vector products, ten times cheaper than
    log-sum-exp over the whole kernel. Scalings that grow beyond ``ABSORB_ABOVE`` move into the potentials and the
    kernel is computed again, so that small ε does not overflow; a column that would underflow in every row is first
    scaled up.
    """
    of_text, of_visual = powers
    g = torch.zeros_like(b)
    tiny = torch.finfo(a.dtype).tiny
    steps = 0
    converged = False
    while steps < iterations and not converged:
        kernel = log_kernel + g[:, None, :]
        f = -of_text * kernel.amax(2)  # free to choose, since an iteration starts from g alone: u is then near a
        kernel = kernel.add_(f[:, :, None])
        top = kernel.amax(1)
        unseen = torch.where((top < -ABSORB_ABOVE) & (b > 0), -top, 0)  # columns that would underflow
        g = g + unseen
        kernel = kernel.add_(unseen[:, None, :]).exp_()
        transposed = kernel.mT.contiguous()  # a product with the vector on the left reads memory in order
        # u and v are what f and g have not yet; both factors are 1 if balanced.
        asked = a * ((of_text - 1) * f).clamp(-ABSORB_ABOVE, ABSORB_ABOVE).exp()
        absorbed = ((of_visual - 1) * g).clamp(-ABSORB_ABOVE, ABSORB_ABOVE).exp()
        u, v = torch.ones_like(a), torch.ones_like(b)
        large = False
        while steps < iterations and not (converged or large):
            row = torch.bmm(v[:, None, :], transposed)[:, 0].clamp_min(tiny)
            following = asked / row**of_text
            if steps and steps % CHECK_EVERY == 0:
                converged = bool(((u - following) * row).abs().sum(1).max() <= tolerance)
            u = following
            v = (b / torch.bmm(u[:, None, :], kernel)[:, 0].clamp_min(tiny)) ** of_visual * absorbed
            steps += 1
            large = bool(torch.maximum(_log(u).abs().amax(1), _log(v).abs().amax(1)).max() > ABSORB_ABOVE)
        f, g = f + u.log(), g + _log(v)
    return f, g, steps


def _log(scaling: Tensor) -> Tensor:
    """Log of a scaling; 0 for tokens without mass, whose kernel is 0 already."""
    return torch.where(scaling == 0, 1, scaling).log()
