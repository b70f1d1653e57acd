from __future__ import annotations

import math

import numpy as np
import ot
import pytest
import torch
from torch import Tensor

from grace.trainer.alignment import Matcher, NotConvergedWarning, cosine_cost, cross_attention, sinkhorn, unit


def problem(batch: int = 3, text: int = 7, visual: int = 20, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Cost and marginals; the last two words of every text are padding."""
    torch.manual_seed(seed)
    cost = cosine_cost(unit(torch.randn(batch, text, 8)), unit(torch.randn(batch, visual, 8)))
    words = torch.randn(batch, text)
    words[:, -2:] = -torch.inf
    return cost, words.softmax(-1), torch.randn(batch, visual).softmax(-1)


@pytest.mark.parametrize("epsilon", [1.0, 0.1, 0.05, 0.02, 0.01])
def test_plan_has_the_marginals_and_padding_has_exactly_no_mass(epsilon: float) -> None:
    cost, a, b = problem()
    solved = sinkhorn(cost, a, b, epsilon, iterations=5000, tolerance=1e-5)
    assert torch.allclose(solved.plan.sum(2), a, atol=1e-4)
    assert torch.allclose(solved.plan.sum(1), b, atol=1e-5)
    assert (solved.plan[:, -2:] == 0).all()
    assert float(solved.marginal_error.max()) < 1e-4
    assert torch.allclose(solved.cost, (solved.plan * cost).sum((1, 2)))


@pytest.mark.parametrize("epsilon", [0.5, 0.05, 0.02])
def test_plan_equals_pot_item_by_item(epsilon: float) -> None:
    cost, a, b = problem()
    solved = sinkhorn(cost, a, b, epsilon, iterations=5000, tolerance=1e-6)
    for item in range(len(cost)):
        arguments = (x[item].double().numpy() for x in (a[:, :-2], b, cost[:, :-2]))
        plan = ot.sinkhorn(*arguments, epsilon, method="sinkhorn_log", numItermax=5000, stopThr=1e-7, warn=False)
        assert np.abs(solved.plan[item, :-2].numpy() - plan).sum() < 1e-4


def test_few_iterations_say_that_they_did_not_converge() -> None:
    cost, a, b = problem()
    solved = sinkhorn(cost, a, b, 0.01, iterations=5)
    assert solved.iterations == 5
    assert float(solved.marginal_error.max()) > 0.01


def test_extreme_costs_stay_finite() -> None:
    cost, a, b = problem()
    assert bool(sinkhorn(cost * 500, a, b, 0.01, iterations=50).plan.isfinite().all())
    assert torch.allclose(sinkhorn(cost * 20, a, b, 0.01, iterations=50).plan.sum(1), b, atol=1e-3)


@pytest.mark.parametrize("rho", [1.0, 0.05, 0.005])
def test_relaxed_plan_equals_pot_item_by_item(rho: float) -> None:
    cost, a, b = problem()
    solved = sinkhorn(cost, a, b, 0.05, iterations=5000, marginal_relaxation=rho, tolerance=1e-7)
    assert torch.allclose(solved.plan.sum(2), a, atol=1e-6)
    for item in range(len(cost)):
        arguments = (x[item].double().numpy() for x in (a[:, :-2], b, cost[:, :-2]))
        plan = ot.unbalanced.sinkhorn_unbalanced(
            *arguments, 0.05, (np.inf, rho), reg_type="kl", numItermax=20000, stopThr=1e-10
        )
        assert np.abs(solved.plan[item, :-2].numpy() - plan).sum() < 1e-4


def test_relaxation_leads_from_transport_to_cross_attention() -> None:
    cost, a, b = problem()
    held = sinkhorn(cost, a, b, 0.05, iterations=2000, marginal_relaxation=1e4, tolerance=1e-6).plan
    assert torch.allclose(held, sinkhorn(cost, a, b, 0.05, iterations=2000, tolerance=1e-6).plan, atol=1e-4)
    free = sinkhorn(cost, a, b, 0.05, iterations=2000, marginal_relaxation=1e-6, tolerance=1e-6).plan
    assert torch.allclose(free, cross_attention(cost, a, b, 0.05).plan, atol=1e-4)


@pytest.mark.parametrize("rho", [(0.02, 0.05), (0.1, 1.0), (0.3, math.inf)])
def test_with_both_marginals_relaxed_the_plan_is_pots(rho: tuple[float, float]) -> None:
    cost, a, b = problem()
    solved = sinkhorn(
        cost, a, b, 0.05, iterations=5000, marginal_relaxation=rho[1], text_relaxation=rho[0], tolerance=1e-8
    )
    assert float(solved.marginal_error.max()) < 1e-4
    assert (solved.plan[:, -2:] == 0).all()
    for item in range(len(cost)):
        arguments = (x[item].double().numpy() for x in (a[:, :-2], b, cost[:, :-2]))
        plan = ot.unbalanced.sinkhorn_unbalanced(*arguments, 0.05, rho, reg_type="kl", numItermax=20000, stopThr=1e-10)
        assert np.abs(solved.plan[item, :-2].numpy() - plan).sum() < 1e-4


def test_a_word_that_nothing_shows_sends_less_mass_where_its_marginal_is_relaxed() -> None:
    cost = torch.full((1, 2, 4), 0.2)
    cost[0, 1] = 1.2
    even = torch.full((1, 2), 0.5), torch.full((1, 4), 0.25)
    held = sinkhorn(cost, *even, 0.05, marginal_relaxation=0.1).plan.sum(2)
    assert torch.allclose(held, even[0], atol=1e-4)
    relaxed = sinkhorn(cost, *even, 0.05, 200, marginal_relaxation=0.1, text_relaxation=0.5).plan.sum(2)[0]
    assert float(relaxed[1] / relaxed[0]) == pytest.approx(math.exp(-1 / (0.5 + 0.05)), rel=0.02)


@pytest.mark.parametrize("rho", [(math.inf, math.inf), (math.inf, 0.2), (0.3, 0.2), (0.3, math.inf)])
@pytest.mark.parametrize("shape", [(5, 7), (7, 4)])
def test_gradients_equal_finite_differences(shape: tuple[int, int], rho: tuple[float, float]) -> None:
    torch.manual_seed(0)
    cost = torch.rand(2, *shape, dtype=torch.float64, requires_grad=True)
    words = torch.randn(2, shape[0], dtype=torch.float64, requires_grad=True)
    places = torch.randn(2, shape[1], dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, *shape, dtype=torch.float64)
    mask = torch.ones(2, shape[0], dtype=torch.bool)
    mask[0, -2:] = False

    def of(cost: Tensor, words: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        a = words.masked_fill(~mask, -torch.inf).softmax(-1)
        held = {"text_relaxation": rho[0], "marginal_relaxation": rho[1]}
        solved = sinkhorn(cost, a, places.softmax(-1), 0.1, 5000, tolerance=1e-13, **held)
        return (solved.plan * weight).sum((1, 2)), solved.cost

    assert torch.autograd.gradcheck(of, (cost, words, places), eps=1e-6, atol=1e-6)


def test_gradient_equals_pot_unrolled() -> None:
    cost, a, b = problem()
    cost, a = cost[:, :-2].double().requires_grad_(), a[:, :-2].double()
    weight = torch.randn_like(cost)
    unrolled = ot.batch.solve_batch(cost, 0.1, a, b.double(), max_iter=2000, tol=1e-13, grad="autodiff").plan
    (expected,) = torch.autograd.grad((unrolled * weight).sum(), cost)
    ours = sinkhorn(cost, a, b.double(), 0.1, iterations=2000, tolerance=1e-13).plan
    (found,) = torch.autograd.grad((ours * weight).sum(), cost)
    assert torch.allclose(found, expected, atol=1e-8)


def test_a_batch_solved_in_parts_has_the_plans_and_gradients_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def solved() -> list[Tensor]:
        leaves = [tensor.double().requires_grad_() for tensor in problem(batch=5)]
        alignment = sinkhorn(*leaves, 0.1, iterations=500, tolerance=1e-12)
        (alignment.cost.sum() + alignment.plan.square().sum()).backward()
        return [
            alignment.plan.detach(),
            alignment.marginal_error,
            *(leaf.grad for leaf in leaves if leaf.grad is not None),
        ]

    whole = solved()
    monkeypatch.setattr("grace.trainer.alignment.CACHE_BYTES", 2 * 7 * 20 * 8)  # two of the five clips
    parts = solved()
    assert len(whole) == len(parts) == 5
    assert all(torch.allclose(one, other, atol=1e-9) for one, other in zip(whole, parts, strict=True))


def test_float32_is_forced_inside_autocast() -> None:
    cost, a, b = problem()
    with torch.autocast("cpu", torch.bfloat16):
        solved = sinkhorn(cost.bfloat16(), a, b, 0.05)
    assert solved.plan.dtype == torch.float32
    assert torch.allclose(solved.plan.sum(1), b, atol=1e-5)


def test_cross_attention_keeps_the_words_marginal_and_leaves_the_other_free() -> None:
    cost, a, b = problem()
    attended = cross_attention(cost, a, b, 0.05)
    assert torch.allclose(attended.plan.sum(2), a, atol=1e-6)
    assert (attended.plan[:, -2:] == 0).all()
    assert float((attended.plan.sum(1) - b).abs().sum(1).max()) > 0.1
    assert torch.allclose(attended.plan[0, 0] / a[0, 0], (b[0].log() - cost[0, 0] / 0.05).softmax(-1), atol=1e-6)
    assert torch.allclose(attended.cost, (attended.plan * cost).sum((1, 2)))


def test_transport_with_one_token_a_side_is_their_distance() -> None:
    cost, whole = torch.rand(4, 1, 1, requires_grad=True), torch.ones(4, 1)
    solved = sinkhorn(cost, whole, whole, 0.05)
    assert torch.allclose(solved.plan, torch.ones(4, 1, 1))
    assert torch.allclose(solved.cost, cost[:, 0, 0])
    solved.cost.sum().backward()
    assert cost.grad is not None
    assert torch.allclose(cost.grad, torch.ones(4, 1, 1), atol=1e-3)


def test_a_plan_far_from_converged_is_warned_of() -> None:
    cost, a, b = problem()
    matcher = Matcher(epsilon=0.01, iterations=3)
    with pytest.warns(NotConvergedWarning, match="did not converge in 3 iterations"):
        assert matcher.warn_if_not_converged(float(matcher(cost, a, b).marginal_error.mean()))
    assert not matcher.warn_if_not_converged(float(Matcher(iterations=500)(cost, a, b).marginal_error.mean()))
