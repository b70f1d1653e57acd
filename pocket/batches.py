"""Batches of rendered frames to train vision: crops positioned as the detectors do, with dense targets."""

from __future__ import annotations

import cv2
import numpy as np

from grace.pipeline.vocabulary import REGIONS
from grace.pipeline.world.actions import ACTIONS
from grace.pocket.render_dataset import SIZE, RenderedBlock

CLIPS_PER_BATCH, FRAMES = 64, 2
"""Clips per batch, and frames per clip."""
MEAN, DEVIATION = 0.45, 0.25
"""Of pixels in [0, 1], the same for all channels."""
CHEEKS, MIDDLE = 90.0, (64.0, 65.5)
"""Width in pixels and centre of the cheeks in the demo's median crop (Haar, its margin), 128 pixels wide."""
ACTION_REGION = [REGIONS.index(action.region) for action in ACTIONS]
_CHEEKS = REGIONS.index("cheeks")


def place_crops(frames: np.ndarray, regions: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Crop a clip's frames [n, SIZE, SIZE, 3] and boxes as a detector would: one scale per clip, and some jitter."""
    boxes = regions[:, _CHEEKS]
    scale = CHEEKS / float(np.median(boxes[:, 2] - boxes[:, 0])) * np.exp(rng.normal(0.0, 0.07))
    centre = np.array(MIDDLE) + rng.normal(0.0, 0.025, size=2) * SIZE
    placed, moved = np.empty_like(frames), np.empty_like(regions)
    for index, box in enumerate(boxes):
        shift = centre - scale * (box[:2] + box[2:]) / 2
        transform = np.array([[scale, 0.0, shift[0]], [0.0, scale, shift[1]]])
        placed[index] = cv2.warpAffine(
            frames[index], transform, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        moved[index] = (regions[index].reshape(-1, 2) * scale + shift).reshape(-1, 4)
    return placed, moved


def normalised(frames: np.ndarray) -> np.ndarray:
    """Pictures [..., SIZE, SIZE, 3] as input of the models, [..., 3, SIZE, SIZE]."""
    images = (frames.astype(np.float32) / np.float32(255) - np.float32(MEAN)) / np.float32(DEVIATION)
    return np.ascontiguousarray(np.moveaxis(images, -1, -3))


def sample_batch(blocks: list[RenderedBlock], step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames [CLIPS_PER_BATCH * FRAMES, 3, SIZE, SIZE], normalised, ground truth, and region boxes in pixels."""
    rng = np.random.default_rng((7, step))
    frames, truth, regions = [], [], []
    for _ in range(CLIPS_PER_BATCH):
        block = blocks[int(rng.integers(len(blocks)))]
        clip = int(rng.integers(len(block.frames)))
        picked = np.sort(rng.choice(block.frames.shape[1], FRAMES, replace=False))
        crops, boxes = place_crops(block.frames[clip, picked], block.regions[clip, picked], rng)
        frames.append(crops)
        truth.append(block.truth[clip, picked])
        regions.append(boxes)
    return normalised(np.concatenate(frames)), np.concatenate(truth), np.concatenate(regions)


def patch_coverage(regions: np.ndarray, side: int = 8) -> np.ndarray:
    """The share of each patch that each region [n, regions, 4], in pixels, covers: [n, side * side, regions]."""
    edges = np.arange(side + 1) * SIZE / side
    low, high = edges[:-1], edges[1:]

    def share(start: np.ndarray, end: np.ndarray) -> np.ndarray:
        overlap = np.minimum(end[..., None], high) - np.maximum(start[..., None], low)
        return np.clip(overlap * side / SIZE, 0.0, 1.0)

    across, down = share(regions[..., 0], regions[..., 2]), share(regions[..., 1], regions[..., 3])
    both = down[..., :, None] * across[..., None, :]
    return both.reshape(*regions.shape[:2], side * side).transpose(0, 2, 1).astype(np.float32)


def dense_target(truth: np.ndarray, regions: np.ndarray, side: int = 8) -> np.ndarray:
    """For each patch, the share that each region covers, then each action's intensity times the share of its region.

    [n, side * side, len(REGIONS) + len(ACTIONS)], in [0, 1].
    """
    covered = patch_coverage(regions, side)
    moving = covered[..., ACTION_REGION] * truth[:, None, : len(ACTIONS)]
    return np.concatenate([covered, moving], axis=2).astype(np.float32)
