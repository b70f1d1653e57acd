"""Progress of work on clips: a line of the log says what is resumed, then a bar shows the time that is left."""

from __future__ import annotations

import logging
from threading import Lock
from types import TracebackType
from typing import Any

from tqdm import tqdm

logger = logging.getLogger(__name__)


class ClipProgress:
    """A progress bar over clips, after a line about where it starts.

    Clips that were done in earlier runs count towards the total, not towards the rate, so that the time left is that
    of what is left. Clips are counted as they are done, though shards are committed whole.

    Args:
        name: What is done, such as ``caption``.
        clips: All clips.
        done: Those that were done in earlier runs.

    Example:
        >>> with ClipProgress("caption", clips=4, done=1) as progress:
        ...     progress.under_way(2)
        ...     progress.commit(2)
        ...     progress.shown
        3
    """

    def __init__(self, name: str, clips: int, done: int = 0) -> None:
        logger.info("%s", start_line(name, clips, done))
        self._bar: tqdm[Any] = tqdm(
            total=clips, initial=done, desc=name, unit="clip", smoothing=0.05, dynamic_ncols=True
        )
        self._clips, self._done, self._uncommitted, self._lock = clips, done, 0, Lock()

    @property
    def shown(self) -> int:
        """How many clips the bar counts as done."""
        return int(self._bar.n)

    def commit(self, clips: int) -> None:
        """So many clips more are done for good."""
        with self._lock:
            self._done += clips
            self._uncommitted = max(0, self._uncommitted - clips)
            self._show(self._done)

    def under_way(self, clips: int) -> None:
        """So many clips are done in shards that are not committed yet."""
        with self._lock:
            self._uncommitted = clips
            self._show(self._done + clips)

    def begin(self) -> None:
        """One clip more is done in a shard that is not committed yet."""
        with self._lock:
            self._uncommitted += 1
            self._show(self._done + self._uncommitted)

    def _show(self, clips: int) -> None:
        """A bar does not go back, even where a process that died does its clips again."""
        if (more := min(clips, self._clips) - self.shown) > 0:
            self._bar.update(more)

    def __enter__(self) -> ClipProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


def start_line(name: str, clips: int, done: int) -> str:
    """What there is to do, in one line.

    Args:
        name: What is done, such as ``caption``.
        clips: All clips.
        done: Those that were done in earlier runs.

    Example:
        >>> start_line("caption", 2000, 1240), start_line("faces", 1, 0), start_line("motion", 240, 240)
        ('caption: 1,240 of 2,000 clips are done, 760 to go', 'faces: 1 clip to go', 'motion: all 240 clips are done')
    """
    if clips and done >= clips:
        return f"{name}: all {_clips(clips)} {'is' if clips == 1 else 'are'} done"
    if not done:
        return f"{name}: {_clips(clips)} to go"
    return f"{name}: {done:,} of {_clips(clips)} {'is' if done == 1 else 'are'} done, {clips - done:,} to go"


def _clips(number: int) -> str:
    return f"{number:,} clip{'' if number == 1 else 's'}"
