"""Other ways to find the head's motion between two crops, to be compared with the one that was chosen.

Each becomes a method by :func:`registered_difference`: same lighting normalisation, same pooling, another registration,
one frame after the other only. ``at once`` is that with the chosen registration.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float

from grace.pipeline.faces.detectors import YuNet
from grace.pipeline.motion.maps import MOTION_METHODS, SIDE, Method, registered_difference
from grace.pipeline.motion.registration import GreyImages, HeadMotions, Window, head_motion, phase_shift

GreyPairs = list[tuple[np.ndarray, np.ndarray]]


def methods(model: Path | None) -> dict[str, Callable[[GreyPairs], Method]]:
    """Every candidate by name, each made for the pairs of one clip; landmarks need YuNet's file, ``model``."""

    def for_any_clip(method: Method) -> Callable[[GreyPairs], Method]:
        return lambda _: method

    made = {name: for_any_clip(method) for name, method in MOTION_METHODS.items()}
    candidates = {"at once": head_motion, "phase": phase_shift, "ecc": ecc, "sparse": sparse_flow}
    for name, register in candidates.items():
        made[name] = for_any_clip(partial(registered_difference, register=register))
    if model is not None:
        detect = YuNet(model)
        made["landmarks"] = lambda pairs: partial(registered_difference, register=_by_landmarks(detect, pairs))
    return made


def ecc(frames: GreyImages, neighbours: GreyImages, window: Window) -> HeadMotions:
    """Enhanced correlation (Evangelidis & Psarakis 2008), as OpenCV has it: shift and rotation, 30 iterations."""
    motions = np.zeros((len(frames), 6))
    mask = (window > 0.5).astype(np.uint8)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-4)
    for at, (a, b) in enumerate(zip(frames, neighbours, strict=True)):
        matrix = np.eye(2, 3, dtype=np.float32)
        try:
            _, matrix = cv2.findTransformECC(a, b, matrix, cv2.MOTION_EUCLIDEAN, criteria, mask, 5)
        except cv2.error:  # it did not converge: no motion for this pair
            continue
        motions[at] = from_matrix(matrix, a.shape[0])
    return motions


def sparse_flow(frames: GreyImages, neighbours: GreyImages, window: Window) -> HeadMotions:
    """Corners followed by pyramidal Lucas–Kanade, and the similarity that most follow by RANSAC."""
    motions = np.zeros((len(frames), 6))
    mask = (window > 0.5).astype(np.uint8)
    for at, pair in enumerate(zip(frames, neighbours, strict=True)):
        a, b = (np.clip(picture * 50 + 128, 0, 255).astype(np.uint8) for picture in pair)
        corners = cv2.goodFeaturesToTrack(a, 60, 0.01, 3, mask=mask)
        if corners is None:
            continue
        there, good, _ = cv2.calcOpticalFlowPyrLK(a, b, corners, None, winSize=(11, 11), maxLevel=2)
        kept = good.ravel() == 1
        motions[at] = _fitted(corners[kept, 0], there[kept, 0], a.shape[0], cv2.RANSAC)
    return motions


def from_matrix(matrix: Float[np.ndarray, "2 3"], side: int) -> Float[np.ndarray, "6"]:
    """The head motion (see ``HeadMotions``) of a 2×3 matrix on pictures ``side`` pixels wide."""
    middle = (side - 1) / 2
    shift = matrix[:, :2] @ (middle, middle) + matrix[:, 2] - middle
    scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    return np.array([*(shift / side), np.arctan2(matrix[1, 0], matrix[0, 0]), np.log(max(scale, 1e-6)), 0.0, 0.0])


def _by_landmarks(detect: YuNet, pairs: GreyPairs) -> Callable[[GreyImages, GreyImages, Window], HeadMotions]:
    """Eyes, nose tip and mouth corners of both crops, by least squares."""

    def points(crop: np.ndarray) -> np.ndarray | None:
        faces = detect(cv2.cvtColor(crop.astype(np.uint8), cv2.COLOR_GRAY2BGR))
        best = max(faces, key=lambda face: face.score, default=None)
        return None if best is None else best.landmarks

    def register(frames: GreyImages, neighbours: GreyImages, window: Window) -> HeadMotions:
        motions = np.zeros((len(frames), 6))
        for at, (frame, neighbour) in enumerate(pairs):
            a, b = points(frame), points(neighbour)
            if a is not None and b is not None:
                scale = SIDE / frame.shape[0]
                motions[at] = _fitted(a * scale, b * scale, SIDE, cv2.LMEDS)
        return motions

    return register


def _fitted(a: np.ndarray, b: np.ndarray, side: int, how: int) -> Float[np.ndarray, "6"]:
    if len(a) < 3:
        return np.zeros(6)
    matrix, _ = cv2.estimateAffinePartial2D(a, b, method=how, ransacReprojThreshold=0.5)
    return np.zeros(6) if matrix is None else from_matrix(matrix, side)
