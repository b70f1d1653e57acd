"""Heads joined late, standardised tokens, texts and views that are drawn, controls, seeds, the probe."""

from __future__ import annotations

import json
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from grace.pipeline.store import Row, Store, UserError
from grace.pipeline.store.schemas import TOKENS
from grace.trainer.batch import Output
from grace.trainer.class_prompts import load_class_prompts
from grace.trainer.classifier import TokenClassifier
from grace.trainer.data import Cache, Order, Subset, as_batch
from grace.trainer.evaluate import evaluate
from grace.trainer.joining import joining_weights
from grace.trainer.layers import ModelConfig, Standard
from grace.trainer.methods import build
from grace.trainer.protocol import split
from grace.trainer.settings import TrainSettings
from grace.trainer.standardisation import standardise
from grace.trainer.train import train
from grace.trainer.training_loop import head_scores
from tests.support.toy_cache import TRAIN, WIDTH, toy_cache

CPU = torch.device("cpu")


def rewritten(folder: Path, change: Any, cache_key: dict[str, Any] | None = None) -> Cache:
    """The toy cache with every row of tokens changed."""
    store = Store(folder / "tokens", TOKENS)
    for shard in store.shards():
        meta = store.meta(shard)
        rows = [change(number, row) for number, row in enumerate(store.read(shard))]
        made = {"cache_key": cache_key or meta["cache_key"], "fingerprint": f"{meta['fingerprint']}, changed"}
        store.write(shard, rows, made)
    return Cache(folder)


def with_views_and_texts(number: int, row: Row) -> Row:
    """A mirrored view of ones; two further texts in clips of even number, one of twos and one of threes."""
    length = len(row["text_mask"])
    mask = np.zeros((2, length), bool)
    mask[:, :2] = number % 2 == 0
    other = np.stack([np.full((length, WIDTH), value, np.float16) for value in (2, 3)])
    more = {"other_text": other, "other_text_mask": mask, "other_sentence": np.zeros((2, length), np.int16)}
    view = {"mirrored_visual": np.ones_like(row["visual"]), "mirrored_frame": np.ones_like(row["frame"])}
    return {**row, **more, **view}


def test_joining_trusts_a_head_as_far_as_unseen_clips_bear_it_out() -> None:
    generator, labels = np.random.default_rng(0), np.arange(90) % 3
    right, wrong = 3 * np.eye(3)[labels], 9 * generator.normal(size=(90, 3))
    scores = np.stack([right + generator.normal(size=(90, 3)), wrong])
    weights = joining_weights(scores, np.ones((2, 90), bool), labels)
    assert weights[1] < 0.1 * weights[0]
    assert (np.einsum("h,hck->ck", weights, scores).argmax(1) == labels).mean() > 0.9


def test_standardisation_is_of_the_training_clips_and_leaves_padding_out(tmp_path: Path) -> None:
    cache = Cache(toy_cache(tmp_path))
    part = Subset(cache, tuple(cache.rows)[:30])
    model = build(ModelConfig.from_settings(TrainSettings(hidden=8, layers=1, heads=2), cache.sizes))
    standardise(model, part, 8, CPU)
    rows = [cache.row(clip_id) for clip_id in part.clip_ids]
    words = np.concatenate([row["text"][row["text_mask"]] for row in rows]).astype(np.float64)
    layer = model.text.standard
    assert isinstance(layer, Standard)
    assert np.allclose(layer.mean.numpy(), words.mean(0), atol=1e-3)
    assert np.allclose(layer.spread.numpy(), words.std(0), atol=1e-3)


def test_texts_and_views_are_drawn_in_training_and_named_at_test(tmp_path: Path) -> None:
    cache = rewritten(toy_cache(tmp_path), with_views_and_texts)
    part = Subset(cache, tuple(cache.rows))
    assert cache.texts == 3
    second = torch.cat([batch.text[:, :1] for batch, _ in part.batches(60, text=1)])
    assert (second[0] == 2).all()
    assert not (second[1] == 2).any()  # that clip has one text only
    drawn = [batch for batch, _ in part.batches(16, Order(seed=1, mirror=True))]
    firsts = torch.cat([batch.text[:, 0, 0] for batch in drawn])
    assert {2.0, 3.0} < set(firsts.tolist())
    flipped = torch.cat([(batch.frame == 1).all(-1).all(-1) for batch in drawn])
    assert 10 < int(flipped.sum()) < 50
    plain = torch.cat([batch.frame for batch, _ in part.batches(16, Order(seed=1))])
    assert not (plain == 1).all(-1).any()


def test_motion_is_mirrored_with_its_view(tmp_path: Path) -> None:
    cache = rewritten(toy_cache(tmp_path), with_views_and_texts)
    part = Subset(cache, tuple(cache.rows)[:16])
    (batch, _), *_ = part.batches(16, Order(seed=1, mirror=True))
    stored = as_batch(cache.read(part.clip_ids))
    whole = {tuple(row.tolist()) for row in stored.motion[:, 0].round(decimals=3)}
    for frame, motion in zip(batch.frame, batch.motion[:, 0].view(-1, 3, 3), strict=True):
        seen = motion.flip(-1) if bool((frame == 1).all()) else motion
        assert tuple(seen.flatten().round(decimals=3).tolist()) in whole


def test_at_test_the_scores_of_a_clips_texts_are_averaged(tmp_path: Path) -> None:
    cache = rewritten(toy_cache(tmp_path), with_views_and_texts)
    part = Subset(cache, tuple(cache.rows)[:6])
    torch.manual_seed(0)
    model = build(ModelConfig.from_settings(TrainSettings(method="text", hidden=8, heads=2), cache.sizes)).eval()
    with torch.no_grad():
        each = [next(iter(part.batches(6, text=number)))[0] for number in range(3)]
        expected = torch.stack([model(batch).logits for batch in each]).mean(0)
    assert np.allclose(head_scores(model, part, 4, CPU).scores[0], expected.numpy(), atol=1e-5)


def test_scoring_keeps_no_plan_of_clips_that_are_scored(tmp_path: Path) -> None:
    cache = Cache(toy_cache(tmp_path))
    part = Subset(cache, tuple(cache.rows)[:12])
    model = build(ModelConfig.from_settings(TrainSettings(hidden=8, layers=1, heads=2), cache.sizes))
    outputs: list[weakref.ref[Output]] = []
    alive: list[int] = []

    def count(_: Any, __: Any, output: Output) -> None:
        alive.append(sum(earlier() is not None for earlier in outputs))
        outputs.append(weakref.ref(output))

    model.register_forward_hook(count)
    head_scores(model, part, 2, CPU)
    assert alive == [0] * 6


def test_balanced_sampling_draws_each_class_equally_often(tmp_path: Path) -> None:
    cache = Cache(toy_cache(tmp_path))
    labels = Subset(cache, tuple(cache.rows)).labels
    ids = np.array(tuple(cache.rows))
    part = Subset(cache, tuple(ids[np.r_[np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)[:4], 2]]))
    drawn = np.concatenate([of.numpy() for _, of in part.batches(8, Order(seed=0, balanced=True))])
    assert len(drawn) == len(part)
    assert np.bincount(drawn).max() - np.bincount(drawn).min() <= 2


def test_shuffled_texts_are_those_of_other_clips_of_the_same_part(tmp_path: Path) -> None:
    cache = Cache(toy_cache(tmp_path))
    fold = split(cache, 1, TrainSettings(text="shuffled"))
    for part in (fold.selection.train, fold.selection.validation, fold.test):
        assert sorted(part.text_from) == sorted(part.clip_ids)
        assert all(own != other for own, other in zip(part.clip_ids, part.text_from, strict=True))
    batch, _ = next(iter(fold.test.batches(4)))
    expected = as_batch(cache.read(fold.test.text_from[:4]))
    assert torch.equal(batch.text, expected.text)
    assert torch.equal(batch.frame, as_batch(cache.read(fold.test.clip_ids[:4])).frame)
    silent = split(cache, 1, TrainSettings(text="none")).test
    assert not any(bool(batch.has_text.any()) for batch, _ in silent.batches(4))


def test_two_spaces_are_told_from_one_and_template_is_refused(tmp_path: Path) -> None:
    folder = toy_cache(tmp_path)

    def narrower(number: int, row: Row) -> Row:
        return {**row, "text": row["text"][:, :12]}

    cache = rewritten(folder, narrower, {"vision": "a", "text_encoder": "b"})
    assert (cache.sizes.width, cache.sizes.text_width, cache.sizes.aligned) == (WIDTH, 12, False)
    with pytest.raises(UserError, match=r"Method template compares .* choose another method"):
        load_class_prompts(cache)
    settings = TrainSettings.model_validate({**TRAIN, "epochs": 2})
    assert train(folder, settings, 1, quiet=True)["epoch"] >= 1


def test_a_probe_learns_and_its_run_opens_like_any_other(tmp_path: Path) -> None:
    folder = toy_cache(tmp_path)
    metrics = train(folder, TrainSettings(method="probe"), 1, quiet=True)
    assert metrics["UAR"] > 0.6
    classifier = TokenClassifier.from_pretrained(folder / "runs/probe/fold-1")
    probabilities, plan = classifier.predict(Cache(folder).row("clip-000"))
    assert plan is None
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_a_run_works_without_a_text_and_says_how_well(tmp_path: Path) -> None:
    folder = toy_cache(tmp_path)
    train(folder, TrainSettings.model_validate(TRAIN), 1, quiet=True)
    metrics = json.loads((folder / "runs/grace/fold-1/metrics.json").read_text())
    assert 0 <= metrics["without_text"]["UAR"] <= 1
    assert evaluate(folder, "grace", [1], samples=10)["without_text"]["UAR"] == metrics["without_text"]["UAR"]
    classifier, row = TokenClassifier.from_pretrained(folder / "runs/grace/fold-1"), Cache(folder).row("clip-000")
    _, plan = classifier.predict(row, text=False)
    assert plan is None
    blank = {**row, "text_mask": np.zeros_like(row["text_mask"]), "sentence": np.full_like(row["sentence"], -1)}
    assert np.allclose(classifier.predict(row, text=False)[0], classifier.predict(blank)[0], atol=1e-6)


@pytest.mark.parametrize("changes", [{"method": "text"}, {"method": "probe", "probe": "text"}])
def test_a_method_that_reads_nothing_but_text_says_so(tmp_path: Path, changes: dict[str, str]) -> None:
    folder, method = toy_cache(tmp_path), changes["method"]
    train(folder, TrainSettings.model_validate({**TRAIN, **changes, "epochs": 1}), 1, quiet=True)
    classifier = TokenClassifier.from_pretrained(folder / "runs" / method / "fold-1")
    with pytest.raises(UserError, match=f"Method {method} reads nothing but text"):
        classifier.predict(Cache(folder).row("clip-000"), text=False)


def test_seeds_are_runs_of_their_own_and_tables_show_their_spread(tmp_path: Path) -> None:
    folder = toy_cache(tmp_path)
    settings = TrainSettings.model_validate({**TRAIN, "method": "vision", "epochs": 2, "seeds": 3, "seed": 5})
    metrics = train(folder, settings, 1, quiet=True)
    assert len(metrics["seeds"]) == 3
    assert (folder / "runs/vision/fold-1/seed-7/config.yaml").exists()
    result = evaluate(folder, "vision", [1], samples=10, seeds=3)
    each = [one["UAR"] for one in metrics["seeds"]]
    assert result["seeds"]["UAR"]["each"] == pytest.approx(each, abs=1e-6)
    assert result["seeds"]["UAR"]["deviation"] == pytest.approx(np.std(each, ddof=1), abs=1e-6)
    before = (folder / "runs/vision/fold-1/seed-6/config.yaml").stat().st_mtime_ns
    train(folder, settings, 1, quiet=True)
    assert (folder / "runs/vision/fold-1/seed-6/config.yaml").stat().st_mtime_ns == before
