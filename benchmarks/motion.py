"""Motion finds expression: ROC-AUC of patch motion against what expression truly moved, on the rendered world.

The truth is counterfactual: each neighbour is rendered once more with the expression of its frame held and all else
(head, camera, light, blinks, speech, noise) as it was; where the two renderings differ, expression moved the patch.
Patches that changed a little are neither. Instants in which a blink or speech moves the face are true face motion
without emotion: they are left out of the headline and have rows of their own.

Plain difference is plain frame differencing: the same grid and scaling, no registration, no lighting normalisation,
no window on the face. The time of each method is compared with that of decoding: what it takes to read the same clips'
frames from their videos (rendered here, 224 pixels wide; and ../shared/faces where there is such a folder).

    python -m benchmarks.motion [--quick] [--clips 150] [--yunet model.onnx] [--sheet sheet.png]

Ends with one line of JSON: motion_auc of the default method (goal >= 0.96), motion_gain over plain difference (goal
>= 0.15 over three seeds; --seed), worst (the least AUC of any distractor, speech and blinks apart), decode_ratio and
decode_ratio_real.

--quick takes 34 s of processor time; the full run has 6 times the clips.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float
from sklearn.metrics import roc_auc_score

from benchmarks.harness import SHARED, Benchmark, scratch_folder, table
from benchmarks.motion_registration_baselines import GreyPairs, methods
from grace.pipeline.faces.cropping import crop, square
from grace.pipeline.faces.settings import FacesSettings
from grace.pipeline.media.images import decode_crop, write_image
from grace.pipeline.media.video import probe, sample_frames, segment_centres
from grace.pipeline.motion.maps import MIN_RANGE, MOTION_METHODS, Method, patch_motion, scaled
from grace.pipeline.motion.settings import MotionSettings
from grace.pipeline.visualize.contact_sheets import overlay
from grace.pipeline.world.actions import ACTIONS
from grace.pipeline.world.emotions import WORLD_LABELS
from grace.pipeline.world.footage import write_video
from grace.pipeline.world.identity import Identity, sample_identity
from grace.pipeline.world.render import FrameTruth, frame_times, render, render_instants
from grace.pipeline.world.scenario import CHANCES, Scenario, sample_scenario
from grace.pipeline.world.settings import WorldSettings
from grace.pipeline.world.timeline import Event, Timeline

MOVED, STILL = 2.0, 0.4
"""Root mean square change of a patch, in grey levels, above which expression moved it and below which it did not."""
FACE_MOTION = 0.02
"""Change of a blink or of speech, from 0 to 1, above which an instant shows face motion without emotion."""
GRID = MotionSettings().grid

BENCHMARK = Benchmark("motion", __doc__, keys=("motion_auc", "motion_gain", "worst", "decode_ratio"), quick="24 clips")


@dataclass(frozen=True)
class Clip:
    """One rendered clip as the motion stage would see it, and its truth. ``changed`` is in grey levels."""

    scenario: Scenario
    identity: Identity
    pairs: list[tuple[np.ndarray, np.ndarray]]
    changed: Float[np.ndarray, "T G G"]
    cut: Bool[np.ndarray, " T"]
    blink: Bool[np.ndarray, " T"]
    speech: Bool[np.ndarray, " T"]


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument("--clips", type=int, default=150)
    options.add_argument("--seed", type=int, default=7)
    options.add_argument("--yunet", type=Path, help="YuNet's ONNX file, to try registration by landmarks too")
    options.add_argument("--sheet", type=Path, help="write a picture of one clip's truth and maps here")
    return options


def main() -> None:
    """Render, compare the methods, print the table and the line of JSON."""
    args = parser().parse_args()
    cv2.setNumThreads(1)
    count = 24 if args.quick else args.clips
    clips = list(rendered(count, args.seed))
    if args.sheet:
        write_image(args.sheet, sheet(clips[0]))
    scores = {name: judge(clips, name, make) for name, make in methods(args.yunet).items()}
    method = MotionSettings().method
    best = scores[method]
    apart = {"all", "none", "speech", "blink"}
    figures = {
        "motion_auc": best["all"],
        "motion_gain": best["all"] - scores["plain_difference"]["all"],
        "worst": min(best[kind] for kind in CHANCES if kind not in apart and not np.isnan(best[kind])),
        "decode_ratio": decode_ratio(_videos(clips[:6])),
    }
    real = sorted((SHARED / "faces").glob("*.m*"))
    if real:
        figures["decode_ratio_real"] = decode_ratio(real)
    line = {key: round(value, 4) for key, value in figures.items()} | {"clips": count}
    rows = [(group, *(f"{score[group]:.3f}" for score in scores.values())) for group in next(iter(scores.values()))]
    title = "ROC-AUC of patch motion against patches that expression moved"
    tables = [table(title, ("clips with", *scores), rows)]
    BENCHMARK.report(line, keep=not args.quick, tables=tables, details={"table": scores})


def decode_ratio(videos: Iterable[Path]) -> float:
    """Processor time of the motion stage on clips, over that of decoding their frames; T as the settings have it."""
    faces, method = FacesSettings(), MotionSettings().method
    decoding = moving = 0.0
    for video in videos:
        n_frames = probe(video, "video").n_frames
        start = time.process_time()
        taken = sample_frames(video, "video", faces.instants, n_frames)
        decoding += time.process_time() - start
        height, width = taken.frames[0].shape[:2]
        box = square(np.array([[0.0, 0.0, width, height]]), 0.0)[0]
        stored = [[_jpeg(frame, box, faces) for frame in side] for side in (taken.frames, taken.neighbours)]
        start = time.process_time()
        pairs = [(decode_crop(a, "grey"), decode_crop(b, "grey")) for a, b in zip(*stored, strict=True)]
        scaled(patch_motion(pairs, GRID, method)[0], MIN_RANGE[method])
        moving += time.process_time() - start
    return moving / decoding


def rendered(count: int, seed: int) -> Iterator[Clip]:
    """Clips of the rendered world, every label in turn, each of another person."""
    settings, faces = WorldSettings(), FacesSettings()
    rng = np.random.default_rng(seed)
    for number in range(count):
        identity = sample_identity(rng, number)
        scenario = sample_scenario(rng, identity, WORLD_LABELS[number % len(WORLD_LABELS)], settings)
        yield _clip(scenario, identity, settings, faces)


def judge(clips: list[Clip], name: str, make: Callable[[GreyPairs], Method]) -> dict[str, float]:
    """AUC over all patches, over the clips with each distractor, and the share of cuts found; milliseconds per clip."""
    rows: list[tuple[set[str], np.ndarray, np.ndarray]] = []
    cuts: list[tuple[bool, bool]] = []
    start = time.process_time()  # of this process: other work on the machine does not count
    maps = [patch_motion(clip.pairs, GRID, make(clip.pairs)) for clip in clips]
    seconds = (time.process_time() - start) / len(clips)
    least = MIN_RANGE.get(name, MIN_RANGE["temporal_registered_difference"])
    for clip, (values, _, cut) in zip(clips, maps, strict=True):
        motion = scaled(values, least)
        kinds = {item.kind for item in clip.scenario.distractors} - {"blink", "speech"}
        cuts += zip(clip.cut.tolist(), cut.tolist(), strict=True)
        for at in np.flatnonzero(~clip.cut):
            known = (clip.changed[at] > MOVED) | (clip.changed[at] < STILL)
            apart = {name for name in ("blink", "speech") if getattr(clip, name)[at]}
            groups = apart or {"all", *(kinds or {"none"})}
            rows.append((groups, clip.changed[at][known] > MOVED, motion[at][known]))
    scores = {group: _auc(rows, group) for group in ("all", "none", *CHANCES, "blink")}
    scores["cuts found"] = (
        float(np.mean([found for true, found in cuts if true])) if any(t for t, _ in cuts) else np.nan
    )
    scores["false cuts"] = float(np.mean([found for true, found in cuts if not true]))
    scores["ms a clip"] = 1000 * seconds
    return scores


def sheet(clip: Clip) -> np.ndarray:
    """Eight instants of a clip: the crop under its truth, then under the map of each method."""
    maps = {name: scaled(patch_motion(clip.pairs, GRID, name)[0], MIN_RANGE[name]) for name in MOTION_METHODS}
    lines = []
    for values in ((clip.changed > MOVED).astype(np.float64), *maps.values()):
        tiles = [
            overlay(cv2.cvtColor(clip.pairs[at][0].astype(np.uint8), cv2.COLOR_GRAY2BGR), values[at])
            for at in range(1, len(clip.pairs), 2)
        ]
        lines.append(np.concatenate(tiles, axis=1))
    return np.concatenate(lines)


def _clip(scenario: Scenario, identity: Identity, settings: WorldSettings, faces: FacesSettings) -> Clip:
    times = frame_times(scenario, settings)
    at = segment_centres(len(times), faces.instants)
    beside = np.where(at + 1 < len(times), at + 1, at - 1)
    frames, truth = render_instants(scenario, identity, settings, times[at])
    after, truth_after = render_instants(scenario, identity, settings, times[beside])
    boxes = square(truth.face.astype(np.float64), faces.margin)
    pairs, changed = [], []
    for k, box in enumerate(boxes):
        frozen = replace(scenario, timeline=_held(truth.intensities[k], scenario.timeline.duration))
        held, _ = render_instants(frozen, identity, settings, times[beside[k : k + 1]])
        pairs.append((_seen(frames[k], box, faces), _seen(after[k], box, faces)))
        difference = _grey(crop(after[k], box, faces.size)) - _grey(crop(held[0], box, faces.size))
        changed.append(np.sqrt(cv2.resize(difference**2, (GRID, GRID), interpolation=cv2.INTER_AREA)))
    return Clip(
        scenario, identity, pairs, np.array(changed), _cut(scenario, truth, truth_after), *_apart(truth, truth_after)
    )


def _held(intensities: np.ndarray, duration: float) -> Timeline:
    """A timeline that keeps these intensities for ever."""
    moved = [(action, float(value)) for action, value in zip(ACTIONS, intensities, strict=True) if value > 0]
    return Timeline(tuple(Event(action.name, value, -9.0, -8.0, 1e3, 1e4) for action, value in moved), duration)


def _cut(scenario: Scenario, truth: FrameTruth, after: FrameTruth) -> Bool[np.ndarray, " T"]:
    """Whether a scene begins between each instant and its neighbour, whichever comes first."""
    low, high = np.minimum(truth.times, after.times), np.maximum(truth.times, after.times)
    cut = np.zeros(len(low), dtype=bool)
    for scene in scenario.scenes[1:]:
        cut |= (low + 1e-9 < scene.start) & (scene.start <= high + 1e-9)
    return cut


def _apart(truth: FrameTruth, after: FrameTruth) -> tuple[Bool[np.ndarray, " T"], Bool[np.ndarray, " T"]]:
    blink, speech = (np.abs(getattr(after, name) - getattr(truth, name)) > FACE_MOTION for name in ("blink", "speech"))
    return blink, speech


def _seen(frame: np.ndarray, box: np.ndarray, faces: FacesSettings) -> np.ndarray:
    """The crop as the faces stage stores it and the motion stage reads it."""
    return decode_crop(_jpeg(frame, box, faces), "grey").astype(np.float32)


def _jpeg(frame: np.ndarray, box: np.ndarray, faces: FacesSettings) -> bytes:
    quality = [cv2.IMWRITE_JPEG_QUALITY, faces.quality]
    return cv2.imencode(".jpg", crop(frame, box, faces.size), quality)[1].tobytes()


def _videos(clips: list[Clip]) -> Iterator[Path]:
    """The clips as the video files of a rendered world, removed at the end."""
    settings = WorldSettings()
    with scratch_folder() as scratch:
        for number, clip in enumerate(clips):
            path = scratch / f"{number}.mp4"
            frames = (frame.image for frame in render(clip.scenario, clip.identity, settings))
            write_video(path, frames, settings.fps, scratch)
            yield path


def _grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)


def _auc(rows: list[tuple[set[str], np.ndarray, np.ndarray]], group: str) -> float:
    selected = [(moved, motion) for groups, moved, motion in rows if group in groups]
    if not selected:
        return float("nan")
    moved = np.concatenate([item[0] for item in selected])
    motion = np.concatenate([item[1] for item in selected])
    return float(roc_auc_score(moved, motion)) if 0 < moved.sum() < len(moved) else float("nan")


if __name__ == "__main__":
    main()
