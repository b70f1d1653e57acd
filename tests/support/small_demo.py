"""A project with the demo's names, small enough for any test: sixteen short films, and a run that knows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from grace.pipeline.settings import PipelineSettings
from grace.pipeline.single_clip import ClipPipeline
from grace.pipeline.steps import make_step, step_sections
from grace.pipeline.store import Row, Store, write_clips
from grace.pipeline.store.schemas import CLIPS, DESCRIPTIONS, MOTION, TOKENS
from grace.trainer.settings import TrainSettings
from grace.trainer.train import train
from tests.support.toy_cache import TRAIN, write_shards
from tests.support.videos import write_frames_as_video

LABELS = ["happiness", "sadness"]
COUNT = 16
SETTINGS: dict[str, Any] = {
    "faces": {"detector": "none", "instants": 4, "size": 64},
    "caption": {"max_tokens": 48},
    "refine": {"max_tokens": 96},
}


def make_small_demo(project: Path) -> Path:
    """Write ``params.yaml``, ``raw/demo/clips/00000.mp4`` and on, ``data/demo`` and its run ``runs/grace/fold-1``.

    The films with odd numbers are happy: a yellow disc instead of a blue one. Crops, motion and tokens are those of the
    steps; the descriptions are written here, and the run has seen none, so that no language model is opened.
    """
    data, settings = project / "data/demo", PipelineSettings.model_validate(SETTINGS)
    (project / "params.yaml").write_text(json.dumps(SETTINGS))
    films = [_film(project / f"raw/demo/clips/{number:05d}.mp4", happy=number % 2 == 1) for number in range(COUNT)]
    with ClipPipeline(settings, ["faces", "motion", "tokens"]) as pipeline:
        rows = [{**result.row, "clip_id": film.stem} for film, result in zip(films, pipeline.many(films), strict=True)]
    clips = [_clip(row, number) for number, row in enumerate(rows)]
    write_clips(data, clips, LABELS)
    keys = {stage: make_step(stage, settings, root=".").cache_key() for stage in ("refine", "motion", "tokens")}
    write_shards(Store(data / "descriptions", DESCRIPTIONS), [_description(clip) for clip in clips], keys["refine"])
    for schema, name in ((MOTION, "motion"), (TOKENS, "tokens")):
        columns = [column.name for column in schema.all_columns]
        kept = [{key: row[key] for key in columns if key in row} for row in rows]
        write_shards(Store(data / name, schema), kept, keys[name])
    train(data, TrainSettings(**TRAIN, method="grace"), 1, quiet=True, pipeline=step_sections(settings))
    return project


def _film(path: Path, happy: bool) -> Path:
    """A second of a disc that trembles: yellow on black, or blue on grey."""
    ground, colour = ((0, 0, 0), (40, 220, 250)) if happy else ((110, 110, 110), (160, 60, 20))
    frames = []
    for number in range(12):
        frame = np.full((64, 64, 3), ground, dtype=np.uint8)
        frames.append(cv2.circle(frame, (30 + number % 3, 32), 16, colour, -1))
    return write_frames_as_video(path, frames, fps=12.0)


def _clip(row: Row, number: int) -> Row:
    held = {column.name: row[column.name] for column in CLIPS.all_columns}
    label = (number + 1) % 2
    part = "test" if number < 4 else "train"
    return {**held, "path": f"clips/{row['clip_id']}.mp4", "label": LABELS[label], "label_id": label, "fold_1": part}


def _description(clip: Row) -> Row:
    cue = {"region": "mouth", "action": "lip corner pull", "intensity": "clearly", "phase": "apex"}
    key = {"clip_id": clip["clip_id"], "status": "ok", "error": "", "label_visible": False, "attempts": 1}
    return {**key, "caption": "A disc.", "description": "The lip corners pull up clearly.", "cues": [cue]}
