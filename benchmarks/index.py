"""Indexing a whole data set is quick and small: 40,000 clips given as folders of frames, in a folder set's layout.

Makes the folders (4 tiny JPEG frames each, of real bytes), indexes them as `grace index` does, and prints one line of
JSON: index_seconds, the time from the call to clips.parquet, index_rss_mb, the peak memory of the process that indexes
and of its workers together, and beside them listing_seconds, a bare loop that lists every folder and decodes its first
frame on one core. The files have just been written, so that they are in the memory of the system: a cold disk costs
its own time on top. `--quick` takes 4,000 clips; the full run is kept as benchmarks/results/index.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path

import cv2
import numpy as np

PROJECT = Path(__file__).parent.parent
sys.path.insert(0, str(PROJECT))

FRAMES = 4
FOLDERS = 100  # folders that hold the clips, as scenes do


def make(root: Path, clips: int) -> None:
    """A ``folder`` data set of ``clips`` folders of frames."""
    picture = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    content = cv2.imencode(".jpg", picture)[1].tobytes()
    labels = ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear")
    lines = ["path,label,fold,frames"]
    for number in range(clips):
        folder = f"clips/{number % FOLDERS:02d}/{number:05d}"
        (root / folder).mkdir(parents=True)
        for frame in range(FRAMES):
            (root / folder / f"{frame}.jpg").write_bytes(content)
        lines.append(f"{folder},{labels[number % 7]},{number % 5 + 1},{FRAMES}")
    (root / "clips.csv").write_text("\n".join(lines) + "\n")


def bare(root: Path) -> float:
    """Seconds that a loop takes which lists every folder and decodes one frame, on one core."""
    start = time.perf_counter()
    for scene in sorted((root / "clips").iterdir()):
        for clip in sorted(scene.iterdir()):
            cv2.imread(str(min(clip.iterdir())))
    return time.perf_counter() - start


class Peak:
    """The largest memory of this process's workers together, asked for ten times a second."""

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


def main() -> None:
    """Print the figures, and keep those of a full run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="4,000 clips")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    clips = 4_000 if arguments.quick else 40_000
    from grace.pipeline.index.index import index

    with tempfile.TemporaryDirectory(prefix="grace-index-") as scratch:
        root = Path(scratch) / "raw"
        start = time.perf_counter()
        make(root, clips)
        print(f"made {clips} folders of {FRAMES} frames in {time.perf_counter() - start:.1f} s", file=sys.stderr)
        listing_seconds = bare(root)
        start = time.perf_counter()
        with Peak() as workers:
            found = index("many", root, Path(scratch) / "data", workers=arguments.workers)
        seconds = time.perf_counter() - start
        if found.usable != clips:
            sys.exit(f"only {found.usable} of {clips} clips were indexed")
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    figures = {
        "clips": clips,
        "workers": arguments.workers,
        "index_seconds": round(seconds, 1),
        "index_rss_mb": round((own + workers.bytes) / 1e6),
        "listing_seconds": round(listing_seconds, 1),
    }
    if not arguments.quick:
        results = PROJECT / "benchmarks" / "results"
        results.mkdir(exist_ok=True)
        (results / "index.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
