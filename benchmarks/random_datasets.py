"""Data sets of random crops and texts, as the earlier stages leave them: what benchmarks of the tokens stage run on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from grace.pipeline.estimate import TYPICAL
from grace.pipeline.store import Store, write_clips
from grace.pipeline.store.schemas import DESCRIPTIONS, FACES, MOTION


def crops_set(folder: Path, clips: int, *, instants: int, side: int, size: int, grid: int = 7) -> Path:
    """``clips`` clips of ``instants`` crops of ``side`` pixels with a typical text, in shards of ``size`` clips."""
    names = [f"{number:06d}" for number in range(clips)]
    ok = {"status": "ok", "error": ""}
    write_clips(folder, [{"clip_id": name, "label": "fear", **ok} for name in names], ["fear"])
    pictures = [_jpeg(number, side) for number in range(64)]
    for shard, start in enumerate(range(0, clips, size)):
        part = names[start : start + size]
        frames = [[pictures[(start + k + 7 * t) % 64] for t in range(instants)] for k in range(len(part))]
        faces = [
            {"clip_id": name, **ok, "frames": crops, "neighbours": crops, "found": np.ones(instants, dtype=bool)}
            for name, crops in zip(part, frames, strict=True)
        ]
        texts = [{"clip_id": name, **ok, "description": TYPICAL, "caption": TYPICAL} for name in part]
        maps = np.random.default_rng(shard).random((instants, grid, grid), dtype=np.float32)
        motion = [{"clip_id": name, **ok, "motion": maps} for name in part]
        for place, schema, rows in (
            ("faces", FACES, faces),
            ("descriptions", DESCRIPTIONS, texts),
            ("motion", MOTION, motion),
        ):
            Store(folder / place, schema).write(shard, rows, {"cache_key": {}, "fingerprint": f"{place}-{shard}"})
    return folder


def _jpeg(seed: int, side: int) -> bytes:
    """A picture with the detail of a face crop, about 15 kB at 224 pixels."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8), (side, side), interpolation=cv2.INTER_CUBIC)
    noise = rng.normal(0, 4, (side, side, 3))
    picture = np.clip(coarse + noise, 0, 255).astype(np.uint8)
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
