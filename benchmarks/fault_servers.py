"""Trials of engine ``openai`` against servers that misbehave: the table of :mod:`benchmarks.server_faults`."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.fault_trial import Outcome, Trial, crashed
from benchmarks.server_faults import BEHAVIOURS, GOOD_TEXT, KEY, POISON, Behaviour, answer, http, misbehaving

if TYPE_CHECKING:
    from grace.pipeline.engines import Response

KIND = "servers"
VERDICT = {"row": "row", "sentence": "sentence", "answer": "held"}
FINISHES = {
    "max_tokens": "length",
    "MAX_TOKENS": "length",
    "Length": "length",
    "model_length": "length",
    "SAFETY": "refusal",
    "recitation": "refusal",
    "content_filter": "refusal",
    "abort": "error",
    "error": "error",
    "eos": "stop",
    "end_turn": "stop",
    "STOP": "stop",
}
"""What servers call the end of an answer, and what it is: whole, cut, refused, or none."""


def trials(seed: int) -> list[Trial]:
    """One trial a behaviour, whose outcome in the table is the only right one, and one for each end of an answer."""
    found = [
        Trial(KIND, each.name, partial(ask, each), (VERDICT[each.outcome],), says=(each.says,)) for each in BEHAVIOURS
    ]
    for name, reason in FINISHES.items():
        right = "row" if reason == "error" else "held"
        found.append(Trial(KIND, f"finish_reason {name}", partial(finished, name, reason), (right,), says=("server",)))
    return found


def asked(behaviour: Behaviour, folder: Path) -> list[Response]:
    """The responses to three questions, the second of which is misanswered."""
    from grace.pipeline.engines import Request, openai
    from grace.pipeline.engines.responses import CachedEngine, ResponseStore
    from grace.pipeline.engines.settings import ServerSettings

    os.environ["OPENAI_API_KEY"] = KEY
    openai.FIRST_PAUSE = 0.01  # type: ignore[misc]
    chats = [({"role": "user", "content": [{"type": "text", "text": text}]},) for text in ("before", POISON, "after")]
    with misbehaving(behaviour) as server:
        settings = ServerSettings(url=server.url, timeout=1.0, retry_timeout=0.3 if "busy" in behaviour.name else 10.0)
        engine = CachedEngine(openai.OpenAIEngine("m", settings), ResponseStore(folder / "responses"))
        try:
            engine.open()
            return list(engine.generate([Request(chat) for chat in chats]))
        finally:
            engine.close()


def ask(behaviour: Behaviour, folder: Path) -> Outcome:
    """A question is misanswered: it costs no other one, and no key is in what is kept or said."""
    try:
        before, poisoned, after = asked(behaviour, folder)
    except Exception as error:
        outcome = crashed(error)
    else:
        outcome = Outcome("row", poisoned.error) if poisoned.error else Outcome("held", poisoned.text)
        if (before.text, after.text) != (GOOD_TEXT, GOOD_TEXT):
            outcome = Outcome("silent", "another question was answered otherwise")
    told = [outcome.detail, *(file.read_text() for file in folder.rglob("*.jsonl"))]
    if any(KEY[:12] in text for text in told):
        return Outcome("silent", "the key was repeated")
    if outcome.verdict == "held" and behaviour.says not in outcome.detail:
        return Outcome("silent", f"another answer than '{behaviour.says}': {outcome.detail}")
    return outcome


def finished(name: str, reason: str, folder: Path) -> Outcome:
    """An answer that ended as a server calls it: one that was cut, refused or failed is not taken for a whole one."""
    choice = {"finish_reason": name, "message": {"role": "assistant", "content": "The brows rise and the mou"}}
    content = http(json.dumps(answer(choices=[choice])).encode())
    response = asked(Behaviour(name, "answer", "", lambda: [content]), folder)[1]
    if response.finish_reason != reason:
        return Outcome("silent", f"'{name}' is taken for '{response.finish_reason}'")
    return Outcome("row", response.error) if response.error else Outcome("held")
