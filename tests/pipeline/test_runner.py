"""The runner: what is done is skipped, what changed is redone, nothing is lost, and a kill costs nothing."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from grace.pipeline.errors import ClipError, GraceError, UserError
from grace.pipeline.execution.runner import Summary, run
from grace.pipeline.store import Row, Store
from grace.pipeline.store.chain import Chain
from grace.pipeline.store.schemas import FACES, MOTION
from tests.support.fake_step import DrawStep, SizeStep, files, write_demo_clips


def test_a_second_run_skips_everything(tmp_path: Path) -> None:
    write_demo_clips(tmp_path, 7)
    first = run(DrawStep(), tmp_path, size=3)
    before = files(tmp_path)
    second = run(DrawStep(), tmp_path, size=3)
    assert (first.done, first.skipped) == (7, 0)
    assert (second.done, second.skipped) == (0, 7)
    assert files(tmp_path) == before


def test_local_processes_give_the_same_bytes(tmp_path: Path) -> None:
    for where, workers in (("inline", 0), ("processes", 2)):
        write_demo_clips(tmp_path / where, 10)
        run(DrawStep(), tmp_path / where, size=3, workers=workers)
    assert files(tmp_path / "inline") == files(tmp_path / "processes")


def test_a_changed_parameter_redoes_the_stage_and_what_depends_on_it(tmp_path: Path) -> None:
    write_demo_clips(tmp_path, 4)
    run(DrawStep(instants=2), tmp_path, size=2)
    run(SizeStep(), tmp_path, size=2)
    assert run(SizeStep(), tmp_path, size=2).done == 0
    assert run(DrawStep(instants=3), tmp_path, size=2).done == 4
    assert run(SizeStep(), tmp_path, size=2).done == 4


def test_a_changed_clip_redoes_its_shard_only(tmp_path: Path) -> None:
    write_demo_clips(tmp_path, 6)
    run(DrawStep(), tmp_path, size=2)
    write_demo_clips(tmp_path, 6, paths={3: "other"})
    summary = run(DrawStep(), tmp_path, size=2)
    assert (summary.done, summary.skipped) == (2, 4)


def test_shards_that_no_longer_belong_are_removed(tmp_path: Path) -> None:
    write_demo_clips(tmp_path, 6)
    run(DrawStep(), tmp_path, size=2)
    write_demo_clips(tmp_path, 3)
    run(DrawStep(), tmp_path, size=2)
    assert Store(tmp_path / "faces", FACES).shards() == [0, 1]


def test_a_column_not_declared_changes_nothing(tmp_path: Path) -> None:
    """Labels are not read by the step, so new labels do not redo it."""
    write_demo_clips(tmp_path, 4)
    run(DrawStep(), tmp_path, size=2)
    from grace.pipeline.store import Clips, write_clips

    rows = [{**row, "label": "sadness"} for row in Clips(tmp_path).rows]
    write_clips(tmp_path, rows, ["sadness"])
    assert run(DrawStep(), tmp_path, size=2).done == 0


def test_failures_keep_their_row_and_are_carried_along(tmp_path: Path) -> None:
    write_demo_clips(tmp_path, 5, paths={1: "bad", 2: "crash"}, failed={4})
    reports: list[Summary] = []
    run(DrawStep(), tmp_path, size=2, max_failed=1, report=reports.append)
    assert reports[0].failed == {"the video is empty": 1, "ValueError: moov atom not found": 1}
    assert reports[0].carried == 1
    run(SizeStep(), tmp_path, size=2, report=reports.append)
    assert (reports[1].failed, reports[1].carried) == ({}, 3)
    rows = {row["clip_id"]: row["error"] for row in Store(tmp_path / "motion", MOTION).rows(["clip_id", "error"])}
    assert rows == {
        "c000": "",
        "c001": "faces: the video is empty",
        "c002": "faces: ValueError: moov atom not found",
        "c003": "",
        "c004": "index: the file is missing",
    }


def test_too_many_failures_stop_the_pipeline_and_can_be_retried(tmp_path: Path) -> None:
    write_demo_clips(tmp_path, 4, paths={1: "bad"})
    with pytest.raises(GraceError, match=r"faces failed 1 of 4 clips, more than max_failed \(1\.0%\) allows"):
        run(DrawStep(), tmp_path, size=2)
    with pytest.raises(GraceError):
        run(DrawStep(), tmp_path, size=2)
    summary = run(DrawStep(), tmp_path, size=2, max_failed=0.5, retry_failed=True)
    assert (summary.done, summary.skipped) == (2, 2)


def test_a_clip_that_was_tried_again_with_success_reaches_the_later_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_demo_clips(tmp_path, 4)
    made = DrawStep.clip

    def out_of_handles(step: DrawStep, row: Row) -> Row:
        if row["clip_id"] == "c001":
            raise ClipError("too many open files")  # the machine's trouble: another time it goes well
        return made(step, row)

    with monkeypatch.context() as machine:
        machine.setattr(DrawStep, "clip", out_of_handles)
        run(DrawStep(), tmp_path, size=2, max_failed=1)
        run(SizeStep(), tmp_path, size=2, max_failed=1)
        again = run(DrawStep(), tmp_path, size=2, max_failed=1, retry_failed=True)  # it fails once more
        assert (again.done, run(SizeStep(), tmp_path, size=2, max_failed=1).done) == (2, 0)
    assert run(DrawStep(), tmp_path, size=2, retry_failed=True).done == 2
    assert (
        Chain(tmp_path).first_problem().endswith("made from another faces/00000 than there is now: run `grace motion`.")
    )
    assert run(SizeStep(), tmp_path, size=2).done == 2  # of the shard that changed alone
    assert {row["status"] for row in Store(tmp_path / "motion", MOTION).rows(["status"])} == {"ok"}
    assert run(DrawStep(), tmp_path, size=2).done == run(SizeStep(), tmp_path, size=2).done == 0
    assert Chain(tmp_path).first_problem() == ""


def test_a_clip_that_kills_its_process_costs_that_clip_only(tmp_path: Path) -> None:
    write_demo_clips(tmp_path, 9, paths={4: "die"})
    summary = run(DrawStep(), tmp_path, size=3, workers=2, max_failed=1)
    assert sum(summary.failed.values()) == 1
    rows = list(Store(tmp_path / "faces", FACES).rows(["clip_id", "status", "error"]))
    assert [row["clip_id"] for row in rows if row["status"] == "failed"] == ["c004"]
    assert "the process died on this clip" in rows[4]["error"]
    assert not list((tmp_path / "faces").glob(".tmp*"))


def test_a_clip_that_hangs_costs_that_clip_only(tmp_path: Path) -> None:
    write_demo_clips(tmp_path, 4, paths={1: "hang"})
    summary = run(DrawStep(), tmp_path, size=4, workers=1, clip_timeout=4, max_failed=1)
    cause = "given up after 4 seconds (clip_timeout): its decoder hangs, or it is very long"
    assert summary.failed == {cause: 1}
    rows = list(Store(tmp_path / "faces", FACES).rows(["clip_id", "status", "error"]))
    assert [row["clip_id"] for row in rows] == ["c000", "c001", "c002", "c003"]
    assert [row["error"] for row in rows if row["status"] == "failed"] == [f"faces: {cause}"]


def test_a_missing_stage_is_named(tmp_path: Path) -> None:
    write_demo_clips(tmp_path, 2)
    with pytest.raises(UserError, match=r"faces/00000\.h5 is missing or broken: run `grace faces --dataset .*` first"):
        run(SizeStep(), tmp_path, size=2)


def test_another_shard_size_upstream_is_named(tmp_path: Path) -> None:
    write_demo_clips(tmp_path, 6)
    run(DrawStep(), tmp_path, size=2)
    with pytest.raises(UserError, match="holds other clips than"):
        run(SizeStep(), tmp_path, size=3)


KILLED = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from grace.pipeline.execution.runner import run
    from tests.support.fake_step import DrawStep, SizeStep
    if __name__ == "__main__":
        folder, workers = Path(sys.argv[1]), int(sys.argv[2])
        run(DrawStep(seconds=0.01), folder, size=3, workers=workers)
        run(SizeStep(), folder, size=3, workers=workers)
    """
)


@pytest.mark.parametrize("workers", [0, 2])
def test_resume_after_kill_gives_same_bytes(tmp_path: Path, workers: int) -> None:
    project = Path(__file__).parents[2]
    script = tmp_path / "pipeline.py"
    script.write_text(f"import sys; sys.path.insert(0, {str(project)!r})\n{KILLED}")

    def start(folder: Path) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, str(script), str(folder), str(workers)]
        return subprocess.Popen(arguments, stderr=subprocess.DEVNULL, start_new_session=True)

    write_demo_clips(tmp_path / "whole", 40)
    began = time.monotonic()
    assert start(tmp_path / "whole").wait() == 0
    length = time.monotonic() - began
    write_demo_clips(tmp_path / "killed", 40)
    moments = random.Random(workers)
    for _ in range(4):
        process = start(tmp_path / "killed")
        time.sleep(moments.uniform(0.3, 1.0) * length)
        process.send_signal(signal.SIGKILL)  # the main process only: its workers must notice by themselves
        process.wait()
    assert start(tmp_path / "killed").wait() == 0
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
