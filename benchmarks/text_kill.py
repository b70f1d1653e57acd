"""A text stage killed with SIGKILL sends no request again for a shard that it had committed, and loses nothing.

`grace refine` asks a real HTTP server on loopback; it is killed again and again, each time after a random number of
requests, and started once more, until it ends by itself. On every request the server looks whether the shard of the
clip that it is asked about is committed at that moment. At the end every byte is compared with an undisturbed run's.

    python benchmarks/text_kill.py [--quick] [--kills 20]

Ends with one line of JSON: kills; resume_ok, the share of kills after which no request was sent for a committed shard,
0 when the bytes differ; sent_for_committed, such requests in all; requests; sent_twice, those that were under way at a
kill or whose shard was not whole. The full run also writes benchmarks/results/text_kill.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from grace.pipeline.store import Store, write_atomic, write_clips
from grace.pipeline.store.schemas import CAPTIONS, DESCRIPTIONS, FOLD_COLUMNS
from tests.support.fake_openai_server import Misbehaving, Reply, completion, serving, text_of

PROJECT = Path(__file__).parent.parent
SIZE = 4
"""Clips a shard."""
CLIPS_PER_KILL = 30
"""More than any kill waits for, so that the stage has something left to do at each."""


def main() -> None:
    """Kill, resume, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="3 kills")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    kills = 3 if chosen.quick else chosen.kills
    moments = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory(prefix="grace-text-kill-") as scratch:
        whole, killed = Path(scratch) / "whole", Path(scratch) / "killed"
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
    if not chosen.quick:
        write_atomic(PROJECT / "benchmarks/results/text_kill.json", (json.dumps(figures, indent=2) + "\n").encode())
    print(json.dumps(figures))


@dataclass
class Watch:
    """Answers, and notes the clips that it is asked about although their shard under ``data`` is committed."""

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
    print(f"killed after {len(server.asked) - before} requests", file=sys.stderr)


def start(data: Path, server: Misbehaving) -> subprocess.Popen[bytes]:
    """``grace refine`` with engine openai."""
    settings = {
        "data": data,
        "shards.clips": SIZE,
        "refine.engine": "openai",
        "refine.model": "m",
        "refine.queue": 2 * SIZE,
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
    write_clips(folder, [{**key, **dict.fromkeys(FOLD_COLUMNS, "train"), "label": "anger"} for key in keys], ["anger"])
    store = Store(folder / "captions", CAPTIONS)
    for shard in range(-(-clips // SIZE)):
        rows = [
            {**key, "caption": f"The brows rise slightly in {key['clip_id']}."}
            for key in keys[shard * SIZE : (shard + 1) * SIZE]
        ]
        store.write(shard, rows, {"fingerprint": f"captions-{shard}", "version": 1, "identity": {}})


if __name__ == "__main__":
    main()
