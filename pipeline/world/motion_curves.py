"""Curves over time: head, eyes and mouth, camera and light at any time of a scenario."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from grace.pipeline.world.pose import Pose
from grace.pipeline.world.scenario import Distractor, Scenario, Scene

Times = Float[np.ndarray, " frames"]

_YAW, _PITCH, _ROLL = 0.40, 0.22, 0.20  # radians at strength 1
_SHIFT = 0.22  # face units
_SHAKE = 0.020  # shares of the picture
_HEAD = ("yaw", "pitch", "roll", "shift")


@dataclass(frozen=True)
class FrameState:
    """Everything that decides a frame besides the person in it and what is painted over the face."""

    time: float
    scene: Scene
    cut: bool  # the first frame of a new scene
    pose: Pose
    camera: tuple[float, float]  # shake, pixels
    gain: float
    warmth: float


def frame_states(scenario: Scenario, times: Times, size: int, fps: float) -> list[FrameState]:
    """The state of a scenario at each of ``times`` (seconds), for square pictures of ``size`` pixels.

    Args:
        scenario: The clip.
        times: Seconds from the clip's start [frames].
        size: Side of the pictures, pixels.
        fps: Frames per second: which frame is the first one of a new scene depends on it.

    Returns:
        One state per time.
    """
    curves = {kind: np.zeros(len(times)) for kind in (*_HEAD, "sink", "blink", "speech", "rounding", "right", "down")}
    curves |= {"camera x": np.zeros(len(times)), "camera y": np.zeros(len(times))}
    curves |= {"gain": np.ones(len(times)), "warmth": np.zeros(len(times))}
    _sway(curves, times, scenario.seed)
    for index, distractor in enumerate(scenario.distractors):
        rng = np.random.default_rng((scenario.seed, index))
        _ADD.get(distractor.kind, _nothing)(curves, times, distractor, rng)
    table = scenario.timeline.intensities(times)
    return [_frame_state(scenario, row, float(time), table[row], curves, size, fps) for row, time in enumerate(times)]


def _frame_state(
    scenario: Scenario, row: int, time: float, actions: np.ndarray, curves: dict[str, np.ndarray], size: int, fps: float
) -> FrameState:
    at = {name: float(curve[row]) for name, curve in curves.items()}
    scene = scene_at(scenario, time)
    camera = (at["camera x"] * size, at["camera y"] * size)
    scale = scene.scale * size
    rest = (scene.x * size + camera[0], scene.y * size + camera[1])
    yaw, pitch, roll = scene.yaw + at["yaw"], scene.pitch + at["pitch"], scene.roll + at["roll"]
    # The head turns about the neck, so a tilt also carries it sideways.
    centre = (rest[0] + scale * (at["shift"] + 0.55 * np.sin(at["roll"])), rest[1] + scale * at["sink"])
    pose = Pose(
        actions=actions,
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        centre=(float(centre[0]), float(centre[1])),
        scale=scale,
        gaze=(at["right"], at["down"]),
        blink=min(1.0, at["blink"]),
        speech=at["speech"],
        rounding=at["rounding"],
        body=(0.35 * centre[0] + 0.65 * rest[0], 0.35 * centre[1] + 0.65 * rest[1]),
    )
    before = time - 1.0 / fps
    cut = before > -0.5 / fps and scene_at(scenario, before) is not scene
    return FrameState(time, scene, cut, pose, camera, scene.gain * at["gain"], scene.warmth + at["warmth"])


def scene_at(scenario: Scenario, time: float) -> Scene:
    """The camera position of a time."""
    return [scene for scene in scenario.scenes if scene.start <= max(0.0, time) + 1e-9][-1]


def envelope(times: Times, start: float, end: float, edge: float = 0.3) -> Times:
    """0 outside [start, end], 1 inside, with smooth edges of ``edge`` seconds at most.

    Args:
        times: Seconds [frames].
        start: Where it begins to rise, seconds.
        end: Where it is 0 again, seconds.
        edge: How long it rises and falls; half of the time from start to end at most.

    Returns:
        Values in [0, 1] [frames].

    Example:
        >>> envelope(np.array([0.0, 0.5, 1.0, 2.0]), start=0.0, end=2.0, edge=1.0).round(3).tolist()
        [0.0, 0.5, 1.0, 0.0]
    """
    edge = min(edge, max(1e-3, (end - start) / 2))
    ramp = np.clip(np.minimum(times - start, end - times) / edge, 0.0, 1.0)
    return 0.5 - 0.5 * np.cos(np.pi * ramp)


def _sway(curves: dict[str, np.ndarray], times: Times, seed: int) -> None:
    """Add the small motion of a head that is held still."""
    rng = np.random.default_rng((seed, 1000))
    for kind, amount in (("yaw", 0.018), ("pitch", 0.012), ("roll", 0.010), ("shift", 0.008)):
        curves[kind] += amount * np.sin(2 * np.pi * rng.uniform(0.2, 0.6) * times + rng.uniform(0, 6.28))


def _turn(curves: dict[str, np.ndarray], times: Times, distractor: Distractor, rng: np.random.Generator) -> None:
    reach = {"yaw": _YAW, "pitch": _PITCH, "roll": _ROLL, "shift": _SHIFT}[distractor.kind] * distractor.strength
    reach *= rng.choice([-1.0, 1.0])
    curve = envelope(times, distractor.start, distractor.end, float(rng.uniform(0.25, 0.5)))
    if rng.random() < 0.35:  # back and forth, as in nodding
        curve = 0.6 * curve * np.sin(2 * np.pi * rng.uniform(0.8, 1.6) * (times - distractor.start))
    curves[distractor.kind] += reach * curve
    if distractor.kind == "shift":
        curves["sink"] += 0.3 * abs(reach) * curve * rng.uniform(-1, 1)


def _blink(curves: dict[str, np.ndarray], times: Times, distractor: Distractor, rng: np.random.Generator) -> None:
    curves["blink"] += envelope(times, distractor.start, distractor.end, 0.10)


def _gaze(curves: dict[str, np.ndarray], times: Times, distractor: Distractor, rng: np.random.Generator) -> None:
    angle = rng.uniform(0, 2 * np.pi)
    away = distractor.strength * envelope(times, distractor.start, distractor.end, 0.06)
    curves["right"] += np.cos(angle) * away
    curves["down"] += np.sin(angle) * away


def _speech(curves: dict[str, np.ndarray], times: Times, distractor: Distractor, rng: np.random.Generator) -> None:
    talking = envelope(times, distractor.start, distractor.end, 0.12) * (0.45 + 0.55 * distractor.strength)
    rate, phase, slow = rng.uniform(3.0, 5.0), rng.uniform(0, 6.28), rng.uniform(0.8, 1.5)
    syllables = np.sin(2 * np.pi * rate * times + phase + 1.2 * np.sin(2 * np.pi * slow * times))
    curves["speech"] += talking * np.clip(0.5 + 0.5 * syllables, 0, 1)
    curves["rounding"] += talking * np.clip(np.sin(2 * np.pi * slow * times + phase), 0, 1)


def _shake(curves: dict[str, np.ndarray], times: Times, distractor: Distractor, rng: np.random.Generator) -> None:
    for axis in ("camera x", "camera y"):
        for low, high, share in ((0.5, 1.5, 0.6), (2.0, 4.0, 0.3), (5.0, 9.0, 0.15)):
            wave = np.sin(2 * np.pi * rng.uniform(low, high) * times + rng.uniform(0, 6.28))
            curves[axis] += _SHAKE * distractor.strength * share * wave


def _flicker(curves: dict[str, np.ndarray], times: Times, distractor: Distractor, rng: np.random.Generator) -> None:
    first, second = rng.uniform(7, 12), rng.uniform(3, 6)
    wave = np.sin(2 * np.pi * first * times) * 0.6 + np.sin(2 * np.pi * second * times + 1.0) * 0.4
    curves["gain"] *= 1.0 + 0.16 * distractor.strength * wave


def _light(curves: dict[str, np.ndarray], times: Times, distractor: Distractor, rng: np.random.Generator) -> None:
    way = rng.choice([-1.0, 1.0])
    drift = np.clip((times - rng.uniform(0, 0.5)) / rng.uniform(0.6, 1.6), 0, 1)
    curves["gain"] *= 1.0 + 0.28 * way * distractor.strength * (drift - 0.5)
    curves["warmth"] += 0.08 * rng.uniform(-1, 1) * drift


def _nothing(curves: dict[str, np.ndarray], times: Times, distractor: Distractor, rng: np.random.Generator) -> None:
    """Distractors that are painted over or behind the face add to no curve."""


_ADD = {
    "yaw": _turn,
    "pitch": _turn,
    "roll": _turn,
    "shift": _turn,
    "blink": _blink,
    "gaze": _gaze,
    "speech": _speech,
    "shake": _shake,
    "flicker": _flicker,
    "light": _light,
}
