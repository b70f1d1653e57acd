"""From a script to frames and their ground truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from grace.pipeline.world.background import paint_background, paint_hand, paint_lock, paint_subtitle
from grace.pipeline.world.draw import Boxes, draw_face, measure_face
from grace.pipeline.world.identity import Identity
from grace.pipeline.world.motion_curves import Instant, stage
from grace.pipeline.world.scenario import Script
from grace.pipeline.world.settings import WorldSettings

_NOISE = 1.6  # times the picture's side: the tile that per-frame noise is cut from


@dataclass(frozen=True)
class Frame:
    """One rendered frame and all that is true of it. Boxes are x0, y0, x1, y1 in pixels."""

    image: UInt8[np.ndarray, "height width 3"]  # BGR
    time: float  # seconds
    intensities: Float[np.ndarray, " actions"]  # in the order of ``actions.ACTIONS``
    regions: Float[np.ndarray, "regions 4"]  # in the order of ``actions.REGIONS``
    face: Float[np.ndarray, "4"]  # cheek to cheek, hairline to chin
    rigid: Float[np.ndarray, "4"]  # of the head since the clip's first frame: dx, dy (pixels), rotation (rad), scale
    cut: bool  # first frame of another camera position
    blink: float
    speech: float


@dataclass(frozen=True)
class Truth:
    """Ground truth of several frames, stacked."""

    times: Float[np.ndarray, " frames"]
    intensities: Float[np.ndarray, "frames actions"]
    regions: Float[np.ndarray, "frames regions 4"]
    face: Float[np.ndarray, "frames 4"]
    rigid: Float[np.ndarray, "frames 4"]
    cut: Bool[np.ndarray, " frames"]
    blink: Float[np.ndarray, " frames"]
    speech: Float[np.ndarray, " frames"]


def frame_times(script: Script, settings: WorldSettings) -> Float[np.ndarray, " frames"]:
    """The time of every frame of the clip, in seconds."""
    return np.arange(max(1, round(script.duration * settings.fps))) / settings.fps


def render(script: Script, identity: Identity, settings: WorldSettings) -> Iterator[Frame]:
    """Every frame of the clip, in order."""
    yield from render_at(script, identity, settings, frame_times(script, settings))


def render_instants(
    script: Script, identity: Identity, settings: WorldSettings, times: Float[np.ndarray, " frames"]
) -> tuple[UInt8[np.ndarray, "frames height width 3"], Truth]:
    """Only the frames at ``times`` (seconds): the same pixels that the whole clip has there, before video coding."""
    frames = list(render_at(script, identity, settings, np.asarray(times, np.float64)))
    return np.stack([frame.image for frame in frames]), truth_of(frames)


def truth_of(frames: list[Frame]) -> Truth:
    """Stack the ground truth of frames."""
    return Truth(
        times=np.array([frame.time for frame in frames]),
        intensities=np.stack([frame.intensities for frame in frames]),
        regions=np.stack([frame.regions for frame in frames]),
        face=np.stack([frame.face for frame in frames]),
        rigid=np.stack([frame.rigid for frame in frames]),
        cut=np.array([frame.cut for frame in frames]),
        blink=np.array([frame.blink for frame in frames]),
        speech=np.array([frame.speech for frame in frames]),
    )


def measure(script: Script, identity: Identity, settings: WorldSettings, times: Float[np.ndarray, " frames"]) -> Truth:
    """The truth that :func:`render_instants` gives, without drawing."""
    first, *instants = stage(script, np.concatenate([[0.0], times]), settings.size, settings.fps)
    unpainted = np.empty((0, 0, 3), np.uint8)
    return truth_of([_frame(unpainted, measure_face(identity, at.look), at, first) for at in instants])


def render_at(
    script: Script, identity: Identity, settings: WorldSettings, times: Float[np.ndarray, " frames"]
) -> Iterator[Frame]:
    """The frames at ``times``, one after another. A frame depends on the script and its time only."""
    size, fps = settings.size, settings.fps
    first, *instants = stage(script, np.concatenate([[0.0], times]), size, fps)
    for instant in instants:
        image = np.empty((size, size, 3), np.uint8)
        boxes = _paint(image, script, identity, instant)
        _expose(image, script, instant, round(instant.time * fps))
        _subtitle(image, script, instant.time)
        yield _frame(image, boxes, instant, first)


def _paint(image: np.ndarray, script: Script, identity: Identity, instant: Instant) -> Boxes:
    busy = max([item.strength for item in script.distractors if item.kind == "background"], default=0.0)
    paint_background(image, instant.scene.background, instant.camera, busy, instant.time)
    boxes = draw_face(image, identity, instant.look, instant.scene.light)
    for index, item in enumerate(script.distractors):
        if item.kind in ("hand", "hair") and item.start <= instant.time <= item.end:
            paint = paint_hand if item.kind == "hand" else paint_lock
            paint(image, identity, instant.look, item, instant.time, np.random.default_rng((script.seed, index)))
    return boxes


def _expose(image: np.ndarray, script: Script, instant: Instant, number: int) -> None:
    """The camera: focus, brightness, white balance, noise."""
    scene, size = instant.scene, image.shape[0]
    if scene.blur > 0:
        cv2.GaussianBlur(image, (0, 0), scene.blur * size / 224, dst=image)
    balance = np.array([1 - instant.warmth, 1.0, 1 + instant.warmth]) * instant.gain
    table = np.clip(np.arange(256)[:, None] * balance + 0.5, 0, 255).astype(np.uint8)
    cv2.LUT(image, table[:, None, :], dst=image)
    if scene.noise > 0:
        tile = _noise(size)
        x, y = np.random.default_rng((script.seed, 2000, number)).integers(0, tile.shape[0] - size, 2)
        grain = tile[y : y + size, x : x + size]
        cv2.addWeighted(image, 1.0, grain, scene.noise / 24, -128 * scene.noise / 24, dst=image)


def _subtitle(image: np.ndarray, script: Script, time: float) -> None:
    for index, item in enumerate(script.distractors):
        if item.kind == "subtitle":
            paint_subtitle(image, item, time, np.random.default_rng((script.seed, index)))


@lru_cache(maxsize=2)
def _noise(size: int) -> UInt8[np.ndarray, "side side 3"]:
    """Grain around 128 with a standard deviation of 24."""
    side = round(size * _NOISE)
    grain = np.random.default_rng(0).normal(128, 24, (side, side, 3))
    return np.clip(grain, 0, 255).astype(np.uint8)


def _frame(image: np.ndarray, boxes: Boxes, instant: Instant, first: Instant) -> Frame:
    look, start = instant.look, first.look
    rigid = np.array(
        [
            look.centre[0] - start.centre[0],
            look.centre[1] - start.centre[1],
            look.roll - start.roll,
            look.scale / start.scale,
        ],
        np.float32,
    )
    return Frame(
        image=image,
        time=instant.time,
        intensities=np.asarray(look.actions, np.float32),
        regions=boxes[:-1],
        face=boxes[-1],
        rigid=rigid,
        cut=instant.cut,
        blink=look.blink,
        speech=look.speech,
    )
