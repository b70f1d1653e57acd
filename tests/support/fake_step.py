"""A small real step for the tests of the runner: draws a face's worth of bytes for each clip, or breaks as told."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from grace.pipeline.errors import ClipError
from grace.pipeline.execution.step import ClipStep
from grace.pipeline.store import Row, failure, write_clips
from grace.pipeline.store.schemas import FACES, MOTION

LABELS = ["happiness", "sadness"]


def write_demo_clips(
    folder: Path, count: int, paths: dict[int, str] | None = None, failed: set[int] | None = None
) -> None:
    """``count`` clips c000, c001, …; ``paths`` tells the drawing step how to misbehave on some of them."""
    rows: list[Row] = []
    for k in range(count):
        row = {
            "clip_id": f"c{k:03d}",
            "status": "ok",
            "error": "",
            "path": (paths or {}).get(k, "fine"),
            "label": LABELS[k % 2],
        }
        rows.append(failure(row["clip_id"], "index: the file is missing") if k in (failed or set()) else row)
    write_clips(folder, rows, LABELS)


class DrawStep(ClipStep):
    """Writes the ``faces`` store from the clips' ids; the path says what goes wrong."""

    name, version, schema, folder = "faces", 1, FACES, "faces"
    reads: ClassVar = {"clips": ("path",)}

    def __init__(self, instants: int = 2, seconds: float = 0.0) -> None:
        self.instants = instants
        self.seconds = seconds

    def cache_key(self) -> dict[str, Any]:
        return {"instants": self.instants}

    def clip(self, row: Row) -> Row:
        time.sleep(self.seconds)
        if row["path"] == "bad":
            raise ClipError("the video is empty")
        if row["path"] == "crash":
            raise ValueError("moov atom not found")
        if row["path"] == "hang":
            time.sleep(3600)
        if row["path"] == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        generator = np.random.default_rng(list(row["clip_id"].encode()))
        images = [generator.bytes(int(generator.integers(50, 5000))) for _ in range(self.instants)]
        return {
            "clip_id": row["clip_id"],
            "status": "ok",
            "error": "",
            "frames": images,
            "neighbours": images,
            "boxes": generator.random((self.instants, 4)),
        }


class SizeStep(ClipStep):
    """Writes the ``motion`` store from the faces: the size of each frame's bytes."""

    name, version, schema, folder = "motion", 1, MOTION, "motion"
    reads: ClassVar = {"faces": ("frames",)}

    def cache_key(self) -> dict[str, Any]:
        return {}

    def clip(self, row: Row) -> Row:
        assert set(row) == {"clip_id", "status", "error", "frames"}, "a step sees declared columns only"
        sizes = np.array([len(image) for image in row["frames"]], dtype=np.float16)
        return {"clip_id": row["clip_id"], "status": "ok", "error": "", "motion": sizes[:, None, None]}


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
