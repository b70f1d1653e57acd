from __future__ import annotations

from dataclasses import asdict, fields, replace

import pytest
import torch

from grace.trainer.batch import Batch, Sizes
from grace.trainer.controls import Probe
from grace.trainer.layers import FrameAttention, Head, ModelConfig, Projection, SegmentPooling, VideoStatistics
from grace.trainer.losses import LossConfig, logit_adjusted, total_loss
from grace.trainer.methods import MODELS, build
from grace.trainer.model import Grace, Narrative, Template
from grace.trainer.settings import METHODS, TrainSettings

SIZES = Sizes(classes=3, instants=4, patches=9, width=16)
SETTINGS = TrainSettings(hidden=16, layers=1, heads=2, dropout=0.0, readout_dropout=0.0, queries=4)
CONFIG = ModelConfig.from_settings(SETTINGS, SIZES)
TWO_SPACES = ModelConfig.from_settings(SETTINGS, replace(SIZES, text_width=12, aligned=False))


def batch(count: int = 5, text: int = 6) -> Batch:
    torch.manual_seed(0)
    clips = Batch.random(SIZES, count, text)
    clips.text_mask[:, -2:] = False
    return replace(clips, sentence_end=torch.arange(text).expand(count, -1) == 3)


def test_every_method_is_a_class_and_a_line_of_the_settings() -> None:
    assert set(MODELS) == set(METHODS)


def test_a_config_takes_every_field_from_the_settings_or_the_cache() -> None:
    known = {**TrainSettings().model_dump(), **asdict(SIZES), "motion_floor": 0.05}
    assert asdict(ModelConfig.from_settings(TrainSettings(), SIZES)) == {
        field.name: known[field.name] for field in fields(ModelConfig)
    }
    assert ModelConfig.from_settings(TrainSettings(epsilon=0.3), SIZES).matcher().epsilon == 0.3


def test_vision_uses_neither_text_nor_motion() -> None:
    model, clips = build(replace(CONFIG, method="vision")).eval(), batch()
    other = replace(clips, text=torch.randn_like(clips.text), motion=torch.zeros_like(clips.motion))
    assert torch.equal(model(clips).logits, model(other).logits)
    assert model(clips).alignment is None


def test_padding_changes_nothing() -> None:
    model, clips = build(CONFIG).eval(), batch()
    output = model(clips)
    assert output.alignment is not None
    assert (output.alignment.plan[:, -2:] == 0).all()
    shorter = replace(
        clips, text=clips.text[:, :-2], text_mask=clips.text_mask[:, :-2], sentence_end=clips.sentence_end[:, :-2]
    )
    assert torch.allclose(output.logits, model(shorter).logits, atol=1e-5)


def test_motion_enters_by_each_part_and_by_no_other_way() -> None:
    clips = batch()
    still = replace(clips, motion=torch.zeros_like(clips.motion))

    def change(motion_attention: bool, motion_marginal: bool) -> float:
        torch.manual_seed(0)
        config = replace(CONFIG, motion_attention=motion_attention, motion_marginal=motion_marginal)
        model = build(config).eval()
        return float((model(clips).logits - model(still).logits).abs().max().detach())

    assert change(motion_attention=False, motion_marginal=False) == 0
    assert change(motion_attention=True, motion_marginal=False) > 1e-5
    assert change(motion_attention=False, motion_marginal=True) > 1e-5


def test_a_clip_and_its_reverse_are_pooled_differently_and_with_one_segment_alike() -> None:
    frames, even = torch.randn(5, 4, 16), torch.full((5, 4), 1 / 4)

    def change(segments: int) -> float:
        layer = SegmentPooling(replace(CONFIG, segments=segments))
        return float((layer(frames, even) - layer(frames.flip(1), even)).abs().max().detach())

    assert change(segments=1) < 1e-5
    assert change(segments=2) > 1e-2


def test_pooling_concatenates_the_weighted_means_of_segments() -> None:
    layer = SegmentPooling(replace(CONFIG, instants=5, segments=2))  # instants 0, 1, 2 and 3, 4
    frames, weight = torch.randn(3, 5, 16), torch.rand(3, 5).softmax(1)
    first, second = (2 * (weight[:, s, None] * frames[:, s]).sum(1) for s in (slice(3), slice(3, 5)))
    assert torch.allclose(layer(frames, weight), layer.join(torch.cat([first, second], dim=1)), atol=1e-5)
    assert SegmentPooling(replace(CONFIG, instants=2, segments=9)).join.in_features == 2 * 16


def test_motion_normalisation_frames_moves_no_mass_between_instants_and_within_the_clip_it_does() -> None:
    patches, motion = torch.zeros(5, 4, 9, 16), torch.rand(5, 4, 9)
    motion[:, 0] = 0  # nothing moves at first

    def marginal(within: str) -> torch.Tensor:
        model = build(replace(CONFIG, motion_normalisation=within, motion_exponent=2.0))
        assert isinstance(model, Grace)
        return model.aligner.visual_marginal(patches, motion).detach().unflatten(1, (4, 9))

    share = (motion + CONFIG.motion_floor) ** 2
    assert torch.allclose(marginal("frame"), share / share.sum(2, keepdim=True) / 4, atol=1e-6)
    assert torch.allclose(marginal("clip"), share / share.sum((1, 2), keepdim=True), atol=1e-6)


def test_dropping_patches_keeps_some_patches_of_each_frame_with_their_motion() -> None:
    clips = batch()
    fewer = clips.drop_patches(0.6)
    assert fewer.visual.shape == (5, 4, 4, 16)
    place = (fewer.visual[:, :, :, None] == clips.visual[:, :, None]).all(-1)  # [B, T, kept, P]
    assert (place.sum(3) == 1).all()
    assert (place.sum(2) <= 1).all()
    assert torch.equal((place * clips.motion[:, :, None]).sum(3), fewer.motion)
    assert place.any(2).flatten(0, 1).unique(dim=0).shape[0] > 1  # not the same places in every frame
    assert torch.equal(fewer.text, clips.text)
    assert clips.drop_patches(0.0) is clips
    assert clips.drop_patches(1.0).visual.shape[2] == 1


def test_frame_attention_is_the_formula() -> None:
    layer, clips = FrameAttention(CONFIG).eval(), batch()
    assert layer.beta is not None
    frames, patches = torch.randn(5, 4, 16), torch.randn(5, 4, 9, 16)
    q, k, v = (x.unflatten(-1, (2, 8)) for x in (layer.query(frames), layer.key(patches), layer.value(patches)))
    bias = layer.beta[:, None] * torch.log(clips.motion + CONFIG.motion_floor)[:, :, None]
    weight = (torch.einsum("bthd,btphd->bthp", q, k) / 8**0.5 + bias).softmax(-1)
    expected = frames + layer.out(torch.einsum("bthp,btphd->bthd", weight, v).flatten(2))
    assert torch.allclose(layer(frames, patches, clips.motion), expected, atol=1e-5)


def test_every_weight_of_grace_gets_a_gradient() -> None:
    model, labels = build(CONFIG), torch.tensor([0, 1, 2, 0, 1])
    terms = total_loss(model(batch()), labels, torch.full((3,), 1 / 3), LossConfig())
    heads = {"video_head", "text_head", "aligned_head"}
    assert set(terms) == {"loss", "classification", "transport", "contrastive", *heads}
    terms["loss"].backward()
    silent = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    # Softmax ignores a constant added to all its scores.
    assert set(silent) <= {
        "aligner.salience.bias",
        "aligner.saliency.bias",
        "aligner.temporal.layers.layers.0.self_attn.in_proj_bias",
    }


def test_logit_adjustment_is_plain_cross_entropy_for_equal_classes_and_favours_the_rare_otherwise() -> None:
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    equal = logit_adjusted(logits, labels, torch.full((3,), 1 / 3), 1.0).mean()
    assert torch.allclose(equal, torch.nn.functional.cross_entropy(logits, labels))
    flat = torch.zeros(1, 3, requires_grad=True)
    logit_adjusted(flat, torch.tensor([2]), torch.tensor([0.5, 0.4, 0.1]), 1.0).sum().backward()
    assert flat.grad is not None
    assert float(flat.grad[0, 2]) == pytest.approx(-0.9)


def test_contrast_is_absent_when_all_clips_share_a_class() -> None:
    terms = total_loss(build(CONFIG)(batch()), torch.zeros(5, dtype=torch.long), torch.full((3,), 1 / 3), LossConfig())
    assert float(terms["contrastive"].detach()) == 0


def test_template_scores_are_cosines_with_the_class_prompts() -> None:
    prompts = torch.randn(3, 16)
    model, clips = build(replace(CONFIG, method="template"), prompts).eval(), batch()
    assert isinstance(model, Template)
    assert torch.equal(model.prompts, prompts)
    assert "prompts" in model.state_dict()
    assert not model.prompts.requires_grad
    scores = model(clips).logits
    assert not model.linear.linear.weight.any()  # the linear reading has learned nothing yet
    near = scores - model.linear.linear.bias
    assert float(near.detach().abs().max()) <= float(model.scale.detach().exp())
    other = replace(clips, text=torch.randn_like(clips.text), motion=torch.zeros_like(clips.motion))
    assert torch.equal(model(other).logits, scores)
    model.prompts.copy_(prompts[[1, 0, 2]])
    assert torch.allclose(model(clips).logits - model.linear.linear.bias, near[:, [1, 0, 2]], atol=1e-5)


def test_narrative_uses_the_end_tokens_and_no_other_word() -> None:
    model, clips = build(replace(CONFIG, method="narrative")).eval(), batch()
    assert isinstance(model, Narrative)
    output = model(clips)
    others = torch.where(clips.sentence_end[..., None], clips.text, torch.randn_like(clips.text))
    assert torch.equal(model(replace(clips, text=others)).logits, output.logits)
    ends = torch.where(clips.sentence_end[..., None], torch.randn_like(clips.text), clips.text)
    assert not torch.allclose(model(replace(clips, text=ends)).logits, output.logits)
    assert output.alignment is not None
    assert output.problem is not None
    cosine = torch.nn.functional.cosine_similarity(output.problem.text[:, 0], output.problem.visual[:, 0])
    assert torch.allclose(output.alignment.cost, 1 - cosine, atol=1e-5)


def test_projection_standardises_each_feature_and_is_linear() -> None:
    layer, tokens = Projection(16, 5), 3 * torch.randn(4, 7, 16) + 1
    flat = tokens.flatten(0, 1)
    layer.standard.mean.copy_(flat.mean(0))
    layer.standard.spread.copy_(flat.std(0))
    standard = (tokens - flat.mean(0)) / flat.std(0)
    assert torch.allclose(layer(tokens), torch.nn.functional.linear(standard, layer.weight, layer.bias), atol=1e-5)


def test_a_head_adds_a_linear_reading_to_the_deep_one() -> None:
    head = Head(CONFIG, 16, 5).eval()
    deep, statistics = torch.randn(4, 16), torch.randn(4, 5)
    assert torch.allclose(head(deep, statistics), head(deep) + head.linear.bias)  # it begins at 0
    torch.nn.init.ones_(head.linear.weight)
    assert torch.allclose(head(deep, statistics) - head(deep), head.linear(statistics), atol=1e-5)


def test_statistics_of_a_video_are_mean_largest_spread_and_its_segments() -> None:
    layer, clips = VideoStatistics(replace(CONFIG, segments=2)), batch()
    found = layer(clips)
    frame = clips.frame
    expected = [frame.mean(1), frame.amax(1), frame.std(1, correction=0), frame[:, :2].mean(1), frame[:, 2:].mean(1)]
    assert torch.allclose(found, torch.cat(expected, 1), atol=1e-5)
    assert layer.width == found.shape[1]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_tokens_of_two_spaces(method: str) -> None:
    clips = replace(batch(), text=torch.randn(5, 6, 12))
    output = build(replace(TWO_SPACES, method=method), torch.randn(3, 12))(clips)
    assert output.logits.shape == (5, 3)
    if method == "grace":
        terms = total_loss(output, torch.tensor([0, 1, 2, 0, 1]), torch.full((3,), 1 / 3), LossConfig())
        terms["loss"].backward()


def test_without_a_text_only_the_heads_of_the_video_speak() -> None:
    model, clips = build(CONFIG).eval(), batch()
    silent = clips.drop_text(torch.tensor([True, False, True, False, False]))
    output = model(silent)
    assert output.speaks.tolist() == [[True] * 5, *[[False, True, False, True, True]] * 2]
    assert torch.allclose(output.logits[0], output.heads["video"][0])
    assert torch.allclose(output.logits[1], sum(scores[1] for scores in output.heads.values()), atol=1e-5)
    other = replace(clips, text=torch.randn_like(clips.text))
    again = model(other.drop_text(~output.has_text))
    assert torch.equal(again.logits[0], output.logits[0])
    assert not torch.allclose(again.logits[1], output.logits[1])
    losses = total_loss(output, torch.tensor([0, 1, 2, 0, 1]), torch.full((3,), 1 / 3), LossConfig())
    assert bool(losses["loss"].isfinite())
    nobody = model(clips.drop_text(torch.ones(5, dtype=torch.bool)))
    losses = total_loss(nobody, torch.tensor([0, 1, 2, 0, 1]), torch.full((3,), 1 / 3), LossConfig())
    assert float(losses["text_head"].detach()) == float(losses["contrastive"].detach()) == 0


def test_heads_are_joined_by_their_weights() -> None:
    model, clips = build(CONFIG).eval(), batch()
    model.joining.copy_(torch.tensor([0.5, 0.0, 2.0]))
    output = model(clips)
    assert torch.allclose(output.logits, 0.5 * output.heads["video"] + 2 * output.heads["aligned"], atol=1e-5)


def test_the_cost_of_a_word_reaches_the_classifier() -> None:
    model, clips = build(replace(CONFIG, text_relaxation=0.1)), batch()
    assert isinstance(model, Grace)
    problem = model(clips).problem
    assert problem is not None
    cost, a, b = problem.costs_and_marginals()
    alignment = model.aligner.matcher(cost, a, b)
    words, visual = torch.randn(5, 6, 16), torch.zeros(5, 36, 16)
    near = model.aligner.align(words, visual, alignment, cost, a)
    far = model.aligner.align(words, visual, alignment, cost + 0.5, a)
    assert not torch.allclose(near, far, atol=1e-4)


def test_queries_read_neither_text_nor_class() -> None:
    model, clips = build(replace(CONFIG, method="queries")).eval(), batch()
    other = replace(clips, text=torch.randn_like(clips.text))
    assert torch.equal(model(clips).logits, model(other).logits)
    assert model(clips).alignment is not None
    assert model(clips).alignment.plan.shape == (5, 4, 36)  # type: ignore[union-attr]
    assert not model.reads_text


def test_text_reads_no_video() -> None:
    model, clips = build(replace(CONFIG, method="text")).eval(), batch()
    other = replace(clips, visual=torch.randn_like(clips.visual), frame=torch.randn_like(clips.frame))
    assert torch.equal(model(clips).logits, model(other).logits)


@pytest.mark.parametrize(("probe", "width"), [("video", 7 * 16), ("text", 2 * 16), ("both", 9 * 16)])
def test_a_probe_reads_the_sides_that_it_is_asked_to(probe: str, width: int) -> None:
    model = build(replace(CONFIG, method="probe", probe=probe))
    assert isinstance(model, Probe)
    assert model.features(batch()).shape == (5, width)


def test_each_switch_changes_its_part_alone() -> None:
    """Without transport the weights are the same ones and only the plan differs."""
    clips = batch()

    def made(**switch: bool) -> tuple[set[str], torch.Tensor]:
        torch.manual_seed(0)
        model = build(replace(CONFIG, **switch)).eval()  # type: ignore[arg-type]
        return set(model.state_dict()), model(clips).logits

    whole, scores = made()
    weights, others = made(transport=False)
    assert weights == whole
    assert not torch.allclose(others, scores, atol=1e-4)
    assert made(motion_attention=False)[0] == whole - {"aligner.frame_attention.beta"}
    assert made(motion_marginal=False)[0] == whole


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_in_bfloat16_with_finite_losses(method: str) -> None:
    model, labels = build(replace(CONFIG, method=method), torch.randn(3, 16)), torch.tensor([0, 1, 2, 0, 1])
    with torch.autocast("cpu", torch.bfloat16):
        output = model(batch())
        terms = total_loss(output, labels, torch.full((3,), 1 / 3), LossConfig())
    assert all(bool(term.isfinite()) for term in terms.values())
    if output.alignment is not None:
        assert output.alignment.plan.dtype == torch.float32
        assert float(output.alignment.marginal_error.max()) < 0.05
    terms["loss"].backward()
    assert all(weight.grad is None or bool(weight.grad.isfinite().all()) for weight in model.parameters())


def test_grace_starts_from_the_cosine_of_the_cached_tokens() -> None:
    problem = build(CONFIG)(batch()).problem
    assert problem is not None
    cosine = torch.nn.functional.cosine_similarity(
        batch().text[:, :, None], batch().visual.flatten(1, 2)[:, None], dim=-1
    )
    assert torch.allclose(problem.costs_and_marginals()[0], 1 - cosine, atol=1e-5)
