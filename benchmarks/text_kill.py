"""A text stage killed with SIGKILL sends no request again for a shard that it had committed, and loses nothing.

`grace refine` asks a real HTTP server on loopback; it is killed again and again, each time after a random number of
requests, and started once more, until it ends by itself. On every request the server checks whether the shard of that
request's clip is committed at that moment. At the end every byte is compared with an undisturbed run's.

    python -m benchmarks.text_kill [--quick] [--kills 20] [--seed 0]

Ends with one line of JSON: resume_ok (goal 1.0), the share of kills after which no request was sent for a committed
shard, 0 when the bytes differ; kills; sent_for_committed, such requests in all (goal 0); requests; sent_twice, those
that were under way at a kill or whose shard was not whole.

--quick takes 16 s of processor time; the full run has 7 times the kills.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.harness import PROJECT, Benchmark, progress, scratch_folder
from grace.pipeline.store import Store, write_clips
from grace.pipeline.store.schemas import CAPTIONS, DESCRIPTIONS
from tests.support.fake_openai_server import Misbehaving, Reply, completion, serving, text_of

SIZE = 4
"""Clips per shard."""
CLIPS_PER_KILL = 30
"""More than any kill waits for, so that the stage has something left to do at each."""

BENCHMARK = Benchmark("text_kill", __doc__, keys=("kills", "resume_ok", "sent_for_committed"), quick="3 kills")


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--seed", type=int, default=0)
    return options


def main() -> None:
    """Kill, resume, compare."""
    args = parser().parse_args()
    kills = 3 if args.quick else args.kills
    moments = random.Random(args.seed)
    with scratch_folder() as scratch:
        whole, killed = scratch / "whole", scratch / "killed"
        for data in (whole, killed):
            write_dataset(data / "set", clips=CLIPS_PER_KILL * kills)
        with serving(Misbehaving(answer)) as server:
            finish(whole, server)
        watch, fine = Watch(killed), 0
        with serving(Misbehaving(watch)) as server:
            for number in range(kills + 1):
                before = len(watch.late), len(server.asked)
                if number < kills:
                    kill_after(moments.randint(1, 25), killed, server)
                else:
                    finish(killed, server)
                if len(server.asked) == before[1]:
                    sys.exit(f"run {number + 1}: the stage had nothing left to ask")
                fine += number > 0 and len(watch.late) == before[0]
            requests = len(server.asked)
        same = content(killed) == content(whole)
    figures = {
        "kills": kills,
        "resume_ok": fine / kills if same else 0.0,
        "sent_for_committed": len(watch.late),
        "requests": requests,
        "sent_twice": requests - CLIPS_PER_KILL * kills,
    }
    BENCHMARK.report(figures, keep=not args.quick)


@dataclass
class Watch:
    """Answers, and notes the clips of requests that come although the clip's shard under ``data`` is committed."""

    data: Path
    late: list[str] = field(default_factory=list)

    def __call__(self, body: dict[str, Any], before: int) -> Reply:
        clip = name_in(body)
        store = Store(self.data / "set" / "descriptions", DESCRIPTIONS)
        if store.path(int(clip.removeprefix("clip-")) // SIZE).exists():
            self.late.append(clip)
        return answer(body, before)


def finish(data: Path, server: Misbehaving) -> None:
    """Run the stage to its end."""
    if start(data, server).wait() != 0:
        sys.exit("the stage failed")


def kill_after(requests: int, data: Path, server: Misbehaving) -> None:
    """Start the stage, and kill it after so many requests."""
    before = len(server.asked)
    process = start(data, server)
    while len(server.asked) < before + requests and process.poll() is None:
        time.sleep(0.002)
    process.kill()
    process.wait()
    progress(f"killed after {len(server.asked) - before} requests")


def start(data: Path, server: Misbehaving) -> subprocess.Popen[bytes]:
    """``grace refine`` with engine openai."""
    settings = {
        "data": data,
        "shards.clips": SIZE,
        "refine.engine": "openai",
        "refine.model": "m",
        "refine.prefetch_clips": 2 * SIZE,
        "refine.server.url": server.url,
        "refine.server.concurrency": 4,
    }
    overrides = [part for key, value in settings.items() for part in ("-S", f"{key}={value}")]
    command = [sys.executable, "-m", "stages", "refine", "--dataset", "set", *overrides]
    return subprocess.Popen(
        command, cwd=PROJECT, env={**os.environ, "OPENAI_API_KEY": ""}, stdout=subprocess.DEVNULL, stderr=sys.stderr
    )


def answer(body: dict[str, Any], _: int) -> Reply:
    """A description, after a while."""
    text = json.dumps({"description": f"The brows rise slightly in {name_in(body)}.", "cues": []})
    return replace(completion(text), wait=0.02)


def name_in(body: dict[str, Any]) -> str:
    """The clip that a request is about; its caption says so."""
    found = re.search(r"clip-\d+", text_of(body))
    assert found
    return found[0]


def content(data: Path) -> dict[str, bytes]:
    """Every file of the descriptions."""
    return {path.name: path.read_bytes() for path in sorted((data / "set" / "descriptions").glob("*.parquet"))}


def write_dataset(folder: Path, clips: int) -> None:
    """Clips and their coarse captions."""
    keys = [{"clip_id": f"clip-{number:04d}", "status": "ok", "error": ""} for number in range(clips)]
    write_clips(folder, [{**key, "fold_1": "train", "label": "anger"} for key in keys], ["anger"])
    store = Store(folder / "captions", CAPTIONS)
    for shard in range(math.ceil(clips / SIZE)):
        rows = [
            {**key, "caption": f"The brows rise slightly in {key['clip_id']}."}
            for key in keys[shard * SIZE : (shard + 1) * SIZE]
        ]
        store.write(shard, rows, {"fingerprint": f"captions-{shard}", "version": 1, "cache_key": {}})


if __name__ == "__main__":
    main()
