"""A small cache of real store files whose emotions can be learned: each class has its own patches and its own words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from grace.pipeline.store import Row, Store, failure, fingerprint, write_clips, write_table
from grace.pipeline.store.schemas import MOTION, TEMPLATES, TEMPLATES_FILE, TOKENS

LABELS = ["happiness", "sadness", "neutral"]
INSTANTS, PATCHES, WIDTH, LENGTH, GRID = 4, 9, 16, 10, 3
SHARD = 16

TRAIN: dict[str, Any] = {"epochs": 12, "batch": 16, "hidden": 16, "layers": 1, "heads": 2, "learning_rate": 5e-3}


def toy_cache(
    folder: Path,
    clips: int = 60,
    *,
    failed: tuple[int, ...] = (),
    test_labels: str | None = None,
    grid: int = GRID,
    seed: int = 0,
    made_by: Mapping[str, Any] = MappingProxyType({}),
) -> Path:
    """A data set of ``clips`` clips, of which two in seven are test clips of fold 1, with six subjects.

    ``failed`` are indices of clips without tokens; ``test_labels`` replaces the labels of all test clips.
    ``made_by`` are the cache keys of tokens and motion, where these shall be of real steps.
    """
    generator = np.random.default_rng(seed)
    visuals = generator.normal(size=(len(LABELS), WIDTH))
    words = generator.normal(size=(len(LABELS), WIDTH))
    table, tokens, motion = [], [], []
    for index in range(clips):
        emotion, clip_id = index % len(LABELS), f"clip-{index:03d}"
        test = index % 7 < 2
        label = test_labels if test and test_labels else LABELS[emotion]
        table.append(
            {
                "clip_id": clip_id,
                "status": "ok",
                "error": "",
                "path": f"{clip_id}.mp4",
                "source": "video",
                "label": label,
                "label_id": LABELS.index(label),
                "fold_1": "test" if test else "train",
                "fold_2": "train" if test else "test",
                "subject": f"person-{index // 3 % 6}",
            }
        )
        if index in failed:
            tokens.append(failure(clip_id, "faces: the video has no frames"))
            motion.append(failure(clip_id, "faces: the video has no frames"))
            continue
        tokens.append(_tokens(clip_id, generator, visuals[emotion], words[emotion]))
        motion.append(_motion(clip_id, generator, grid))
    write_clips(folder, table, LABELS)
    write_shards(Store(folder / "tokens", TOKENS), tokens, made_by.get("tokens"))
    write_shards(Store(folder / "motion", MOTION), motion, made_by.get("motion"))
    prompts = [{"label": label, "prompt": label, "embedding": visuals[k]} for k, label in enumerate(LABELS)]
    write_table(folder / "tokens" / TEMPLATES_FILE, TEMPLATES, prompts, {"cache_key": {"model": "toy"}})
    return folder


def write_shards(store: Store, rows: list[Row], cache_key: dict[str, Any] | None = None) -> None:
    """Rows as shards of ``SHARD`` clips, with the metadata that a stage writes."""
    for shard in range(math.ceil(len(rows) / SHARD)):
        of_shard = rows[shard * SHARD : (shard + 1) * SHARD]
        made = {"cache_key": cache_key or {"model": "toy"}, "rows": fingerprint(of_shard)}
        store.write(shard, of_shard, {"cache_key": made["cache_key"], "fingerprint": fingerprint(made)})


def show_labels(folder: Path) -> None:
    """Mark every text of a toy cache as written with the label in its prompt."""
    store = Store(folder / "tokens", TOKENS)
    for shard in store.shards():
        meta = store.meta(shard)
        rows = [{**row, "label_visible": True} for row in store.read(shard)]
        store.write(shard, rows, {"cache_key": meta["cache_key"], "fingerprint": f"{meta['fingerprint']}, labelled"})


def limit_footage(folder: Path, limit: str) -> None:
    """Mark the tokens of a toy cache as made by a model that does not know the footage."""
    store = Store(folder / "tokens", TOKENS)
    for shard in store.shards():
        store.write(shard, store.read(shard), {**store.meta(shard), "limits": [limit]})


def _tokens(clip_id: str, generator: np.random.Generator, mark: np.ndarray, word: np.ndarray) -> Row:
    visual = generator.normal(size=(INSTANTS, PATCHES, WIDTH))
    visual[1:3, :4] += mark
    length = int(generator.integers(4, LENGTH))
    text = np.zeros((LENGTH, WIDTH))
    text[:length] = generator.normal(size=(length, WIDTH))
    text[length - 1] += word  # the end token, which holds the sentence
    return {
        "clip_id": clip_id,
        "status": "ok",
        "error": "",
        "visual": visual.astype(np.float16),
        "frame": visual.mean(1).astype(np.float16),
        "text": text.astype(np.float16),
        "text_mask": np.arange(LENGTH) < length,
        "text_id": np.arange(LENGTH, dtype=np.int32),
        "sentence": np.where(np.arange(LENGTH) < length, 0, -1).astype(np.int16),
    }


def _motion(clip_id: str, generator: np.random.Generator, grid: int) -> Row:
    motion = generator.uniform(0, 0.2, size=(INSTANTS, grid, grid))
    motion[1:3, 0] = 0.9
    return {
        "clip_id": clip_id,
        "status": "ok",
        "error": "",
        "motion": motion.astype(np.float16),
        "rigid": np.zeros((INSTANTS, 4), dtype=np.float32),
        "cut": np.zeros(INSTANTS, dtype=bool),
    }
