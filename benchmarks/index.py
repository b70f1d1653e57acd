"""Indexing a bare folder is quick and small: 40,000 clips without a table, half of them videos, half folders of frames.

Makes the clips (videos of 4 tiny frames, and folders of 4 tiny JPEG frames) and indexes them as `grace index FOLDER`
does. The files have just been written, so that they are in the page cache: a cold disk costs its own time on top.

    python -m benchmarks.index [--quick] [--workers 2]

Ends with one line of JSON: index_seconds, the time from the call to clips.parquet (goal: at most 60), index_rss_mb,
the peak memory of the process that indexes and of its workers together, and beside them listing_seconds, a bare loop
that lists every folder and decodes the first frame of each clip on one core.

--quick has 4,000 clips.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks.harness import Benchmark, progress, scratch_folder, seconds
from benchmarks.random_datasets import SCENES, frame_folders

FRAMES = 4
SIDE = 32

BENCHMARK = Benchmark("index", __doc__, keys=("index_seconds", "index_rss_mb", "listing_seconds"), quick="4,000 clips")


def bare_folder(root: Path, clips: int) -> None:
    """``clips`` clips below ``root``, every second one a video, and no table of them."""
    frame_folders(root, clips // 2, FRAMES)
    (root / "clips.csv").unlink()
    first = root / "video.mp4"
    writer = cv2.VideoWriter(str(first), cv2.VideoWriter.fourcc(*"mp4v"), 25, (SIDE, SIDE))
    for frame in range(FRAMES):
        writer.write(np.full((SIDE, SIDE, 3), 60 * frame, dtype=np.uint8))
    writer.release()
    content = first.read_bytes()
    first.unlink()
    for number in range(clips - clips // 2):
        unlike = b"\0\0\0\x10free" + number.to_bytes(8, "big")  # a box that players skip: no two files are equal
        (root / f"clips/{number % SCENES:03d}/video-{number:07d}.mp4").write_bytes(content + unlike)


def bare(root: Path) -> None:
    """A loop that lists every folder and decodes one frame of each clip, on one core."""
    for scene in sorted((root / "clips").iterdir()):
        for clip in sorted(scene.iterdir()):
            if clip.is_dir():
                cv2.imread(str(min(clip.iterdir())))
            else:
                video = cv2.VideoCapture(str(clip))
                video.read()
                video.release()


class Peak:
    """The largest memory of this process's workers together, read ten times per second."""

    def __init__(self) -> None:
        self.bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        page = resource.getpagesize()
        while not self._done.wait(0.1):
            now = 0
            for process in multiprocessing.active_children():
                try:
                    now += int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * page
                except (OSError, IndexError):
                    continue  # it has just ended
            self.bytes = max(self.bytes, now)


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument("--workers", type=int, default=2)
    return options


def main() -> None:
    """Print the figures, and keep those of a full run."""
    args = parser().parse_args()
    clips = 4_000 if args.quick else 40_000
    from grace.pipeline.index.index import index

    with scratch_folder() as scratch:
        root = scratch / "raw"
        made = seconds(lambda: bare_folder(root, clips))
        progress(f"made {clips} clips of {FRAMES} frames in {made:.1f} s")
        listing_seconds = seconds(lambda: bare(root))
        start = time.perf_counter()
        with Peak() as workers:
            found = index("many", root, scratch / "data", workers=args.workers, any_folder=True)
        index_seconds = time.perf_counter() - start
        if found.usable != clips:
            sys.exit(f"only {found.usable} of {clips} clips were indexed")
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    figures = {
        "clips": clips,
        "workers": args.workers,
        "index_seconds": round(index_seconds, 1),
        "index_rss_mb": round((own + workers.bytes) / 1e6),
        "listing_seconds": round(listing_seconds, 1),
    }
    BENCHMARK.report(figures, keep=not args.quick)


if __name__ == "__main__":
    main()
