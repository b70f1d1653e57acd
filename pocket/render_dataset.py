"""Drawn training clips for the pocket models: face crops as the faces stage makes them, with their ground truth.

People and clips come from seeds that no data set of the project uses. Blocks of clips lie in ``pocket/build/frames``;
a block is written whole, so that drawing goes on where it was stopped.
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
from grace.pipeline.world.emotions import LABELS
from grace.pipeline.world.identity import Identity, sample_identity
from grace.pipeline.world.render import render_instants
from grace.pipeline.world.scenario import Script, sample_script
from grace.pipeline.world.settings import WorldSettings
from grace.pocket.loop import BUILD

FOLDER = BUILD / "frames"
TRAIN, UNSEEN = 1000, 2000
"""Seeds of the training clips and of the clips that measure; the demo's is 1."""
BLOCK = 250
"""Clips a file."""
INSTANTS = 8
SIZE = 128
CLIPS_PER_PERSON = 3
WORLD = WorldSettings(seed=TRAIN, identities=1, clips=1)


@dataclass(frozen=True)
class Drawn:
    """A block of clips. ``truth`` holds intensities in the order of ``ACTIONS``, then blink and speech."""

    frames: np.ndarray  # uint8 [clips, INSTANTS, SIZE, SIZE, 3], RGB; memory-mapped
    truth: np.ndarray  # float32 [clips, INSTANTS, len(ACTIONS) + 2]
    regions: np.ndarray  # float32 [clips, INSTANTS, regions, 4], in pixels of the crop
    first: int  # number of its first clip
    seed: int

    def script(self, index: int) -> Script:
        """The script of a clip of the block."""
        return script_of(self.seed, self.first + index)[0]


def script_of(seed: int, number: int) -> tuple[Script, Identity]:
    """Clip ``number`` of a seed: every emotion equally often, three clips a person."""
    person = number // CLIPS_PER_PERSON
    identity = sample_identity(np.random.default_rng((seed, 1, person)), person)
    rng = np.random.default_rng((seed, 2, number))
    return sample_script(rng, identity, LABELS[int(rng.integers(len(LABELS)))], WORLD), identity


def instants(duration: float) -> np.ndarray:
    """The times in seconds that the caption stage looks at: ``INSTANTS`` of the 16 that the faces stage takes."""
    return (np.array(pick_instants(2 * INSTANTS, INSTANTS)) + 0.5) * duration / (2 * INSTANTS)


def draw_clip(seed: int, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Crops [INSTANTS, SIZE, SIZE, 3] of one clip, its truth, and its region boxes in crop pixels.

    The crop's place and size vary about what the detectors give (1.05 to 1.5 times the face), more than a detector's
    own jitter does.
    """
    script, identity = script_of(seed, number)
    rng = np.random.default_rng((seed, 3, number))
    times = instants(script.duration)
    images, truth = render_instants(script, identity, WORLD, times)
    scale = rng.uniform(1.05, 1.5)
    offset = rng.normal(0.0, 0.03, size=2)
    crops = np.empty((INSTANTS, SIZE, SIZE, 3), dtype=np.uint8)
    boxes = np.empty_like(truth.regions, dtype=np.float32)
    for index, image in enumerate(images):
        x0, y0, x1, y1 = truth.face[index]
        side = max(x1 - x0, y1 - y0) * scale * (1 + rng.normal(0.0, 0.015))
        centre = np.array([x0 + x1, y0 + y1]) / 2 + (offset + rng.normal(0.0, 0.008, size=2)) * side / scale
        place = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]) * SIZE / side
        place[:, 2] = SIZE / 2 - centre * SIZE / side
        crops[index] = _spoiled(np.asarray(image), place, rng)
        corners = truth.regions[index].reshape(-1, 2) * SIZE / side + place[:, 2]
        boxes[index] = corners.reshape(-1, 4)
    known = np.concatenate([truth.intensities, truth.blink[:, None], truth.speech[:, None]], axis=1)
    return crops, known.astype(np.float32), boxes


def _spoiled(image: np.ndarray, place: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The crop after a video codec's and the crop's own JPEG compression, in RGB."""
    _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))])
    image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    crop = cv2.warpAffine(image, place, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    _, coded = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, 95])
    return cv2.cvtColor(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)


def draw_block(seed: int, block: int) -> None:
    """Draw and write one block, unless it is there."""
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
    """Draw the blocks that are not there yet, in local processes."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        jobs = [pool.submit(draw_block, seed, block) for block in blocks]
        for job in tqdm(jobs, desc=f"frames of seed {seed}", unit="block"):
            job.result()


def load(seed: int) -> list[Drawn]:
    """All blocks of a seed that are drawn; frames stay on the disk."""
    return [
        Drawn(np.load(file.with_suffix(".npy"), mmap_mode="r"), *_truth(file), int(file.stem[-4:]) * BLOCK, seed)
        for file in sorted(FOLDER.glob(f"{seed}-[0-9]*.npz"))
        if ".part" not in file.name
    ]


def _truth(file: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(file) as content:
        assert content["truth"].shape[-1] == len(ACTIONS) + 2
        return content["truth"], content["regions"]
