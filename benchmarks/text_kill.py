"""A text stage killed with SIGKILL sends no request again for a shard that it had committed, and loses nothing.

`grace refine` asks a real HTTP server on loopback; it is killed again and again, each time after a random number of
requests, and started once more, until it ends by itself. The server notes every clip it was asked about. At the end
every byte is compared with those of an undisturbed run.

    python benchmarks/text_kill.py [--quick] [--kills 20]

Ends with one line of JSON: kills; resume_ok, the share of kills after which no clip of a committed shard was asked
about again, 0 when the bytes differ; asked_again, the requests that were under way at a kill and so were sent twice.
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
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from pipeline.store import Store, write_clips
from pipeline.store.schemas import CAPTIONS, DESCRIPTIONS, FOLDS
from tests.pipeline.misbehaving import Misbehaving, Reply, completion, serving, text_of

PROJECT = Path(__file__).parent.parent
SIZE = 4
"""Clips a shard."""


def main() -> None:
    """Kill, resume, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="3 kills")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    kills = 3 if chosen.quick else chosen.kills
    moments = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory(prefix="grace-text-kill-") as scratch, serving(Misbehaving(answer)) as server:
        whole, killed = Path(scratch) / "whole", Path(scratch) / "killed"
        for data in (whole, killed):
            write_dataset(data / "set", clips=30 * kills)
        start(whole, server).wait()
        wanted = content(whole)
        server.asked.clear()
        fine = 0
        for number in range(kills):
            committed, before = clips_in_shards(killed), len(server.asked)
            kill_after(moments.randint(1, 25), killed, server)
            if len(server.asked) == before:
                sys.exit(f"kill {number + 1}: the stage had nothing left to ask")
            fine += not committed.intersection(asked(server)[before:])
        committed, before = clips_in_shards(killed), len(server.asked)
        if start(killed, server).wait() != 0:
            sys.exit("the last run failed")
        again = committed.intersection(asked(server)[before:])
        same = content(killed) == wanted and not again
    twice = len(server.asked) - 30 * kills
    print(json.dumps({"kills": kills, "resume_ok": fine / kills if same else 0.0, "asked_again": twice}))


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


def asked(server: Misbehaving) -> list[str]:
    """The clips that the server was asked about, in order."""
    return [name_in(body) for body in server.asked]


def clips_in_shards(data: Path) -> set[str]:
    """The clips whose descriptions are committed."""
    store = Store(data / "set" / "descriptions", DESCRIPTIONS)
    return {row["clip_id"] for shard in store.shards() for row in store.read(shard, ["clip_id"])}


def content(data: Path) -> dict[str, bytes]:
    """Every file of the descriptions."""
    return {path.name: path.read_bytes() for path in sorted((data / "set" / "descriptions").glob("*.parquet"))}


def write_dataset(folder: Path, clips: int) -> None:
    """Clips and their coarse captions."""
    keys = [{"clip_id": f"clip-{number:04d}", "status": "ok", "error": ""} for number in range(clips)]
    write_clips(folder, [{**key, **dict.fromkeys(FOLDS, "train"), "label": "anger"} for key in keys], ["anger"])
    store = Store(folder / "captions", CAPTIONS)
    for shard in range(-(-clips // SIZE)):
        rows = [
            {**key, "caption": f"The brows rise slightly in {key['clip_id']}."}
            for key in keys[shard * SIZE : (shard + 1) * SIZE]
        ]
        store.write(shard, rows, {"fingerprint": f"captions-{shard}", "version": 1, "identity": {}})


if __name__ == "__main__":
    main()
