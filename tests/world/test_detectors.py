"""Detectors made for photographs find the drawn faces where the truth says they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from grace.pipeline.world.emotions import WORLD_LABELS
from grace.pipeline.world.identity import sample_identity
from grace.pipeline.world.render import render_instants
from grace.pipeline.world.scenario import sample_scenario
from grace.pipeline.world.settings import WorldSettings

Boxes = list[np.ndarray]


@pytest.fixture(scope="module")
def frames() -> list[tuple[np.ndarray, np.ndarray]]:
    """Frames of many clips, distractors and all, with the true face box."""

    def some() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for number in range(70):
            rng = np.random.default_rng((77, number))
            identity = sample_identity(rng, number)
            scenario = sample_scenario(rng, identity, WORLD_LABELS[number % 7], WorldSettings())
            images, truth = render_instants(
                scenario, identity, WorldSettings(), np.array([0.35, 0.8]) * scenario.duration
            )
            yield from zip(images, truth.face, strict=True)

    return list(some())


def overlap(found: np.ndarray, truth: np.ndarray) -> float:
    low, high = np.maximum(found[:2], truth[:2]), np.minimum(found[2:], truth[2:])
    shared = float(np.prod(np.clip(high - low, 0, None)))
    return shared / float(np.prod(found[2:] - found[:2]) + np.prod(truth[2:] - truth[:2]) - shared)


def best(find: Callable[[np.ndarray], Boxes], frames: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    return np.array([max((overlap(box, face) for box in find(image)), default=0.0) for image, face in frames])


def test_haar_finds_nearly_every_face(frames: list[tuple[np.ndarray, np.ndarray]]) -> None:
    cascade = cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"))

    def find(image: np.ndarray) -> Boxes:
        grey = cv2.equalizeHist(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
        found = cascade.detectMultiScale(grey, 1.1, 4, minSize=(50, 50))
        return [np.array([x, y, x + width, y + height]) for x, y, width, height in found]

    overlaps = best(find, frames)
    assert np.mean(overlaps > 0.4) > 0.93
    assert np.median(overlaps) > 0.62


def test_yunet_finds_every_face(frames: list[tuple[np.ndarray, np.ndarray]], shared: Path) -> None:
    detector = cv2.FaceDetectorYN.create(str(shared / "models" / "yunet_n_320_320.onnx"), "", (224, 224), 0.6)

    def find(image: np.ndarray) -> Boxes:
        found = detector.detect(image)[1]
        return [] if found is None else [np.array([*row[:2], *(row[:2] + row[2:4])]) for row in found]

    overlaps = best(find, frames)
    assert np.mean(overlaps > 0.5) > 0.97
    assert np.median(overlaps) > 0.80
