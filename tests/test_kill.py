"""The kill campaign sees what a kill may leave behind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from benchmarks.kill import (
    COMMANDS,
    Command,
    Kill,
    content,
    earlier_moments,
    kill_one,
    kills_table,
    processes_in,
    schedule,
)


def test_a_hundred_kills_cover_every_command_and_repeat_by_seed() -> None:
    scheduled = schedule(100, 0)
    counts = Counter(command for command, _, _ in scheduled)
    assert counts.keys() == set(COMMANDS)
    assert sum(counts.values()) == 100
    assert max(counts.values()) - min(counts.values()) <= 1
    assert schedule(100, 0) == scheduled != schedule(100, 1)
    assert all(start == command for command, start, _ in scheduled if command != "dvc repro")


def test_temporary_files_count_and_answers_are_compared_by_content(tmp_path: Path) -> None:
    answers = tmp_path / "data/demo/responses/caption"
    answers.mkdir(parents=True)
    lines = [json.dumps({"key": key, "text": key}) + "\n" for key in "ab"]
    (answers / "one.jsonl").write_text("".join(lines))
    whole = content(tmp_path)
    (answers / "one.jsonl").write_text(lines[1] + lines[0][:-5])  # torn by a kill
    assert content(tmp_path) != whole
    (answers / "two.jsonl").write_text(lines[0])
    assert content(tmp_path) == whole
    (tmp_path / "data/demo/.tmp-1").touch()
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp/left").touch()
    assert content(tmp_path).keys() - whole.keys() == {"data/demo/.tmp-1", "tmp/left"}


def test_a_process_that_lives_on_is_seen(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], cwd=tmp_path, stdin=subprocess.PIPE)
    try:
        assert len(processes_in(tmp_path)) == 1
    finally:
        process.kill()
        process.communicate()
    assert processes_in(tmp_path) == []


class Sleep(Command):
    """A command that ends by itself."""

    def __init__(self, seconds: float) -> None:
        self.process = subprocess.Popen(["sleep", str(seconds)], start_new_session=True)


def test_a_kill_that_comes_after_the_end_is_drawn_again_until_one_hits() -> None:
    moments = earlier_moments(0.7, 60.0)
    assert moments[0] == 60.0
    assert moments == sorted(moments, reverse=True) == earlier_moments(0.7, 60.0)
    started: list[Sleep] = []

    def start() -> Sleep:
        started.append(Sleep(0.01 if len(started) < 2 else 600.0))
        return started[-1]

    assert kill_one(start, [5.0, 4.0, 0.01, 0.005]) == (0.01, 3, True)
    assert [each.finish() for each in started] == [0, 0, -9]
    assert kill_one(lambda: Sleep(0.01), [5.0, 4.0]) == (4.0, 2, False)


def test_the_table_counts_by_command() -> None:
    kills = [Kill("index", "index", 1.0, True, "ok"), Kill("index", "index", 2.0, False, "other bytes: x")]
    columns = [list(column.cells) for column in kills_table(kills).columns]
    assert [column[COMMANDS.index("index")] for column in columns] == ["index", "2", "1", "1"]
