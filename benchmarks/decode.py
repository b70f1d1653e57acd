"""Decoding by PyAV is no slower than the OpenCV loop that it replaced, though it knows more.

Both sides do what the pipeline needs of a video: count its frames (``probe``, at index), and give the frames at T
instants with the neighbour of each (``sample_frames``, at faces). The rival is a bare loop over ``cv2.VideoCapture``,
one thread, that grabs every frame and retrieves those at the same instants and the ones that follow them. It knows no
edit list, pixel shape nor main track, and takes a repeated frame for a neighbour; ours looks at the frames around an
instant until it has one that differs.

    python -m benchmarks.decode [--quick] [--clips 24] [--rounds 5]

The videos are rendered here; ../shared/faces has real ones, where it is. Processor time, the sides in turns.

Ends with one line of JSON: decode_ratio, frames at T instants, and count_ratio, counting: OpenCV's time ÷ ours (goal
>= 1 each), and the same of the real videos.

--quick takes 6 clips and 2 rounds, some 20 s of processor time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import cv2

from benchmarks.harness import SHARED, Benchmark, median_ratio, scratch_folder, seconds_in_turns
from grace.pipeline.faces.settings import FacesSettings
from grace.pipeline.media.video import probe, sample_frames, segment_centres
from grace.pipeline.world.settings import WorldSettings
from grace.pipeline.world.world import make_world

BENCHMARK = Benchmark("decode", __doc__, keys=("decode_ratio", "count_ratio"), quick="6 clips, 2 rounds")
INSTANTS = FacesSettings().instants


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument("--clips", type=int, default=24)
    options.add_argument("--rounds", type=int, default=5)
    return options


def main() -> None:
    """Render, decode both ways, print the table and the line of JSON."""
    args = parser().parse_args()
    clips, rounds = (6, 2) if args.quick else (args.clips, args.rounds)
    with scratch_folder() as scratch:
        make_world(WorldSettings(clips=clips, identities=6), scratch, workers=2)
        figures = ratios(sorted((scratch / "clips").glob("*.mp4")), rounds)
    if real := sorted((SHARED / "faces").glob("*.m*")):
        figures |= {f"{name}_real": value for name, value in ratios(real, rounds).items()}
    BENCHMARK.report(figures, keep=not args.quick)


def ratios(videos: Sequence[Path], rounds: int) -> dict[str, float]:
    """OpenCV's processor time over ours, of counting and of sampling all videos."""
    counts = {video: probe(video, "video").n_frames for video in videos}
    sides = {
        "count": lambda: [probe(video, "video") for video in videos],
        "count by OpenCV": lambda: [count(video) for video in videos],
        "decode": lambda: [sample_frames(video, "video", INSTANTS, n_frames) for video, n_frames in counts.items()],
        "decode by OpenCV": lambda: [sample(video, n_frames) for video, n_frames in counts.items()],
    }
    taken = seconds_in_turns(sides, rounds, clock=time.process_time)
    return {
        f"{name}_ratio": round(median_ratio(taken[f"{name} by OpenCV"], taken[name]), 3) for name in ("decode", "count")
    }


def count(video: Path) -> int:
    """Frames of a video, by grabbing all of them; the first one's size is looked at."""
    capture = _open(video)
    frames = 0
    while capture.grab():
        capture.get(cv2.CAP_PROP_POS_MSEC)
        if not frames:
            capture.retrieve()
        frames += 1
    capture.release()
    return frames


def sample(video: Path, n_frames: int) -> list[cv2.typing.MatLike]:
    """The frames at T instants, and each one's next."""
    instants = segment_centres(n_frames, INSTANTS)
    wanted = {int(number) for at in instants for number in (at, min(at + 1, n_frames - 1))}
    capture, frames = _open(video), []
    for number in range(max(wanted) + 1):
        capture.grab()
        capture.get(cv2.CAP_PROP_POS_MSEC)
        if number in wanted:
            frames.append(capture.retrieve()[1])
    capture.release()
    return frames


def _open(video: Path) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    return capture


if __name__ == "__main__":
    main()
