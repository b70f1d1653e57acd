"""Rendered training clips for the pocket models: face crops as the faces stage makes them, with their ground truth.

People and clips come from seeds that no data set of the project uses. Blocks of clips are files in
``pocket/build/frames``; a block is complete or absent, so that an interrupted run resumes.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from grace.pipeline.text.caption import pick_instants
from grace.pipeline.world.actions import ACTIONS
from grace.pipeline.world.emotions import WORLD_LABELS
from grace.pipeline.world.identity import Identity, sample_identity
from grace.pipeline.world.render import render_instants
from grace.pipeline.world.scenario import Scenario, sample_scenario
from grace.pipeline.world.settings import WorldSettings
from grace.pocket.loop import BUILD

FOLDER = BUILD / "frames"
TRAIN, UNSEEN = 1000, 2000
"""Seeds of the training clips and of the clips for evaluation; the demo's is 1."""
BLOCK = 250
"""Clips per file."""
INSTANTS = 8
SIZE = 128
CLIPS_PER_PERSON = 3
WORLD = WorldSettings(seed=TRAIN, identities=1, clips=1)


@dataclass(frozen=True)
class RenderedBlock:
    """A block of clips. ``truth`` holds intensities in the order of ``ACTIONS``, then blink and speech."""

    frames: np.ndarray  # uint8 [clips, INSTANTS, SIZE, SIZE, 3], RGB; memory-mapped
    truth: np.ndarray  # float32 [clips, INSTANTS, len(ACTIONS) + 2]
    regions: np.ndarray  # float32 [clips, INSTANTS, regions, 4], in pixels of the crop
    first: int  # number of its first clip
    seed: int

    def scenario(self, index: int) -> Scenario:
        """The scenario of a clip of the block."""
        return training_scenario(self.seed, self.first + index)[0]


def training_scenario(seed: int, number: int) -> tuple[Scenario, Identity]:
    """Scenario and person of clip ``number`` of a seed: emotions are equally frequent, with three clips per person."""
    person = number // CLIPS_PER_PERSON
    identity = sample_identity(np.random.default_rng((seed, 1, person)), person)
    rng = np.random.default_rng((seed, 2, number))
    return sample_scenario(rng, identity, WORLD_LABELS[int(rng.integers(len(WORLD_LABELS)))], WORLD), identity


def instants(duration: float) -> np.ndarray:
    """The times in seconds of the caption stage's pictures: ``INSTANTS`` of the 16 that the faces stage samples."""
    return (np.array(pick_instants(2 * INSTANTS, INSTANTS)) + 0.5) * duration / (2 * INSTANTS)


def draw_clip(seed: int, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Crops [INSTANTS, SIZE, SIZE, 3] of one clip, its truth, and its region boxes in crop pixels.

    The crop's position and size vary around those of the detectors (1.05 to 1.5 times the face), by more than a
    detector's own jitter.
    """
    scenario, identity = training_scenario(seed, number)
    rng = np.random.default_rng((seed, 3, number))
    times = instants(scenario.duration)
    images, truth = render_instants(scenario, identity, WORLD, times)
    scale = rng.uniform(1.05, 1.5)
    offset = rng.normal(0.0, 0.03, size=2)
    crops = np.empty((INSTANTS, SIZE, SIZE, 3), dtype=np.uint8)
    boxes = np.empty_like(truth.regions, dtype=np.float32)
    for index, image in enumerate(images):
        x0, y0, x1, y1 = truth.face[index]
        side = max(x1 - x0, y1 - y0) * scale * (1 + rng.normal(0.0, 0.015))
        centre = np.array([x0 + x1, y0 + y1]) / 2 + (offset + rng.normal(0.0, 0.008, size=2)) * side / scale
        transform = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]) * SIZE / side
        transform[:, 2] = SIZE / 2 - centre * SIZE / side
        crops[index] = _compressed(np.asarray(image), transform, rng)
        corners = truth.regions[index].reshape(-1, 2) * SIZE / side + transform[:, 2]
        boxes[index] = corners.reshape(-1, 4)
    known = np.concatenate([truth.intensities, truth.blink[:, None], truth.speech[:, None]], axis=1)
    return crops, known.astype(np.float32), boxes


def _compressed(image: np.ndarray, transform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The crop in RGB, with artefacts like those of the video's and of the crop's compression."""
    _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))])
    image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    crop = cv2.warpAffine(image, transform, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    _, coded = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, 95])
    return cv2.cvtColor(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)


def draw_block(seed: int, block: int) -> None:
    """Render and write one block, unless it exists."""
    file = FOLDER / f"{seed}-{block:04d}.npz"
    if file.exists():
        return
    cv2.setNumThreads(1)
    drawn = [draw_clip(seed, number) for number in range(block * BLOCK, (block + 1) * BLOCK)]
    frames, truth, regions = (np.stack(parts) for parts in zip(*drawn, strict=True))
    np.save(file.with_suffix(".npy"), frames)
    partial = file.with_suffix(".part.npz")
    np.savez(partial, truth=truth, regions=regions)
    partial.replace(file)


def draw(seed: int, blocks: range, workers: int = 2) -> None:
    """Render the blocks that do not exist yet, in local processes."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        jobs = [pool.submit(draw_block, seed, block) for block in blocks]
        for job in tqdm(jobs, desc=f"frames of seed {seed}", unit="block"):
            job.result()


def load(seed: int) -> list[RenderedBlock]:
    """All rendered blocks of a seed; frames are memory-mapped."""
    return [
        RenderedBlock(
            np.load(file.with_suffix(".npy"), mmap_mode="r"), *_truth(file), int(file.stem[-4:]) * BLOCK, seed
        )
        for file in sorted(FOLDER.glob(f"{seed}-[0-9]*.npz"))
        if ".part" not in file.name
    ]


def _truth(file: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(file) as content:
        assert content["truth"].shape[-1] == len(ACTIONS) + 2
        return content["truth"], content["regions"]
