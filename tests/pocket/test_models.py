"""The pocket models as any program opens them, their cards, and their output for unseen clips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grace.pipeline.checkpoints import knows_only
from grace.pipeline.world.actions import ACTIONS
from grace.pipeline.world.sentences import coarse_caption, moment_sentence, named_actions, true_actions
from grace.pipeline.world.timeline import VISIBLE, Timeline
from grace.pocket.batches import place_crops
from grace.pocket.evaluate import RESULT, score_captions, score_refinement, write_captions
from grace.pocket.model_cards import render_cards
from grace.pocket.render_dataset import draw_clip, training_scenario

SEED = 3000
"""Of clips that were used neither for training nor for the figures of the cards."""


@pytest.fixture(scope="module")
def clips() -> list[tuple[np.ndarray, np.ndarray, Timeline]]:
    """Crops, intensities and timelines of a few unseen clips."""
    drawn = []
    for number in range(0, 36, 3):  # three clips per person: twelve people
        frames, known, regions = draw_clip(SEED, number)
        frames, _ = place_crops(frames, regions, np.random.default_rng(number))
        drawn.append((frames, known[:, : len(ACTIONS)], training_scenario(SEED, number)[0].timeline))
    return drawn


@pytest.fixture(scope="module")
def folder(project: Path) -> Path:
    return project / "pocket"


@pytest.mark.parametrize("name", ["clip", "vlm", "llm"])
def test_folders_are_ordinary_and_small(folder: Path, name: str) -> None:
    config = json.loads((folder / name / "config.json").read_text())
    for part in (config, config.get("text_config", {}), config.get("vision_config", {})):
        if "num_attention_heads" in part:
            assert part["hidden_size"] // part["num_attention_heads"] == 64, "vLLM's CPU attention needs heads of 64"
    assert (folder / name / "tokenizer.json").is_file()
    assert knows_only(str(folder / name)) == "the rendered world"


def test_cards_are_what_their_writer_writes(folder: Path) -> None:
    cards = render_cards(json.loads(RESULT.read_text()))
    assert {name: (folder / name / "README.md").read_text() for name in ("clip", "vlm", "llm")} == cards
    assert all("arXiv 2507.11892" in card and "python -m grace.pocket build" in card for card in cards.values())


def test_all_three_fit_into_40_megabytes(folder: Path) -> None:
    files = [file for name in ("clip", "vlm", "llm") for file in (folder / name).iterdir()]
    assert sum(file.stat().st_size for file in files) <= 40e6


def test_captions_name_what_happened_and_not_what_did_not(clips: Any) -> None:
    captions = write_captions([frames for frames, _, _ in clips], [timeline.duration for _, _, timeline in clips])
    timelines = [timeline for _, _, timeline in clips]
    right = score_captions(captions, timelines)
    wrong = score_captions(captions, timelines[1:] + timelines[:1])
    assert right["caption_action_precision"] > 0.65
    assert right["caption_action_recall"] > 0.65
    assert right["caption_action_precision"] > wrong["caption_action_precision"] + 0.3


def test_refinement_is_json_and_true_to_the_caption(clips: Any) -> None:
    timelines = [timeline for _, _, timeline in clips]
    found = score_refinement([coarse_caption(timeline) for timeline in timelines], timelines)
    assert found["refine_valid"] == 1
    assert found["refine_faithful"] >= 0.8
    assert any(named_actions(coarse_caption(timeline)) == true_actions(timeline) for timeline in timelines)


def test_clip_tells_frames_with_an_action_from_frames_without(folder: Path, clips: Any) -> None:
    import torch
    from PIL import Image
    from sklearn.metrics import roc_auc_score
    from transformers import AutoProcessor, CLIPModel

    model = CLIPModel.from_pretrained(folder / "clip", dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(folder / "clip")
    frames = [Image.fromarray(frame) for each, _, _ in clips for frame in each]
    texts = [moment_sentence([(action, 0.58)]) for action in ACTIONS]
    with torch.inference_mode():
        near = model(**processor(text=texts, images=frames, padding=True, return_tensors="pt")).logits_per_image.numpy()
    shown = np.concatenate([known for _, known, _ in clips]) >= VISIBLE
    seen = [index for index in range(len(ACTIONS)) if shown[:, index].any()]
    assert len(seen) > 10
    assert np.mean([roc_auc_score(shown[:, index], near[:, index]) for index in seen]) > 0.65
