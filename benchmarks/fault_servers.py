"""Trials of engine ``openai`` against servers that misbehave: the table of :mod:`benchmarks.server_faults`."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from benchmarks.fault_trial import Outcome, Trial, crashed
from benchmarks.server_faults import BEHAVIOURS, GOOD_TEXT, KEY, POISON, Behaviour, misbehaving

KIND = "servers"
VERDICT = {"row": "row", "sentence": "sentence", "answer": "held"}


def trials(seed: int) -> list[Trial]:
    """One trial a behaviour; its outcome in the table is the only right one."""
    return [
        Trial(KIND, each.name, partial(ask, each), (VERDICT[each.outcome],), says=(each.says,)) for each in BEHAVIOURS
    ]


def ask(behaviour: Behaviour, folder: Path) -> Outcome:
    """Ask three questions, the second of which is misanswered; no key may be in what is kept or said."""
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
            before, poisoned, after = engine.generate([Request(chat) for chat in chats])
        except Exception as error:
            outcome = crashed(error)
        else:
            outcome = Outcome("row", poisoned.error) if poisoned.error else Outcome("held", poisoned.text)
            if (before.text, after.text) != (GOOD_TEXT, GOOD_TEXT):
                outcome = Outcome("silent", "another question was answered otherwise")
        finally:
            engine.close()
    told = [outcome.detail, *(file.read_text() for file in folder.rglob("*.jsonl"))]
    if any(KEY[:12] in text for text in told):
        return Outcome("silent", "the key was repeated")
    if outcome.verdict == "held" and behaviour.says not in outcome.detail:
        return Outcome("silent", f"another answer than '{behaviour.says}': {outcome.detail}")
    return outcome
