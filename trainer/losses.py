"""What training minimises: ℓ = (1 − η) ℓ_joined + η Σ_h ℓ_h + λ₁ ⟨Π, C⟩ + λ₂ ℓ_contrast, h the heads."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grace.trainer.alignment import Matcher, TransportProblem, unit
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
    heads: float = 0.5  # of the heads' own losses, against that of their sum
    matcher: Matcher = field(default_factory=Matcher)  # of the contrastive distance

    @classmethod
    def from_settings(cls, settings: TrainSettings, matcher: Matcher) -> LossConfig:
        """The weights of ``train`` in ``params.yaml``; ``matcher`` is the model's."""
        return cls(
            transport=settings.transport_weight,
            contrastive=settings.contrastive_weight,
            logit_adjustment=settings.logit_adjustment,
            heads=settings.head_weight,
            matcher=matcher,
        )


Targets = Int[Tensor, " batch"] | Float[Tensor, "batch classes"]
"""A class for each clip, or the share of each class."""


def logit_adjusted(
    logits: Float[Tensor, "batch classes"], targets: Targets, prior: Float[Tensor, " classes"], tau: float
) -> Float[Tensor, " batch"]:
    """Cross-entropy of logits + τ log π: balanced over classes for τ = 1 (Menon et al., ICLR 2021, eq. 10).

    The model's own logits then estimate the class-balanced posterior, and nothing is added at test time.

    Args:
        logits: Scores [B, K] of K classes.
        targets: The class of each clip [B], or the share of each class [B, K].
        prior: π [K] > 0, the share of each class in the training subset.
        tau: τ ≥ 0; 0 is plain cross-entropy.

    Returns:
        The loss of each clip [B], in nats.

    Example:
        >>> logit_adjusted(torch.zeros(1, 2), torch.tensor([1]), torch.tensor([0.75, 0.25]), tau=1.0)
        tensor([1.3863])
    """
    return F.cross_entropy(logits + tau * prior.log(), targets, reduction="none")


def contrastive_distance(
    problem: TransportProblem, labels: Int[Tensor, " batch"], matcher: Matcher, has_text: Bool[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """−log softmax(−d/τ) of the own text, d the transport distance of a clip's instants to its own and to other texts.

    To afford several texts per clip, the patches of an instant are first averaged by their marginal: N = T here. Texts
    of clips with the same label are no negatives and are left out. 0 when the batch holds one class only; clips without
    a text take no part.

    Args:
        problem: Tokens and marginals of the batch: words [B, L, d], visual tokens [B, T·P, d].
        labels: The class of each clip [B].
        matcher: What solves the transport problems; d is the cost ⟨Π, C⟩ of its plan.
        has_text: Which clips have a text [B].

    Returns:
        The mean over the clips with a text, in nats.
    """
    visual, marginal = _instants(problem)
    count = min(NEGATIVES + 1, len(labels))

    def of_others(values: Tensor) -> list[Tensor]:
        """The values of the clip itself, of the next one, of the one after, …; rolled, which costs no gather."""
        return [values.roll(-shift, 0) for shift in range(count)]

    cost = _costs_of_others(problem.text, visual, count)
    text_marginal = torch.stack(of_others(problem.text_marginal), dim=1)
    solved = matcher(cost.flatten(0, 1), text_marginal.flatten(0, 1), marginal.repeat_interleave(count, 0))
    left_out = torch.stack(of_others(labels), dim=1) == labels[:, None]
    left_out |= ~torch.stack(of_others(has_text), dim=1)
    left_out[:, 0] = False  # the own text is the positive
    scores = (-solved.cost.unflatten(0, (-1, count)) / TEMPERATURE).masked_fill(left_out, -torch.inf)
    return _mean(-scores.log_softmax(1)[:, 0], has_text)


def _costs_of_others(
    text: Float[Tensor, "batch text shared"], visual: Float[Tensor, "batch instants shared"], count: int
) -> Float[Tensor, "batch count text instants"]:
    """C = 1 − cos of each clip's instants and the words of its own text, of the next clip's, of the one after, …"""
    clips = torch.cat([unit(visual).roll(shift, 0) for shift in range(count)], dim=1)  # rolled, shorter than texts are
    near = (unit(text) @ clips.mT).unflatten(2, (count, -1))  # of text j and clip j − k
    return torch.stack([1 - near[:, :, k].roll(-k, 0) for k in range(count)], dim=1)


def _mean(values: Float[Tensor, " batch"], taken: Bool[Tensor, " batch"]) -> Float[Tensor, ""]:
    """The mean over the clips that are taken; 0 where none is."""
    return (values * taken).sum() / taken.sum().clamp_min(1)


def _instants(problem: TransportProblem) -> tuple[Tensor, Tensor]:
    """Visual tokens averaged within each instant by their marginal [B, T, d], and the marginal of instants [B, T]."""
    shape = (problem.instants, -1)
    weight = problem.visual_marginal.unflatten(1, shape)  # [B, T, P]
    marginal = weight.sum(2)
    visual = problem.visual.unflatten(1, shape)  # [B, T, P, d]
    mean = torch.einsum("btp,btpd->btd", weight.to(visual.dtype), visual)
    return mean / marginal[..., None].clamp_min(1e-9), marginal


def total_loss(
    output: Output,
    labels: Int[Tensor, " batch"],
    prior: Float[Tensor, " classes"],
    config: LossConfig,
    soft: Float[Tensor, "batch classes"] | None = None,
) -> dict[str, Float[Tensor, ""]]:
    """Every term by name, and their weighted sum under ``loss``. Terms that a method lacks are absent.

    ``classification`` is of the joined scores; ``<head>_head`` of each head alone, over the clips of which it says
    something.

    Args:
        output: What the model gives for the batch.
        labels: The class of each clip [B].
        prior: π [K], as :func:`logit_adjusted` takes it.
        config: The weights of the terms; a term of alignment with weight 0 is not computed.
        soft: The share of each class [B, K]; where it is given, classification is against it, else against ``labels``.

    Returns:
        Scalars: ``loss``, ``classification``, ``<head>_head``, and of methods that align also ``transport`` and
        ``contrastive``.

    Example:
        >>> scores, all_clips = torch.zeros(1, 2), torch.ones(1, dtype=torch.bool)
        >>> output = Output(scores, {"video": scores}, all_clips[None], all_clips)
        >>> terms = total_loss(output, torch.tensor([0]), torch.tensor([0.5, 0.5]), LossConfig())
        >>> {name: round(float(term), 3) for name, term in terms.items()}
        {'loss': 0.693, 'classification': 0.693, 'video_head': 0.693}
    """
    joined = torch.stack(list(output.heads.values())).float()
    taken = dict(zip(output.heads, output.speaks, strict=True))
    together = (joined * output.speaks[..., None]).sum(0)
    targets: Targets = labels if soft is None else soft
    terms = {"classification": logit_adjusted(together, targets, prior, config.logit_adjustment).mean()}
    loss = (1 - config.heads) * terms["classification"]
    for head, scores in output.heads.items():
        own = logit_adjusted(scores.float(), targets, prior, config.logit_adjustment)
        terms[f"{head}_head"] = _mean(own, taken[head])
        loss = loss + config.heads * terms[f"{head}_head"]
    if output.alignment is not None and config.transport:
        terms["transport"] = _mean(output.alignment.cost, output.has_text)
        loss = loss + config.transport * terms["transport"]
    if output.problem is not None and config.contrastive:
        terms["contrastive"] = contrastive_distance(output.problem, labels, config.matcher, output.has_text)
        loss = loss + config.contrastive * terms["contrastive"]
    return {"loss": loss, **terms}
