"""Faces are found where they are, crops of still heads stand still, and the stage adds little to its decoder.

On the rendered world, where the truth is known, for each detector: intersection over union of box and true face
(median), the jitter of a still head's crop (median change from instant to instant of a clip whose head only sways,
less the head's own, in shares of the box), and whether the instants are exactly those requested. Then clips per second
of the stage against a bare loop that decodes and detects the same frames in as many processes. Then the real videos
of ../shared/faces, where that folder is: how many instants with a face have one, by YuNet on every instant.

    python -m benchmarks.faces [--quick] [--yunet model.onnx] [--workers 2]

Ends with one line of JSON: faces_ratio (goal >= 0.90), and <detector>_iou, <detector>_jitter, <detector>_instants,
<detector>_real_found and <detector>_real_absent.

--quick takes 45 s of processor time; the full run has 10 times the clips.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from benchmarks.harness import SHARED, Benchmark, progress, scratch_folder, seconds
from grace.pipeline.execution.runner import run
from grace.pipeline.faces.detectors import make_detector
from grace.pipeline.faces.settings import FacesSettings
from grace.pipeline.faces.step import FacesStep
from grace.pipeline.faces.tracking import track_face
from grace.pipeline.media.video import probe, sample_frames, segment_centres
from grace.pipeline.store import Row, Store, write_clips
from grace.pipeline.store.schemas import FACES
from grace.pipeline.world.emotions import WORLD_LABELS
from grace.pipeline.world.footage import write_video
from grace.pipeline.world.identity import Identity, sample_identity
from grace.pipeline.world.render import FrameTruth, frame_times, measure, render
from grace.pipeline.world.scenario import Scenario, sample_scenario
from grace.pipeline.world.settings import WorldSettings

WORLD = WorldSettings()
DETECTED = 0.5
"""Overlap with YuNet's box, found on every instant, from which a real face counts as found."""

BENCHMARK = Benchmark(
    "faces", __doc__, keys=("faces_ratio", "haar_iou", "haar_jitter", "haar_instants"), quick="16 clips"
)


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument("--clips", type=int, default=160)
    options.add_argument("--yunet", type=Path, help="YuNet's ONNX file; ../shared has one")
    options.add_argument("--workers", type=int, default=2)
    return options


def main() -> None:
    """Render, run, compare, print the table and the line of JSON."""
    args = parser().parse_args()
    model = args.yunet or SHARED / "models/yunet_n_320_320.onnx"
    settings = {"haar": FacesSettings(margin=0.0)}
    if model.is_file():
        settings["yunet"] = FacesSettings(detector="yunet", detector_model=str(model))
    figures: dict[str, float] = {}
    with scratch_folder() as scratch:
        raw = scratch / "raw"
        raw.mkdir()
        clips = [_clip(raw, number) for number in range(16 if args.quick else args.clips)]
        rows = [_row(raw, scenario.clip_id) for scenario, _ in clips]
        figures["faces_ratio"] = faces_ratio(scratch, rows, settings["haar"], args.workers)
        for name, faces in settings.items():
            folder = scratch / name
            write_clips(folder, rows, [])
            run(FacesStep(faces, raw), folder, size=8, workers=args.workers)
            figures |= {f"{name}_{key}": value for key, value in quality(raw, folder, clips, faces).items()}
    videos = sorted((SHARED / "faces").glob("*.m*"))
    if videos and "yunet" in settings:
        for name, faces in settings.items():
            figures |= {f"{name}_{key}": value for key, value in real(videos, faces, settings["yunet"]).items()}
    BENCHMARK.report({key: round(value, 4) for key, value in figures.items()}, keep=not args.quick)


def faces_ratio(scratch: Path, rows: list[Row], faces: FacesSettings, workers: int) -> float:
    """Clips per second of the stage over those of the bare loop; the better of two of each, taken in turns."""
    step, bare, stage = FacesStep(faces, scratch / "raw"), [], []

    def bare_loop() -> None:
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            list(pool.map(partial(_bare, scratch / "raw", faces), [rows[k::workers] for k in range(workers)]))

    for turn in range(2):
        bare.append(seconds(bare_loop))
        folder = scratch / f"ratio-{turn}"
        write_clips(folder, rows, [])
        stage.append(seconds(partial(run, step, folder, size=8, workers=workers)))
    progress(f"bare {min(bare):.2f} s, stage {min(stage):.2f} s, {len(rows)} clips")
    return min(bare) / min(stage)


def quality(raw: Path, folder: Path, clips: list[tuple[Scenario, Identity]], faces: FacesSettings) -> dict[str, float]:
    """Overlap with the true boxes, jitter of still heads, and the share of instants that are the right ones."""
    overlaps, jitters, right = [], [], []
    detect = make_detector(faces)
    for row, (scenario, identity) in zip(Store(folder / "faces", FACES).rows(), clips, strict=True):
        times = frame_times(scenario, WORLD)
        expected = times[segment_centres(len(times), faces.instants)]
        right += (np.abs(row["times"] - expected) < 0.5 / WORLD.fps).tolist()
        truth = measure(scenario, identity, WORLD, expected)
        taken = sample_frames(raw / f"{scenario.clip_id}.mp4", "video", faces.instants, len(times))
        # The store keeps square crops; the face's own box is what the track has.
        overlaps += overlap(track_face(taken.frames, detect, faces.detect_every).boxes, truth.face).tolist()
        if not scenario.distractors:
            jitters += jitter(row["boxes"], truth).tolist()
    return {
        "iou": float(np.median(overlaps)),
        "jitter": float(np.median(jitters)),
        "jitter_95": float(np.quantile(jitters, 0.95)),
        "instants": float(np.mean(right)),
    }


def jitter(boxes: np.ndarray, truth: FrameTruth) -> np.ndarray:
    """How far the crop goes from instant to instant without the head, in shares of its side."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    side = boxes[:, 2] - boxes[:, 0]
    moved = np.diff(centre, axis=0) - np.diff(truth.rigid[:, :2], axis=0)
    return np.hypot(moved[:, 0], moved[:, 1]) / side[1:]


def overlap(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes [n, 4]."""
    low, high = np.maximum(found[:, :2], truth[:, :2]), np.minimum(found[:, 2:], truth[:, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=1)
    return both / (np.prod(found[:, 2:] - found[:, :2], axis=1) + np.prod(truth[:, 2:] - truth[:, :2], axis=1) - both)


def real(videos: list[Path], faces: FacesSettings, reference_settings: FacesSettings) -> dict[str, float]:
    """Of the instants of real videos with a face, those in which it is found; of those without, those so reported."""
    reference, detect = make_detector(reference_settings), make_detector(faces)
    found, absent = [], []
    for video in videos:
        taken = sample_frames(video, "video", 48, probe(video, "video").n_frames)
        track = track_face(taken.frames, detect, faces.detect_every)
        for at, frame in enumerate(taken.frames):
            there = reference(frame)
            if there:
                shared = overlap(np.repeat(track.boxes[at : at + 1], len(there), 0), np.array([f.box for f in there]))
                found.append(bool(track.found[at]) and float(shared.max()) > DETECTED)
            else:
                absent.append(not track.found[at])
    return {"real_found": float(np.mean(found)), "real_absent": float(np.mean(absent)) if absent else float("nan")}


def _bare(root: Path, faces: FacesSettings, rows: list[Row]) -> int:
    cv2.setNumThreads(1)
    detect, found = make_detector(faces), 0
    for row in rows:
        taken = sample_frames(root / row["path"], "video", faces.instants, row["n_frames"])
        searched = {*range(0, faces.instants, faces.detect_every), faces.instants - 1}
        found += sum(bool(detect(taken.frames[at])) for at in sorted(searched))
    return found


def _clip(raw: Path, number: int) -> tuple[Scenario, Identity]:
    """A clip as a video; every second one has no distractors, so that its head is as still as a head is."""
    rng = np.random.default_rng((31, number))
    identity = sample_identity(rng, number)
    scenario = sample_scenario(rng, identity, WORLD_LABELS[number % len(WORLD_LABELS)], WORLD, f"{number:05d}")
    if number % 2:
        scenario = replace(scenario, distractors=(), scenes=scenario.scenes[:1])
    frames = (frame.image for frame in render(scenario, identity, WORLD))
    write_video(raw / f"{scenario.clip_id}.mp4", frames, WORLD.fps, raw)
    return scenario, identity


def _row(raw: Path, clip_id: str) -> Row:
    path = f"{clip_id}.mp4"
    n_frames = probe(raw / path, "video").n_frames
    return {"clip_id": clip_id, "status": "ok", "error": "", "path": path, "source": "video", "n_frames": n_frames}


if __name__ == "__main__":
    main()
