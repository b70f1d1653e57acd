"""The runner on a Ray cluster: the bytes of a local run, and a dead actor or node costs what it had under way."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from grace.pipeline.errors import GraceError, UserError
from grace.pipeline.execution.runner import run
from grace.pipeline.execution.settings import RaySettings
from grace.pipeline.store import Row, Store
from grace.pipeline.store.schemas import FACES
from tests.support.fake_step import DrawStep, SizeStep, files, write_demo_clips

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
pytestmark = pytest.mark.slow

CLIPS, SIZE = 60, 3


class TracedStep(DrawStep):
    """Draws, and records which node and which actor began each clip; no clip goes on before all nodes began one."""

    def __init__(self, trace: Path, nodes: int = 1, seconds: float = 0.0) -> None:
        super().__init__(seconds=seconds)
        self.trace = trace
        self.nodes = nodes

    def clip(self, row: Row) -> Row:
        with self.trace.open("a") as file:
            # A per-clip step runs in a process beneath the actor, which has the variables of its node's raylet.
            file.write(f"{row['clip_id']} {os.environ['RAY_RAYLET_PID']} {os.getppid()}\n")
        while len({node for _, node, _ in started(self.trace)}) < self.nodes:
            time.sleep(0.05)
        return super().clip(row)


def started(trace: Path) -> list[list[str]]:
    """Clips, and the raylet and the actor, by process id, that began them."""
    return [line.split() for line in trace.read_text().splitlines()] if trace.exists() else []


class WholeShardStep(DrawStep):
    """The same as a step that fills a machine by itself and prefetches clips, as the text stages do."""

    parallel = False
    prefetch_clips = SIZE

    def __init__(self, deadly: Path | None = None) -> None:
        super().__init__()
        self.deadly = deadly

    def clip(self, row: Row) -> Row:
        if self.deadly is not None and not self.deadly.exists():
            self.deadly.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().clip(row)


class BrokenStep(DrawStep):
    def open(self) -> None:
        raise UserError("There is no model 'missing'.")


class MortalStep(DrawStep):
    def open(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def ports() -> dict[str, int]:
    """Free ports for a node's agents: a node that has to find them itself gives up on a busy machine."""
    names = ("metrics_agent_port", "metrics_export_port", "runtime_env_agent_port", "dashboard_agent_listen_port")
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in names]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return {name: each.getsockname()[1] for name, each in zip(names, sockets, strict=True)}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes on this machine: a head that works too, and two more."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **ports()})
    nodes = [made.add_node(num_cpus=1, **ports()) for _ in range(2)]
    ray.init(address=made.address, logging_level="error", log_to_driver=False)
    made.wait_for_nodes()
    yield made, nodes
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def local(tmp_path: Path) -> Callable[..., dict[str, bytes]]:
    """Files of the same clips, drawn in this process."""

    def draw(paths: dict[int, str] | None = None) -> dict[str, bytes]:
        write_demo_clips(tmp_path / "local", CLIPS, paths)
        run(DrawStep(), tmp_path / "local", size=SIZE, max_failed=1)
        return files(tmp_path / "local")

    return draw


def test_two_stages_give_the_bytes_of_a_local_run(cluster: Any, tmp_path: Path) -> None:
    for where, on in (("local", None), ("ray", RaySettings())):
        write_demo_clips(tmp_path / where, CLIPS)
        assert run(DrawStep(), tmp_path / where, size=SIZE, cluster=on).done == CLIPS
        assert run(SizeStep(), tmp_path / where, size=SIZE, cluster=on).done == CLIPS
        assert run(SizeStep(), tmp_path / where, size=SIZE, cluster=on).skipped == CLIPS
    assert files(tmp_path / "ray") == files(tmp_path / "local")


def test_a_step_that_takes_whole_shards_gets_several_concurrently(cluster: Any, tmp_path: Path, local: Any) -> None:
    write_demo_clips(tmp_path / "ray", CLIPS)
    run(WholeShardStep(deadly=tmp_path / "died"), tmp_path / "ray", size=SIZE, cluster=RaySettings(workers=2))
    assert (tmp_path / "died").exists()
    assert files(tmp_path / "ray") == local()


def test_clips_that_kill_or_hang_cost_themselves_only_and_not_the_actor(cluster: Any, tmp_path: Path) -> None:
    folder, trace = tmp_path / "ray", tmp_path / "trace"
    write_demo_clips(folder, 12, paths={4: "die", 7: "hang"})
    on = RaySettings(workers=1)
    summary = run(TracedStep(trace), folder, size=SIZE, cluster=on, clip_timeout=4, max_failed=1)
    assert sum(summary.failed.values()) == 2
    rows = list(Store(folder / "faces", FACES).rows(["clip_id", "status", "error"]))
    assert [row["clip_id"] for row in rows if row["status"] == "failed"] == ["c004", "c007"]
    assert "the process died on this clip" in rows[4]["error"]
    assert "given up after 4 seconds (clip_timeout)" in rows[7]["error"]
    times = Counter(clip for clip, *_ in started(trace))
    assert (times["c004"], times["c007"], times["c000"]) == (2, 1, 1)
    assert len({actor for *_, actor in started(trace)}) == 1, "the actor lived through both"


def test_a_clip_that_takes_too_long_is_given_up(cluster: Any, tmp_path: Path) -> None:
    write_demo_clips(tmp_path, 2)
    summary = run(
        DrawStep(seconds=9.0), tmp_path, size=1, cluster=RaySettings(workers=2), clip_timeout=1.5, max_failed=1
    )
    assert list(summary.failed) == ["given up after 1.5 seconds (clip_timeout): its decoder hangs, or it is very long"]


def test_a_step_s_error_arrives_as_it_is(cluster: Any, tmp_path: Path) -> None:
    write_demo_clips(tmp_path, 4)
    with pytest.raises(UserError, match=r"^There is no model 'missing'\.$"):
        run(BrokenStep(), tmp_path, size=2, cluster=RaySettings())


def test_workers_that_die_again_and_again_end_the_run(cluster: Any, tmp_path: Path) -> None:
    write_demo_clips(tmp_path, 4)
    with pytest.raises(GraceError, match="workers on the Ray cluster died one after another"):
        run(MortalStep(), tmp_path, size=2, cluster=RaySettings(workers=1))


def test_more_than_a_node_has_is_refused_immediately(cluster: Any, tmp_path: Path) -> None:
    write_demo_clips(tmp_path, 4)
    with pytest.raises(UserError, match=r"No node of the Ray cluster has 1 CPUs and 8 GPUs for one worker"):
        run(DrawStep(), tmp_path, size=2, cluster=RaySettings(gpus=8))


def test_a_node_killed_in_mid_run_costs_its_current_shard_only(cluster: Any, tmp_path: Path, local: Any) -> None:
    made, nodes = cluster
    folder, trace = tmp_path / "ray", tmp_path / "trace"
    write_demo_clips(folder, CLIPS)
    killed: list[int] = []

    def kill() -> None:
        raylet = str(nodes[0].all_processes["raylet"][0].process.pid)
        while sum(node == raylet for _, node, _ in started(trace)) < SIZE + 2:
            time.sleep(0.05)
        made.remove_node(nodes[0], allow_graceful=False)
        killed.append(len(list((folder / "faces").glob("0*.h5"))))

    killer = threading.Thread(target=kill)
    killer.start()
    summary = run(TracedStep(trace, 3, seconds=0.3), folder, size=SIZE, cluster=RaySettings(workers=3))
    killer.join()
    assert killed[0] < CLIPS // SIZE, "the node died in mid-run"
    assert summary.done == CLIPS
    rows = list(Store(folder / "faces", FACES).rows(["clip_id", "status"]))
    assert [row["clip_id"] for row in rows] == [f"c{k:03d}" for k in range(CLIPS)], "every clip exactly once"
    assert {row["status"] for row in rows} == {"ok"}
    began = Counter(clip for clip, *_ in started(trace))
    assert set(began) == {row["clip_id"] for row in rows}
    by_node = Counter(node for _, node, _ in started(trace))
    assert len(by_node) == 3
    again = {int(clip[1:]) // SIZE for clip, times in began.items() if times > 1}
    assert len(again) <= 1, "one worker ran on that node, with one shard under way"
    assert max(began.values()) <= 2
    assert files(folder) == local()
