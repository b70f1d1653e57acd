"""Evaluation of the pocket models on people and clips outside their training: ``python -m grace.pocket measure``.

Texts are generated with the pipeline's own engine, requests and prompts; crops are made like those of training.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from grace.pipeline.vocabulary import REGIONS
from grace.pipeline.world.actions import ACTIONS
from grace.pipeline.world.sentences import (
    coarse_caption,
    cues,
    fine_description,
    moment_sentence,
    named_actions,
    true_actions,
)
from grace.pipeline.world.timeline import VISIBLE, Timeline
from grace.pocket.batches import place_crops
from grace.pocket.render_dataset import BLOCK, UNSEEN, draw, instants, load

HERE = Path(__file__).parent
RESULT = HERE / "measured.json"


def evaluate(quick: bool = False) -> dict[str, Any]:
    """All figures, on 500 unseen clips, or 64 if ``quick``."""
    count = 64 if quick else 500
    draw(UNSEEN, range(1 if quick else 2))
    clips, known, regions, timelines = unseen(count)
    captions = write_captions(list(clips), [timeline.duration for timeline in timelines])
    figures = {"clips": count, **score_captions(captions, timelines)}
    figures |= score_refinement([coarse_caption(timeline) for timeline in timelines], timelines)
    return figures | score_clip(clips, known, regions)


def unseen(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[Timeline]]:
    """Unseen clips: crops [count, INSTANTS, side, side, 3], their ground truth, region boxes, and timelines."""
    crops, known, regions, timelines = [], [], [], []
    for block in load(UNSEEN):
        for index in range(BLOCK):
            rng = np.random.default_rng((UNSEEN, 4, block.first + index))
            frames, boxes = place_crops(block.frames[index], block.regions[index], rng)
            crops.append(frames)
            regions.append(boxes)
            known.append(block.truth[index])
            timelines.append(block.scenario(index).timeline)
    return np.stack(crops[:count]), np.stack(known[:count]), np.stack(regions[:count]), timelines[:count]


def write_captions(clips: Sequence[np.ndarray], durations: list[float]) -> list[str]:
    """Coarse captions of clips [INSTANTS, side, side, 3] by the pocket VLM, with the caption stage's own requests."""
    from grace.pipeline.engines import make_engine
    from grace.pipeline.text.caption import coarse_request
    from grace.pipeline.text.prompts import read_prompt
    from grace.pipeline.text.settings import CaptionSettings

    engine = make_engine(CaptionSettings(model=str(HERE / "vlm")))
    prompt = read_prompt("coarse-v1")
    requests = []
    for frames, duration in zip(clips, durations, strict=True):
        requests.append(coarse_request(list(frames), instants(duration).tolist(), prompt))
    return [response.text for response in engine.generate(requests)]


def score_captions(captions: list[str], timelines: list[Timeline]) -> dict[str, float]:
    """Precision and recall of the movements and of the regions that captions name, micro-averaged over clips."""
    stated = [named_actions(caption) for caption in captions]
    true = [true_actions(timeline) for timeline in timelines]
    actions = _precision_recall(stated, true)
    regions = _precision_recall([{r for r, _ in one} for one in stated], [{r for r, _ in one} for one in true])
    names = ("precision", "recall")
    return {f"caption_action_{name}": value for name, value in zip(names, actions, strict=True)} | {
        f"caption_region_{name}": value for name, value in zip(names, regions, strict=True)
    }


def score_refinement(captions: list[str], timelines: list[Timeline]) -> dict[str, float]:
    """The pocket LLM on true captions: shares of valid JSON, of answers that name what the caption names, of exact."""
    from grace.pipeline.engines import make_engine
    from grace.pipeline.text.prompts import read_prompt
    from grace.pipeline.text.refine import refine_request
    from grace.pipeline.text.settings import RefineSettings

    engine = make_engine(RefineSettings(model=str(HERE / "llm")))
    prompt = read_prompt("refine-v1")
    answers = [response.text for response in engine.generate([refine_request([text], prompt) for text in captions])]
    valid, faithful, exact = 0, 0, 0
    for caption, answer, timeline in zip(captions, answers, timelines, strict=True):
        try:
            content = json.loads(answer)
        except ValueError:
            continue
        valid += isinstance(content, dict) and {"description", "cues"} <= content.keys()
        in_cues = {(cue["region"], cue["action"]) for cue in content["cues"]}
        faithful += in_cues == named_actions(caption) == named_actions(content["description"])
        exact += content == {"description": fine_description(timeline), "cues": cues(timeline)}
    count = len(captions)
    return {"refine_valid": valid / count, "refine_faithful": faithful / count, "refine_exact": exact / count}


def score_clip(clips: np.ndarray, known: np.ndarray, regions: np.ndarray) -> dict[str, float]:
    """Zero-shot retrieval of actions by the pocket CLIP, and grounding of words in regions.

    ``clip_action_auc``: area under the ROC curve of the cosine of frame and sentence, mean over actions. ``clip_top1``:
    share of frames whose nearest of 18 action sentences names a visible action (among frames that have one), beside
    ``clip_top1_chance``. ``clip_grounding``: softmax (temperature 0.05) of an action sentence's words over the 64
    patches: the mass in the action's region ÷ the share of patches there.
    """
    import torch
    from sklearn.metrics import roc_auc_score

    from grace.pipeline.tokens.encoder import ClipEncoder

    encoder = ClipEncoder.load(str(HERE / "clip"), dtype="float32", device="cpu")
    frames = clips.reshape(-1, *clips.shape[2:])
    intensities, boxes = known.reshape(-1, known.shape[-1])[:, : len(ACTIONS)], regions.reshape(-1, len(REGIONS), 4)
    tokens, _, real = encoder.texts([moment_sentence([(action, 0.58)]) for action in ACTIONS])
    tokens = torch.nn.functional.normalize(tokens.float(), dim=-1)
    unpadded = [one[mask] for one, mask in zip(tokens, real, strict=True)]
    words, ends = [one[:-1].numpy() for one in unpadded], torch.stack([one[-1] for one in unpadded])
    cosine, ratios = [], []
    for start in range(0, len(frames), 64):
        pixels = torch.stack([encoder.prepare(frame) for frame in frames[start : start + 64]])
        patches, classes = (torch.nn.functional.normalize(part.float(), dim=-1) for part in encoder.images(pixels))
        cosine.append((classes @ ends.T).numpy())
        for offset, patch in enumerate(patches):
            ratios += _grounding(patch.numpy(), words, intensities[start + offset], boxes[start + offset])
    near = np.concatenate(cosine)
    shown = intensities >= VISIBLE
    aucs = [roc_auc_score(shown[:, a], near[:, a]) for a in range(len(ACTIONS)) if 0 < shown[:, a].sum() < len(shown)]
    some = shown.any(axis=1)
    top = shown[np.arange(len(shown)), near.argmax(axis=1)]
    return {
        "clip_action_auc": float(np.mean(aucs)),
        "clip_top1": float(top[some].mean()),
        "clip_top1_chance": float(shown[some].mean()),
        "clip_grounding": float(np.mean(ratios)),
    }


def _grounding(patch: np.ndarray, words: list[np.ndarray], intensities: np.ndarray, boxes: np.ndarray) -> list[float]:
    side = round(len(patch) ** 0.5)
    middle = (np.arange(side) + 0.5) * 128 / side
    found = []
    for index in np.flatnonzero(intensities >= VISIBLE):
        x0, y0, x1, y1 = boxes[REGIONS.index(ACTIONS[index].region)]
        inside = np.outer((middle >= y0) & (middle <= y1), (middle >= x0) & (middle <= x1)).ravel()
        if not inside.any():
            continue
        scores = np.exp((words[index] @ patch.T) / 0.05)
        mass = (scores / scores.sum(axis=1, keepdims=True)).mean(axis=0)
        found.append(float(mass[inside].sum() / inside.mean()))
    return found


def _precision_recall(stated: list[set[Any]], true: list[set[Any]]) -> tuple[float, float]:
    right = sum(len(a & b) for a, b in zip(stated, true, strict=True))
    return right / max(sum(map(len, stated)), 1), right / max(sum(map(len, true)), 1)
