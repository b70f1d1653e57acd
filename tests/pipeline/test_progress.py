"""Progress: what is resumed is said, clips count one by one, and the bar does not go back."""

from __future__ import annotations

import subprocess
import sys

import pytest

from grace.pipeline.execution.progress import ClipProgress
from stages._output import user_errors


def test_a_command_prints_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    """The line is one of the log: a program of others that runs a step is not printed into."""

    @user_errors
    def resume() -> None:
        with ClipProgress("caption", 2000, 1240):
            pass

    for _ in range(2):
        resume()
        assert capsys.readouterr().err.count("caption: 1,240 of 2,000 clips are done, 760 to go\n") == 1


def test_a_library_prints_a_bar_and_no_line() -> None:
    script = "from grace.pipeline.execution.progress import ClipProgress\nwith ClipProgress('caption', 9, 4): pass"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "4/9" in shown.stderr
    assert "to go" not in shown.stderr


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
