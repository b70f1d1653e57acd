"""Data sets of random pictures and texts, as they come or as earlier stages leave them: what benchmarks run on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from grace.pipeline.datasets.labels import SEVEN
from grace.pipeline.estimate.trial import TYPICAL
from grace.pipeline.store import Store, write_clips
from grace.pipeline.store.schemas import DESCRIPTIONS, FACES, MOTION

SCENES = 1000
"""Folders that hold the clips of :func:`frame_folders`, as scenes do."""


def crops_set(folder: Path, clips: int, *, instants: int, side: int, size: int, grid: int = 7) -> Path:
    """``clips`` clips of ``instants`` crops of ``side`` pixels with a typical text, in shards of ``size`` clips."""
    names = [f"{number:06d}" for number in range(clips)]
    ok = {"status": "ok", "error": ""}
    write_clips(folder, [{"clip_id": name, "label": "fear", **ok} for name in names], ["fear"])
    pictures = [_jpeg(number, side) for number in range(64)]
    sampled = {"found": np.ones(instants, dtype=bool), "times": np.arange(instants) / instants}
    for shard, start in enumerate(range(0, clips, size)):
        part = names[start : start + size]
        frames = [[pictures[(start + k + 7 * t) % 64] for t in range(instants)] for k in range(len(part))]
        faces = [
            {"clip_id": name, **ok, "frames": crops, "neighbours": crops, **sampled}
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


def frame_folders(root: Path, clips: int, frames: int) -> None:
    """A ``folder`` data set of ``clips`` clips that are folders of small pictures, in ``SCENES`` folders."""
    content = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    lines = ["path,label,subject,fold,frames"]
    for number in range(clips):
        folder = f"clips/{number % SCENES:03d}/{number:07d}"
        (root / folder).mkdir(parents=True)
        for frame in range(frames):
            (root / folder / f"{number}-{frame}.jpg").write_bytes(content)  # names tell clips of equal pictures apart
        person = number // 10
        lines.append(f"{folder},{SEVEN[number % 7]},p{person},{person % 5 + 1},{frames}")
    (root / "clips.csv").write_text("\n".join(lines) + "\n")


def _jpeg(seed: int, side: int) -> bytes:
    """A picture with the detail of a face crop, about 15 kB at 224 pixels."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8), (side, side), interpolation=cv2.INTER_CUBIC)
    noise = rng.normal(0, 4, (side, side, 3))
    picture = np.clip(coarse + noise, 0, 255).astype(np.uint8)
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
