"""Indexing a whole data set is quick and small: 40,000 clips given as folders of frames, in a folder set's layout.

Makes the folders (4 tiny JPEG frames each, of real bytes) and indexes them as `grace index` does. The files have just
been written, so that they are in the page cache: a cold disk costs its own time on top.

    python -m benchmarks.index [--quick] [--workers 2]

Ends with one line of JSON: index_seconds, the time from the call to clips.parquet (no goal of its own), index_rss_mb,
the peak memory of the process that indexes and of its workers together, and beside them listing_seconds, a bare loop
that lists every folder and decodes its first frame on one core.

--quick takes 6 s of processor time; the full run has 10 times the clips.
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

from benchmarks.harness import Benchmark, progress, scratch_folder, seconds
from benchmarks.random_datasets import frame_folders

FRAMES = 4

BENCHMARK = Benchmark("index", __doc__, keys=("index_seconds", "index_rss_mb", "listing_seconds"), quick="4,000 clips")


def bare(root: Path) -> None:
    """A loop that lists every folder and decodes one frame, on one core."""
    for scene in sorted((root / "clips").iterdir()):
        for clip in sorted(scene.iterdir()):
            cv2.imread(str(min(clip.iterdir())))


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
        made = seconds(lambda: frame_folders(root, clips, FRAMES))
        progress(f"made {clips} folders of {FRAMES} frames in {made:.1f} s")
        listing_seconds = seconds(lambda: bare(root))
        start = time.perf_counter()
        with Peak() as workers:
            found = index("many", root, scratch / "data", workers=args.workers)
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
