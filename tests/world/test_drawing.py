"""What a drawn face shows."""

from __future__ import annotations

import numpy as np
import pytest

from grace.pipeline.vocabulary import REGIONS
from grace.pipeline.world.actions import ACTIONS, Action
from grace.pipeline.world.draw import draw_face, measure_face
from grace.pipeline.world.expression_sheet import EXPRESSIONS, expression_sheet
from grace.pipeline.world.identity import Identity, sample_identity
from grace.pipeline.world.pose import Pose

SIZE = 224
PEOPLE = [sample_identity(np.random.default_rng((3, index)), index) for index in range(8)]


def drawn(identity: Identity, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    image = np.full((SIZE, SIZE, 3), 140, np.uint8)
    return image, draw_face(image, identity, pose, 0.3)


def shown(identity: Identity, action: Action | None = None, intensity: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    actions = np.array([intensity if other is action else 0.0 for other in ACTIONS])
    return drawn(identity, Pose(actions=actions, centre=(112.0, 119.0), scale=80.0))


def inside(box: np.ndarray, other: np.ndarray) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), bool)
    left, top = np.minimum(box, other)[:2].astype(int)
    right, bottom = np.maximum(box, other)[2:].astype(int)
    mask[top:bottom, left:right] = True
    return mask


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: f"AU{action.unit}")
def test_an_action_moves_its_own_region_most(action: Action) -> None:
    within, without = [], []
    for identity in PEOPLE:
        rest, before = shown(identity)
        moved, after = shown(identity, action)
        change = np.abs(rest.astype(int) - moved).sum(2)
        region = inside(before[REGIONS.index(action.region)], after[REGIONS.index(action.region)])
        within.append(change[region].mean())
        without.append(change[~region].mean())
    assert min(within) > 6.0
    assert np.mean(within) > 10 * np.mean(without)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: f"AU{action.unit}")
def test_a_slight_action_is_less_than_a_full_one_and_still_visible(action: Action) -> None:
    slight, full = [], []
    for identity in PEOPLE:
        rest, boxes = shown(identity)
        region = inside(boxes[REGIONS.index(action.region)], boxes[REGIONS.index(action.region)])
        for intensity, changes in ((0.3, slight), (1.0, full)):
            changes.append(np.abs(rest.astype(int) - shown(identity, action, intensity)[0]).sum(2)[region].mean())
    assert 3.0 < np.mean(slight) < np.mean(full)


def test_people_differ() -> None:
    pictures = [shown(identity)[0].astype(int) for identity in PEOPLE]
    apart = [np.abs(first - second).mean() for i, first in enumerate(pictures) for second in pictures[:i]]
    assert min(apart) > 5.0


def test_the_same_pose_gives_the_same_picture_and_measuring_needs_no_paint() -> None:
    pose = Pose(yaw=0.2, pitch=-0.1, roll=0.1, blink=0.4, speech=0.5, rounding=0.3)
    first, boxes = drawn(PEOPLE[0], pose)
    second, _ = drawn(PEOPLE[0], pose)
    assert np.array_equal(first, second)
    assert np.array_equal(boxes, measure_face(PEOPLE[0], pose))


def test_regions_lie_on_the_face_and_follow_the_head() -> None:
    for identity in PEOPLE:
        boxes = measure_face(identity, Pose(centre=(112.0, 112.0)))
        moved = measure_face(identity, Pose(centre=(122.0, 107.0)))
        assert np.allclose(moved - boxes, [10, -5, 10, -5], atol=1e-3)
        face = boxes[-1] + [-12, -12, 12, 12]
        assert (boxes[:, :2] >= face[:2]).all() and (boxes[:, 2:] <= face[2:]).all()
        height = dict(zip(REGIONS, (boxes[:-1, 1] + boxes[:-1, 3]) / 2, strict=True))
        assert height["brows"] < height["eyes"] < height["nose"] < height["mouth"] < height["jaw"]


def test_a_turned_head_carries_its_features_along() -> None:
    straight = measure_face(PEOPLE[1], Pose())
    turned = measure_face(PEOPLE[1], Pose(yaw=0.35))
    nose, face = REGIONS.index("nose"), -1

    def offset(boxes: np.ndarray) -> float:
        return float((boxes[nose, [0, 2]].mean() - boxes[face, [0, 2]].mean()) / np.ptp(boxes[face, [0, 2]]))

    assert abs(offset(straight)) < 0.02 and offset(turned) > 0.08


@pytest.mark.parametrize("centre", [(-300.0, 100.0), (5.0, 5.0), (230.0, 240.0), (112.0, 600.0)])
def test_a_head_partly_or_wholly_outside_the_picture_is_no_error(centre: tuple[float, float]) -> None:
    actions = np.full(len(ACTIONS), 0.6)
    drawn(PEOPLE[2], Pose(actions=actions, centre=centre))


def test_expression_sheet_has_a_row_per_person_and_a_column_per_expression() -> None:
    sheet = expression_sheet(PEOPLE[:2], size=64)
    assert sheet.shape[1] == 64 * len(EXPRESSIONS) and sheet.shape[0] > 128
