"""From a scenario to frames and their ground truth."""

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
from grace.pipeline.world.motion_curves import FrameState, frame_states
from grace.pipeline.world.scenario import Scenario
from grace.pipeline.world.settings import WorldSettings

_NOISE_TILE = 1.6  # side of the tile that per-frame noise is cut from, in sides of the picture


@dataclass(frozen=True)
class RenderedFrame:
    """One rendered frame and its ground truth. Boxes are x0, y0, x1, y1 in pixels."""

    image: UInt8[np.ndarray, "height width 3"]  # BGR
    time: float  # seconds
    intensities: Float[np.ndarray, " actions"]  # in the order of ``actions.ACTIONS``
    regions: Float[np.ndarray, "regions 4"]  # in the order of ``vocabulary.REGIONS``
    face: Float[np.ndarray, "4"]  # cheek to cheek, hairline to chin
    rigid: Float[np.ndarray, "4"]  # of the head since the clip's first frame: dx, dy (pixels), rotation (rad), scale
    cut: bool  # first frame of another camera position
    blink: float
    speech: float


@dataclass(frozen=True)
class FrameTruth:
    """Ground truth of several frames, stacked."""

    times: Float[np.ndarray, " frames"]
    intensities: Float[np.ndarray, "frames actions"]
    regions: Float[np.ndarray, "frames regions 4"]
    face: Float[np.ndarray, "frames 4"]
    rigid: Float[np.ndarray, "frames 4"]
    cut: Bool[np.ndarray, " frames"]
    blink: Float[np.ndarray, " frames"]
    speech: Float[np.ndarray, " frames"]


def frame_times(scenario: Scenario, settings: WorldSettings) -> Float[np.ndarray, " frames"]:
    """The time of every frame of the clip, in seconds."""
    return np.arange(max(1, round(scenario.duration * settings.fps))) / settings.fps


def render(scenario: Scenario, identity: Identity, settings: WorldSettings) -> Iterator[RenderedFrame]:
    """Render every frame of a clip.

    Args:
        scenario: the clip, from :func:`~grace.pipeline.world.scenario.sample_scenario`.
        identity: the person.
        settings: section ``world`` of ``params.yaml``; size and frame rate count here.

    Yields:
        Frames with their ground truth, in order: ``image`` uint8 [size, size, 3] in BGR, and beside it action
        intensities, region and face boxes, head motion, and flags.

    Example:
        >>> from grace.pipeline.world.identity import sample_identity
        >>> from grace.pipeline.world.scenario import sample_scenario
        >>> rng, settings = np.random.default_rng(0), WorldSettings(size=96, fps=2)
        >>> identity = sample_identity(rng)
        >>> scenario = sample_scenario(rng, identity, "anger", settings)
        >>> frame = next(render(scenario, identity, settings))
        >>> frame.image.shape, frame.intensities.shape, frame.regions.shape
        ((96, 96, 3), (18,), (6, 4))
    """
    yield from render_at(scenario, identity, settings, frame_times(scenario, settings))


def render_instants(
    scenario: Scenario, identity: Identity, settings: WorldSettings, times: Float[np.ndarray, " frames"]
) -> tuple[UInt8[np.ndarray, "frames height width 3"], FrameTruth]:
    """Render only the frames at ``times`` (seconds), with the pixels of the whole clip there, before video coding.

    Args:
        scenario: the clip.
        identity: the person.
        settings: section ``world`` of ``params.yaml``; size and frame rate count here.
        times: seconds from the clip's start [frames].

    Returns:
        Pictures [frames, size, size, 3], uint8 BGR, and their ground truth.
    """
    frames = list(render_at(scenario, identity, settings, np.asarray(times, np.float64)))
    return np.stack([frame.image for frame in frames]), stack_truth(frames)


def stack_truth(frames: list[RenderedFrame]) -> FrameTruth:
    """Stack the ground truth of a clip's frames."""
    return FrameTruth(
        times=np.array([frame.time for frame in frames]),
        intensities=np.stack([frame.intensities for frame in frames]),
        regions=np.stack([frame.regions for frame in frames]),
        face=np.stack([frame.face for frame in frames]),
        rigid=np.stack([frame.rigid for frame in frames]),
        cut=np.array([frame.cut for frame in frames]),
        blink=np.array([frame.blink for frame in frames]),
        speech=np.array([frame.speech for frame in frames]),
    )


def measure(
    scenario: Scenario, identity: Identity, settings: WorldSettings, times: Float[np.ndarray, " frames"]
) -> FrameTruth:
    """The ground truth that :func:`render_instants` returns, without drawing.

    Args:
        scenario: the clip.
        identity: the person.
        settings: section ``world`` of ``params.yaml``; size and frame rate count here.
        times: seconds from the clip's start [frames].

    Returns:
        The ground truth; boxes and shifts are in pixels of pictures of ``settings.size``.
    """
    first, *states = frame_states(scenario, np.concatenate([[0.0], times]), settings.size, settings.fps)
    unpainted = np.empty((0, 0, 3), np.uint8)
    return stack_truth([_frame(unpainted, measure_face(identity, at.pose), at, first) for at in states])


def render_at(
    scenario: Scenario, identity: Identity, settings: WorldSettings, times: Float[np.ndarray, " frames"]
) -> Iterator[RenderedFrame]:
    """Yield the frames at ``times`` (seconds). A frame depends on the person, the scenario and its time only.

    Args:
        scenario: the clip.
        identity: the person.
        settings: section ``world`` of ``params.yaml``; size and frame rate count here.
        times: seconds from the clip's start [frames].

    Yields:
        A frame per time with its ground truth.
    """
    size, fps = settings.size, settings.fps
    first, *states = frame_states(scenario, np.concatenate([[0.0], times]), size, fps)
    for state in states:
        image = np.empty((size, size, 3), np.uint8)
        boxes = _paint(image, scenario, identity, state)
        _expose(image, scenario, state, round(state.time * fps))
        _subtitle(image, scenario, state.time)
        yield _frame(image, boxes, state, first)


def _paint(image: np.ndarray, scenario: Scenario, identity: Identity, state: FrameState) -> Boxes:
    busy = max([item.strength for item in scenario.distractors if item.kind == "background"], default=0.0)
    paint_background(image, state.scene.background, state.camera, busy, state.time)
    boxes = draw_face(image, identity, state.pose, state.scene.light)
    for index, item in enumerate(scenario.distractors):
        if item.kind in ("hand", "hair") and item.start <= state.time <= item.end:
            paint = paint_hand if item.kind == "hand" else paint_lock
            paint(image, identity, state.pose, item, state.time, np.random.default_rng((scenario.seed, index)))
    return boxes


def _expose(image: np.ndarray, scenario: Scenario, state: FrameState, number: int) -> None:
    """The camera: focus, brightness, white balance, noise."""
    scene, size = state.scene, image.shape[0]
    if scene.blur > 0:
        cv2.GaussianBlur(image, (0, 0), scene.blur * size / 224, dst=image)
    balance = np.array([1 - state.warmth, 1.0, 1 + state.warmth]) * state.gain
    table = np.clip(np.arange(256)[:, None] * balance + 0.5, 0, 255).astype(np.uint8)
    cv2.LUT(image, table[:, None, :], dst=image)
    if scene.noise > 0:
        tile = _noise(size)
        x, y = np.random.default_rng((scenario.seed, 2000, number)).integers(0, tile.shape[0] - size, 2)
        grain = tile[y : y + size, x : x + size]
        cv2.addWeighted(image, 1.0, grain, scene.noise / 24, -128 * scene.noise / 24, dst=image)


def _subtitle(image: np.ndarray, scenario: Scenario, time: float) -> None:
    for index, item in enumerate(scenario.distractors):
        if item.kind == "subtitle":
            paint_subtitle(image, item, time, np.random.default_rng((scenario.seed, index)))


@lru_cache(maxsize=2)
def _noise(size: int) -> UInt8[np.ndarray, "side side 3"]:
    """Grain around 128 with a standard deviation of 24."""
    side = round(size * _NOISE_TILE)
    grain = np.random.default_rng(0).normal(128, 24, (side, side, 3))
    return np.clip(grain, 0, 255).astype(np.uint8)


def _frame(image: np.ndarray, boxes: Boxes, state: FrameState, first: FrameState) -> RenderedFrame:
    pose, start = state.pose, first.pose
    rigid = np.array(
        [
            pose.centre[0] - start.centre[0],
            pose.centre[1] - start.centre[1],
            pose.roll - start.roll,
            pose.scale / start.scale,
        ],
        np.float32,
    )
    return RenderedFrame(
        image=image,
        time=state.time,
        intensities=np.asarray(pose.actions, np.float32),
        regions=boxes[:-1],
        face=boxes[-1],
        rigid=rigid,
        cut=state.cut,
        blink=pose.blink,
        speech=pose.speech,
    )
