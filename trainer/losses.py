"""What training minimises: ℓ = ℓ_class + λ₁ ⟨Π, C⟩ + λ₂ ℓ_contrast."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from grace.trainer.alignment import Matcher, TransportProblem, cosine_cost
from grace.trainer.batch import Output
from grace.trainer.settings import TrainSettings

NEGATIVES = 7
"""Texts of other clips that each clip is contrasted with in a step."""

TEMPERATURE = 0.1
"""Of the contrastive term; distances lie in [0, 2]."""


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms."""

    transport: float = 0.1  # lambda 1
    contrastive: float = 0.1  # lambda 2
    logit_adjustment: float = 1.0  # tau
    matcher: Matcher = field(default_factory=Matcher)  # of the contrastive distance

    @classmethod
    def from_settings(cls, settings: TrainSettings, matcher: Matcher) -> LossConfig:
        """The weights of ``train`` in ``params.yaml``; ``matcher`` is the model's."""
        return cls(settings.transport_weight, settings.contrastive_weight, settings.logit_adjustment, matcher)


def logit_adjusted(
    logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"], prior: Float[Tensor, " classes"], tau: float
) -> Float[Tensor, ""]:
    """Cross-entropy of logits + τ log π: balanced over classes for τ = 1 (Menon et al., ICLR 2021, eq. 10).

    ``prior`` is π, the share of each class in the training subset. The model's own logits then estimate the
    class-balanced posterior, and nothing is added at test time.
    """
    return F.cross_entropy(logits + tau * prior.log(), labels)


def contrastive_distance(
    problem: TransportProblem, labels: Int[Tensor, " batch"], matcher: Matcher
) -> Float[Tensor, ""]:
    """−log softmax(−d/τ) of the own text, d the transport distance of a clip's instants to its own and to other texts.

    To afford several texts per clip, the patches of an instant are first averaged by their marginal: N = T here. Texts
    of clips with the same label are no negatives and are left out. 0 when the batch holds one class only.
    """
    visual, marginal = _instants(problem)
    count = min(NEGATIVES + 1, len(labels))

    def of_others(values: Tensor) -> list[Tensor]:
        """The values of the clip itself, of the next one, of the one after, …; rolled, which costs no gather."""
        return [values.roll(-shift, 0) for shift in range(count)]

    cost = torch.stack([cosine_cost(text, visual) for text in of_others(problem.text)], dim=1)  # [B, K, L, T]
    text_marginal = torch.stack(of_others(problem.text_marginal), dim=1)
    solved = matcher(cost.flatten(0, 1), text_marginal.flatten(0, 1), marginal.repeat_interleave(count, 0))
    same_class = torch.stack(of_others(labels), dim=1) == labels[:, None]
    same_class[:, 0] = False  # the own text is the positive
    scores = (-solved.cost.unflatten(0, (-1, count)) / TEMPERATURE).masked_fill(same_class, -torch.inf)
    return -scores.log_softmax(1)[:, 0].mean()


def _instants(problem: TransportProblem) -> tuple[Tensor, Tensor]:
    """Visual tokens averaged within each instant by their marginal [B, T, d], and the marginal of instants [B, T]."""
    shape = (problem.instants, -1)
    weight = problem.visual_marginal.unflatten(1, shape)  # [B, T, P]
    marginal = weight.sum(2)
    visual = problem.visual.unflatten(1, shape)  # [B, T, P, d]
    mean = torch.einsum("btp,btpd->btd", weight.to(visual.dtype), visual)
    return mean / marginal[..., None].clamp_min(1e-9), marginal


def total_loss(
    output: Output, labels: Int[Tensor, " batch"], prior: Float[Tensor, " classes"], config: LossConfig
) -> dict[str, Float[Tensor, ""]]:
    """Every term by name, and their weighted sum under ``loss``. Terms that a method lacks are absent."""
    terms = {"classification": logit_adjusted(output.logits.float(), labels, prior, config.logit_adjustment)}
    loss = terms["classification"]
    if output.alignment is not None and config.transport:
        terms["transport"] = output.alignment.cost.mean()
        loss = loss + config.transport * terms["transport"]
    if output.problem is not None and config.contrastive:
        terms["contrastive"] = contrastive_distance(output.problem, labels, config.matcher)
        loss = loss + config.contrastive * terms["contrastive"]
    return {"loss": loss, **terms}
