"""No answer is bought twice: requests are counted at a real server, with answers of no use among the clips."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grace.pipeline.engines.settings import ServerSettings
from grace.pipeline.execution.runner import run
from grace.pipeline.store import Row, Store, write_clips
from grace.pipeline.store.schemas import CAPTIONS, DESCRIPTIONS, FACES
from grace.pipeline.text.caption import CaptionStep
from grace.pipeline.text.refine import RefineStep
from grace.pipeline.text.settings import CaptionSettings, RefineSettings
from tests.support.face_stores import jpeg
from tests.support.fake_openai_server import Misbehaving, Reply, completion, serving, text_of
from tests.support.texts import GOOD

LONG = json.dumps({"description": "The brows rise " + "and then fall and rise again slowly " * 9 + ".", "cues": []})
REPLIES = {"good": GOOD, "long": LONG, "refusing": "I'm sorry, but I can't help with that.", "broken": GOOD[:30]}
"""What the server answers about a clip, by a word in its id."""
CLIPS = ["b-good", "c-long", "d-refusing", "e-good", "f-broken", "g-long", "h-good"]
MET = {"status": "ok", "error": ""}


def write_set(folder: Path, clips: Sequence[str], size: int) -> None:
    """Faces and captions of clips; what is asked about one does not depend on the others."""
    write_clips(folder, [{"clip_id": name, "n_frames": 9, **MET} for name in clips], ["fear"])
    captions = [{"clip_id": name, "caption": f"The brows rise. The lips part. It is {name}.", **MET} for name in clips]
    for kind, schema, rows in (("captions", CAPTIONS, captions), ("faces", FACES, [_faces(name) for name in clips])):
        store = Store(folder / kind, schema)
        for shard in range(-(-len(clips) // size)):
            part = rows[shard * size : (shard + 1) * size]
            meta = {"fingerprint": str([row["clip_id"] for row in part]), "version": 1, "cache_key": {}}
            store.write(shard, part, meta)


def _faces(name: str) -> Row:
    """A clip with one picture, whose time tells the server which clip it is."""
    rng = np.random.default_rng(sum(name.encode()))
    return {
        "clip_id": name,
        **MET,
        "frames": [jpeg(rng)],
        "neighbours": [jpeg(rng)],
        "size": np.array([64, 64], np.int32),
        "boxes": np.zeros((1, 4), np.float32),
        "times": np.array([sum(name.encode()) / 10], np.float32),
        "found": np.ones(1, bool),
    }


def reply(body: dict[str, Any], before: int) -> Reply:
    """Answers to refine by the id in the caption, to caption by the time of the picture; no two are the same."""
    asked = text_of(body)
    for name in (*CLIPS, "a-good"):
        if f"It is {name}." in asked:
            return completion(REPLIES[name.partition("-")[2]])
        if f"{sum(name.encode()) / 10:.1f}" in asked:
            refused = name.endswith(("refusing", "broken"))
            return completion(REPLIES["refusing"] if refused else f"The brows of {name} rise.")
    raise AssertionError(asked)


def refine(folder: Path, server: Misbehaving, size: int = 2, retry_failed: bool = False, **more: Any) -> list[Row]:
    there = ServerSettings(url=server.url, retry_timeout=5.0)
    step = RefineStep(RefineSettings(engine="openai", model="m", server=there, **more))
    run(step.keep_responses(folder / "responses/refine"), folder, size=size, retry_failed=retry_failed)
    return list(Store(folder / "descriptions", DESCRIPTIONS).rows())


def caption(folder: Path, server: Misbehaving, size: int = 2, retry_failed: bool = False, **more: Any) -> list[Row]:
    there = ServerSettings(url=server.url, retry_timeout=5.0)
    step = CaptionStep(CaptionSettings(engine="openai", model="m", server=there, **more))
    responses = folder / "responses/caption"
    run(step.keep_responses(responses), folder, size=size, retry_failed=retry_failed, max_failed=1.0)
    return list(Store(folder / "captions", CAPTIONS).rows())


@pytest.mark.parametrize("stage", [refine, caption])
def test_only_new_questions_are_sent_whatever_became_of_the_old_answers(stage: Any, tmp_path: Path) -> None:
    with serving(Misbehaving(reply)) as server:
        write_set(tmp_path, CLIPS, 2)
        first = stage(tmp_path, server)
        assert len(server.asked) == 3 + (4 * 3 if stage is refine else 2 * 3 + 2)
        server.asked.clear()

        write_set(tmp_path, ["a-good", *CLIPS], 2)  # each clip is in another shard
        shifted = stage(tmp_path, server)
        assert len(server.asked) == 1
        assert shifted[1:] == first
        server.asked.clear()

        write_set(tmp_path, ["a-good", *CLIPS], 3)
        assert stage(tmp_path, server, size=3) == shifted
        assert server.asked == []

        stage(tmp_path, server, size=3, max_tokens=99)
        assert server.asked
        server.asked.clear()
        assert stage(tmp_path, server, size=3) == shifted
        assert server.asked == []


def test_retry_failed_asks_anew_where_nothing_was_of_use_and_nowhere_else(tmp_path: Path) -> None:
    """Two clips have the coarse caption; texts that are too long are kept, and not asked for again."""
    answers = dict(REPLIES)

    def changing(body: dict[str, Any], before: int) -> Reply:
        return completion(next(text for name, text in answers.items() if f"-{name}." in text_of(body)))

    with serving(Misbehaving(changing)) as server:
        write_set(tmp_path, CLIPS, 2)
        first = refine(tmp_path, server)
        server.asked.clear()
        assert refine(tmp_path, server, retry_failed=True) == first
        assert len(server.asked) == 2 * 3
        server.asked.clear()

        answers["refusing"] = GOOD
        retried = refine(tmp_path, server, retry_failed=True)
        assert len(server.asked) == 1 + 3
        assert [row["status"] for row in retried] == ["ok", "fallback", "ok", "ok", "fallback", "fallback", "ok"]
        server.asked.clear()

        write_set(tmp_path, CLIPS[1:], 2)
        assert refine(tmp_path, server) == retried[1:]
        assert server.asked == []


def test_retry_failed_asks_for_a_failed_caption_and_keeps_the_samples_that_are_there(tmp_path: Path) -> None:
    with serving(Misbehaving(reply)) as server:
        write_set(tmp_path, ["b-good", "d-refusing"], 2)
        caption(tmp_path, server, samples=2)
        server.asked.clear()
        rows = caption(tmp_path, server, samples=2, retry_failed=True)
        assert [row["status"] for row in rows] == ["ok", "failed"]
        assert len(server.asked) == 3
