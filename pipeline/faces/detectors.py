"""Face detectors: ``none`` (the data set ships crops), ``haar`` (in OpenCV), ``yunet`` (an ONNX file)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float

from grace.pipeline.errors import UserError
from grace.pipeline.faces.settings import FacesSettings
from grace.pipeline.media.images import BGRImage

WITH_LANDMARKS = ("yunet",)
"""Detectors that locate the eyes, so that crops can be rotated upright."""
HAAR_SIDE, YUNET_SIDE = 320, 480
"""Frames are searched at this longer side, in pixels: faces of interest fill a tenth of the frame or more."""
HAAR_FACE = (0.10, 0.03, 0.90, 1.07)
"""x0, y0, x1, y1 of the face in the cascade's square, as shares of its side: a compromise between real faces (which
reach from -0.03 to 1.12 vertically) and drawn ones."""


@dataclass(frozen=True)
class Detection:
    """One face in a frame.

    Attributes:
        box: x0, y0, x1, y1 in pixels of the frame.
        score: confidence of the detector, in (0, 1].
        landmarks: x and y of the eyes, the nose tip and the mouth corners, those at the image's left first; None if
            the detector does not locate them.
    """

    box: Float[np.ndarray, "4"]
    score: float
    landmarks: Float[np.ndarray, "5 2"] | None = None


Detector = Callable[[BGRImage], list[Detection]]
"""Finds the faces in a frame, in any order."""


def detector_cache_key(settings: FacesSettings) -> dict[str, Any]:
    """What identifies a detector: its kind, and the hash of its model.

    Raises :class:`UserError` when ``yunet`` has no model file.
    """
    if settings.detector != "yunet":
        return {"detector": settings.detector}
    return {"detector": "yunet", "model": hashlib.sha256(_model(settings).read_bytes()).hexdigest()}


def make_detector(settings: FacesSettings) -> Detector:
    """Load the detector that the settings name.

    Args:
        settings: the section ``faces`` of ``params.yaml``, of which ``detector`` and ``detector_model`` count.

    Returns:
        A function from a frame to the faces in it.

    Raises:
        UserError: the detector's model is missing, or is not a model of its kind.

    Example:
        >>> from grace.pipeline.faces.settings import FacesSettings
        >>> detect = make_detector(FacesSettings(detector="haar"))
        >>> detect(np.zeros((90, 160, 3), np.uint8))
        []
    """
    if settings.detector == "haar":
        return Haar()
    if settings.detector == "yunet":
        return YuNet(_model(settings))
    return whole_frame


def whole_frame(frame: BGRImage) -> list[Detection]:
    """The frame itself, for data sets that ship face crops."""
    height, width = frame.shape[:2]
    return [Detection(np.array([0, 0, width, height], dtype=np.float32), 1.0)]


class Haar:
    """The Haar cascade (Viola & Jones 2001) that OpenCV ships: frontal faces, nothing to download.

    In the real test footage ``frontalface_default`` found every face that YuNet found; ``frontalface_alt2`` did not.
    """

    def __init__(self) -> None:
        file = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
        self._cascade = cv2.CascadeClassifier(str(file))
        if self._cascade.empty():
            raise UserError(
                "This OpenCV has no Haar cascades (version 5 dropped them): install opencv-python-headless<5."
            )

    def __call__(self, frame: BGRImage) -> list[Detection]:
        small, scale = _shrink(frame, HAAR_SIDE)
        grey = cv2.equalizeHist(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY))
        smallest = max(24, min(grey.shape) // 8)
        boxes, _, weights = self._cascade.detectMultiScale3(
            grey, scaleFactor=1.1, minNeighbors=4, minSize=(smallest, smallest), outputRejectLevels=True
        )
        faces = []
        for (x, y, side, _), weight in zip(boxes, np.ravel(weights), strict=True):
            box = np.array([x, y, x, y], dtype=np.float32) + side * np.array(HAAR_FACE, dtype=np.float32)
            faces.append(Detection(box / scale, float(np.clip(weight / 8.0, 0.05, 1.0))))
        return faces


class YuNet:
    """YuNet (Wu, Peng & Yu 2023), by OpenCV's ``FaceDetectorYN``; ``threshold`` is the least score of a face."""

    def __init__(self, model: Path, threshold: float = 0.6) -> None:
        try:
            self._net = cv2.FaceDetectorYN.create(str(model), "", (320, 320), threshold, 0.3, 50)
        except cv2.error:
            raise UserError(f"faces.detector_model is {model}, which is not a YuNet ONNX file.") from None

    def __call__(self, frame: BGRImage) -> list[Detection]:
        small, scale = _shrink(frame, YUNET_SIDE)
        self._net.setInputSize((small.shape[1], small.shape[0]))
        _, found = self._net.detect(small)
        faces = []
        for face in found if found is not None else ():
            x, y, width, height = (float(value) for value in face[:4])
            box = np.array([x, y, x + width, y + height], dtype=np.float32)
            landmarks = np.array(face[4:14], dtype=np.float32).reshape(5, 2) / scale
            faces.append(Detection(box / scale, float(face[-1]), landmarks))
        return faces


def _model(settings: FacesSettings) -> Path:
    if settings.detector_model is None:
        raise UserError("faces.detector is yunet: set faces.detector_model to the YuNet ONNX file, or use haar.")
    model = Path(settings.detector_model)
    if not model.is_file():
        raise UserError(f"faces.detector_model is {model}, which is not a file: set it to the YuNet ONNX file.")
    return model


def _shrink(frame: BGRImage, side: int) -> tuple[BGRImage, float]:
    """The frame with a longer side of at most ``side`` pixels, and by which factor it was resized."""
    scale = min(1.0, side / max(frame.shape[:2]))
    if scale == 1.0:
        return frame, 1.0
    size = (max(round(frame.shape[1] * scale), 1), max(round(frame.shape[0] * scale), 1))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA), scale
