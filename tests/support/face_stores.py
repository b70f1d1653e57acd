"""A data set's folder as the earlier stages leave it, with a planted label in every text of its clips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from grace.pipeline.store import Clips, Row, Store, write_clips
from grace.pipeline.store.schemas import CAPTIONS, CLIPS, DESCRIPTIONS, FACES, MOTION

PLANTED = "helplessness"
"""A label that no prompt and no caption of the tests holds: where it turns up, a label leaked."""


def jpeg(rng: np.random.Generator, side: int = 40) -> bytes:
    """A smooth coloured picture as JPEG."""
    small = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    picture = cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def write_clips_with_faces(folder: Path, count: int, instants: int = 6, size: int = 32, broken: int = -1) -> list[Row]:
    """``clips.parquet`` and ``faces`` for ``count`` clips; clip number ``broken`` has a crop that is no JPEG."""
    rng = np.random.default_rng(0)
    clips, faces = [], []
    for number in range(count):
        clip_id = f"{PLANTED}_{number:03d}"
        texts = {column.name: f"{PLANTED} {number}" for column in CLIPS.columns if column.dtype == "str"}
        folds = {"fold_1": "train", "fold_2": "train"}
        numbers: dict[str, Any] = {"n_frames": 60, "fps": 25.0, "width": 64, "height": 64, "label_id": 9}
        key = {"clip_id": clip_id, "status": "ok", "error": ""}
        clips.append({**texts, **folds, **numbers, **key, "label": PLANTED, "annotated_frames": 60})
        frames = [jpeg(rng) for _ in range(instants)]
        if number == broken:
            frames[instants // 2] = b"no picture"
        faces.append(
            {
                **key,
                "frames": frames,
                "neighbours": frames,
                "size": np.array([64, 64], np.int32),
                "boxes": np.zeros((instants, 4), np.float32),
                "times": (np.arange(instants, dtype=np.float32) + 0.5) * 0.25,
                "found": np.ones(instants, bool),
            }
        )
    write_clips(folder, clips, [PLANTED])
    _write(Store(folder / "faces", FACES), faces, size)
    return faces


def write_texts(folder: Path, kind: str, texts: Sequence[str], size: int = 32) -> None:
    """``captions`` or ``descriptions`` with one text per clip."""
    schema, column = {"captions": (CAPTIONS, "caption"), "descriptions": (DESCRIPTIONS, "description")}[kind]
    rows = [
        {"clip_id": f"{PLANTED}_{number:03d}", "status": "ok", "error": "", column: text}
        for number, text in enumerate(texts)
    ]
    _write(Store(folder / kind, schema), rows, size)


def clips_with_texts(folder: Path, count: int, motion: int) -> None:
    """Clips with faces, descriptions and motion maps of a grid of ``motion``, all in one shard."""
    rng = np.random.default_rng(1)
    write_clips_with_faces(folder, count, size=count)
    write_texts(folder, "descriptions", ["The brows rise. The lips part."] * count, size=count)
    maps = [
        {"clip_id": clip["clip_id"], "status": "ok", "error": "", "motion": rng.random((6, motion, motion))}
        for clip in Clips(folder, []).rows
    ]
    _write(Store(folder / "motion", MOTION), maps, count)


def _write(store: Store, rows: list[Row], size: int) -> None:
    for shard in range(math.ceil(len(rows) / size)):
        part = rows[shard * size : (shard + 1) * size]
        store.write(shard, part, {"fingerprint": f"{store.schema.stage}-{shard}", "version": 1, "cache_key": {}})
