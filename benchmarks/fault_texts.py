"""Trials of kept answers: what was asked of a model is asked once, and no key of a server is kept or said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.fault_bases import NEW, caption, succeed
from benchmarks.fault_trial import Outcome, Ran, Trial, grace, held_if, result_of

REFUSAL = "I'm sorry, but I can't help with that."
LONG = json.dumps({"description": f"The brows rise {'and then they fall again ' * 12}.", "cues": []})
"""An answer that is kept for want of a better one: its sentence is longer than an encoder reads."""
NO_JSON = "The brows rise and the lips part."
Change = Callable[[str, str], tuple[str, ...]]
"""Gets the stage and the server's address; returns what is added to the command that asks again."""
SECRET = "sk-loopback-4711"
URL = f"http://{SECRET}:{SECRET}@127.0.0.1:9/v1?api-key={SECRET}"


@contextmanager
def answering(text: str) -> Iterator[Any]:
    """A server on loopback that gives every question this answer."""
    from benchmarks.server_faults import Behaviour, http, message, misbehaving

    with misbehaving(
        Behaviour(text, "answer", "", lambda: [http(json.dumps(message(content=text)).encode())])
    ) as server:
        yield server


def ask(stage: str, url: str, *more: str) -> Ran:
    """The text stage by a server, of which every question is poisoned, and so answered alike."""
    slots = {"caption": "Times: {times}. poisoned question", "refine": "{captions} poisoned question"}
    Path("asked.md").write_text(slots[stage])
    settings = {"prompt": "asked.md", "engine": "openai", "model": "m", "server.url": url, "max_attempts": 2}
    words = [word for key, value in settings.items() for word in ("-S", f"{stage}.{key}={value}")]
    return grace(stage, "-d", "chain", *words, "-S", "refine.overrides=nowhere", "-S", "max_failed=1.0", *more)


def asked_once(stage: str, text: str, change: Change, again: bool, folder: Path) -> Outcome:
    """Answers that are rejected or second best: no old question is asked again, but where ``again`` asks for it."""
    with answering(text) as server:
        first = ask(stage, server.url)
        if first.failure:
            return first.failure
        before = len(server.received)
        words = change(stage, server.url)
        ran = ask(stage, server.url, *words)
        asked = sum(request.startswith(b"POST") for request in server.received[before:])
    return result_of(ran, lambda: bool(asked) == again, f"{asked} questions were asked again")


FOLDER = {"caption": "captions", "refine": "descriptions"}


def _removed(stage: str, url: str) -> tuple[str, ...]:
    shutil.rmtree(f"data/chain/{FOLDER[stage]}")
    return ()


def _other_shards(stage: str, url: str) -> tuple[str, ...]:
    more = ("-S", "shards.clips=3")
    succeed("faces", "-d", "chain", *more)
    if stage == "refine":
        succeed(*caption(url), *more)
    return more


def _retry(stage: str, url: str) -> tuple[str, ...]:
    return ("--retry-failed",)


def stored(first: str, second: str, again: str, folder: Path) -> Outcome:
    """A useless answer is forgotten by one run, and a good one paid for by the next: a third one finds the good one."""
    from grace.pipeline.engines import Response
    from grace.pipeline.engines.responses import ResponseStore

    where = folder / "kept"
    _write(where, first, "x", lambda store: (store.add("key", Response("useless")), store.forget("key")))
    if again == "forgotten":
        return held_if(ResponseStore(where).get("key") is None, "a forgotten answer is given")
    _write(where, second, "y", lambda store: store.add("key", Response("good")))
    found = ResponseStore(where).get("key")
    return held_if(found is not None and found.text == "good", f"the answer is {found}")


def forgotten(first: str, second: str, folder: Path) -> Outcome:
    """An answer that another run forgets does not come back, whatever the order of their files."""
    from grace.pipeline.engines import Response
    from grace.pipeline.engines.responses import ResponseStore

    where = folder / "kept"
    _write(where, first, "x", lambda store: store.add("key", Response("useless")))
    _write(where, second, "y", lambda store: store.forget("key"))
    return held_if(ResponseStore(where).get("key") is None, "a forgotten answer is given")


def _write(where: Path, name: str, old: str, work: Callable[[Any], object]) -> None:
    """Let a run of its own write to the store, in a file of this name."""
    from grace.pipeline.engines.responses import ResponseStore

    before = set(where.glob("*.jsonl"))
    store = ResponseStore(where)
    work(store)
    store.close()
    (made,) = set(where.glob("*.jsonl")) - before
    made.rename(where / f"{name * 32}.jsonl")


def without_key(words: tuple[str, ...], folder: Path) -> Outcome:
    """A server whose address holds a key: neither files nor messages have it."""
    ran = grace(*words)
    told = [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    if told or SECRET in ran.output:
        return Outcome("silent", f"the key is in {', '.join(path.name for path in told) or 'the message'}")
    return ran.failure or Outcome("held")


def trials(seed: int) -> list[Trial]:
    """Answers and keys."""
    changes: dict[str, tuple[Change, bool]] = {
        "removed": (_removed, False),
        "other shards": (_other_shards, False),
        "retried": (_retry, True),
    }
    answers = {
        ("refine", "second best"): LONG,
        ("refine", "no JSON"): NO_JSON,
        ("caption", "a refusal"): REFUSAL,
    }
    found = [
        Trial("stale", f"{stage}, {kind}, {name}", partial(asked_once, stage, text, change, again), ("held",), "chain")
        for (stage, kind), text in answers.items()
        for name, (change, again) in changes.items()
        if stage == "caption" or name != "retried"
    ]
    for first, second in (("0", "f"), ("f", "0")):
        for after in ("forgotten", "answered"):
            attempt = partial(stored, first, second, after)
            found.append(Trial("stale", f"kept answers, {after}, files {first} and {second}", attempt, ("held",)))
        attempt = partial(forgotten, first, second)
        found.append(
            Trial("stale", f"kept answers, forgotten by another, files {first} and {second}", attempt, ("held",))
        )
    key = ("-S", f"caption.server.url={URL}")
    found.append(
        Trial("servers", "a key in the address, trained", partial(without_key, (*NEW, *key)), ("held",), "toy")
    )
    asking = ("caption", "-d", "chain", *key, "-S", "caption.server.retry_timeout=0.1", "-S", "caption.images=1")
    found.append(
        Trial(
            "servers", "a key in the address, asked", partial(without_key, asking), ("sentence",), "chain", ("server",)
        )
    )
    return found
