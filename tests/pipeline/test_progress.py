"""Progress: what is resumed is said, clips count one by one, and the bar does not go back."""

from __future__ import annotations

import pytest

from grace.pipeline.execution.progress import ClipProgress


def test_a_resumed_stage_says_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    with ClipProgress("caption", 2000, 1240):
        pass
    assert "caption: 1,240 of 2,000 clips are done, 760 to go" in capsys.readouterr().err


def test_clips_of_a_shard_under_way_count_once() -> None:
    with ClipProgress("faces", 10, 2) as progress:
        seen = []
        for act in (lambda: progress.under_way(3), lambda: progress.under_way(1), lambda: progress.commit(4)):
            act()
            seen.append(progress.shown)
        progress.begin()
        seen.append(progress.shown)
    assert seen == [5, 5, 6, 7]


def test_skipped_clips_are_not_in_the_rate() -> None:
    with ClipProgress("faces", 1000, 990) as progress:
        progress.commit(1)
        told = progress._bar.format_dict
    assert told["initial"] == 990
    assert told["n"] - told["initial"] == 1
