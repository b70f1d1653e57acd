"""The neighbour of an instant, for differencing: the first later, different picture about 1/25 s away.

At 25 frames per second that is the next frame. Frames come faster in other footage, and come twice where a rate was
doubled or a camera stalled: the next frame then shows half the motion, or none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from grace.pipeline.media.pictures import Picture, change

STEP = 1.0 / 25.0
"""Seconds from an instant to its neighbour, as nearly as the frame rate allows."""
ROUNDING = 0.0015
"""Seconds by which time stamps may be rounded."""
REACH = 0.17
"""Seconds within which a picture that differs is looked for."""
REPETITIONS = ((0.6, 0.25), (1.4, 0.08))
"""A repetition changes by no more than encoding does: less than the first number (root mean square, grey levels), and
less than the second one's share of the largest changes just before and just after it. Either pair will do. Of 13,050
next frames in clips without repetitions, 14 are taken for one."""
CODING = 0.1
"""Smaller changes (root mean square, grey levels) are equal: encoders refine what does not move."""
MOST = 8
"""Pictures kept on either side of an instant."""


def with_neighbours(pictures: Iterable[Picture], numbers: Iterable[int]) -> Iterator[tuple[Picture, Picture]]:
    """The numbered pictures of a clip, each with its neighbour; reading stops when the last one is known.

    Args:
        pictures: all pictures of the clip, in order.
        numbers: frame numbers, from 0. What the clip does not hold is left out.

    Yields:
        A picture and its neighbour, as soon as both are known; the picture itself twice in a clip of one.
    """
    due = sorted(set(numbers))
    before: deque[Picture] = deque(maxlen=MOST)
    waiting: list[_Search] = []
    for picture in pictures:
        for search in waiting:
            search.add(picture)
        yield from (search.result() for search in waiting if search.done)
        waiting = [search for search in waiting if not search.done]
        if due and picture.number == due[0]:
            due.pop(0)
            near = [each for each in reversed(before) if picture.time - each.time <= REACH]
            waiting.append(_Search(picture, near or list(before)[-1:]))
        if not due and not waiting:
            return
        before.append(picture)
    for search in waiting:
        search.ended = True
        yield search.result()


@dataclass
class _Search:
    """An instant whose neighbour is looked for among the pictures that follow it."""

    picture: Picture
    before: list[Picture]  # the nearest first
    after: list[Picture] = field(default_factory=list)
    done: bool = False
    found: Picture | None = None  # the nearest in time, where it is seen to differ
    ended: bool = False  # the clip holds nothing later

    def add(self, picture: Picture) -> None:
        """Take the next picture of the clip."""
        known = bool(self.after) and self._away(self.after[-1]) >= STEP - ROUNDING
        self.after.append(picture)
        if self._away(picture) < STEP - ROUNDING:
            return
        if not known:  # which one is nearest in time
            nearest = self.after[_nearest(self.picture, self.after)]
            self.found = None if _small(change(self.picture, nearest)) else nearest
        self.done = self.found is not None or self._away(picture) > REACH or len(self.after) >= MOST

    def result(self) -> tuple[Picture, Picture]:
        """The instant's picture and its neighbour."""
        if self.found is not None:
            return self.picture, self.found
        found = _different(self.picture, self.after, self.before)
        if self.ended and self.before and (self._ends_too_near() or (found is None and _repeats(self.before))):
            found = _different(self.picture, self.before, self.after) or found
        if found is None:
            side = self.after or self.before or [self.picture]
            found = side[_nearest(self.picture, side)]
        return self.picture, found

    def _ends_too_near(self) -> bool:
        """Whether the clip ends before a picture about ``STEP`` away."""
        return not self.after or self._away(self.after[-1]) < 0.75 * STEP

    def _away(self, other: Picture) -> float:
        return other.time - self.picture.time


def _nearest(picture: Picture, others: Sequence[Picture]) -> int:
    """The place of the picture whose distance in time is nearest to ``STEP``; the first of equals."""
    off = [abs(abs(other.time - picture.time) - STEP) for other in others]
    return next(place for place, value in enumerate(off) if value <= min(off) + ROUNDING)


def _different(picture: Picture, side: Sequence[Picture], opposite: Sequence[Picture]) -> Picture | None:
    """The first picture of one side, from ``STEP`` away on, that does not merely repeat ``picture``.

    A small change is a repetition only beside larger ones on both sides: a face at rest changes little for long.
    """
    if not side:
        return None
    first = _nearest(picture, side)
    small = change(picture, side[first])
    if not _small(small) or (opposite and not _repetition(small, max(_changes([picture, *opposite])))):
        return side[first]
    moved = (place for place, large in enumerate(_changes(side[first:]), first + 1) if _repetition(small, large))
    place = next(moved, None)
    return None if place is None else side[place]


def _changes(pictures: Sequence[Picture]) -> list[float]:
    return [change(a, b) for a, b in pairwise(pictures)]


def _small(value: float) -> bool:
    return any(value < most for most, _ in REPETITIONS)


def _repetition(small: float, large: float) -> bool:
    """Whether a small change beside a large one is no movement."""
    return any(small < most and max(small, CODING) < share * large for most, share in REPETITIONS)


def _repeats(pictures: Sequence[Picture]) -> bool:
    """Whether repetitions are among these pictures."""
    changes = _changes(pictures)
    return bool(changes) and _repetition(min(changes), max(changes))
