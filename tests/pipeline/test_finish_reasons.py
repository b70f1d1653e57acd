"""Why an answer ended, in the words of any server: what broke off is never taken for a whole answer."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from grace.pipeline.engines import Request
from grace.pipeline.engines.openai import OpenAIEngine
from grace.pipeline.engines.settings import ServerSettings
from grace.pipeline.engines.vllm_replica import _response
from tests.support.fake_openai_server import Misbehaving, completion, serving

QUESTION = Request(({"role": "user", "content": [{"type": "text", "text": "What does the face do?"}]},))


@pytest.mark.parametrize(
    ("reason", "meant"),
    [
        *((each, "stop") for each in ("stop", "STOP", "eos", "end_turn", "")),
        *((each, "length") for each in ("length", "Length", "max_tokens", "MAX_TOKENS", "model_length")),
        *((each, "refusal") for each in ("content_filter", "SAFETY", "recitation")),
        *((each, "error") for each in ("abort", "error", "ERROR", "tool_calls", "something new")),
    ],
)
def test_an_answer_that_was_cut_is_never_taken_for_a_whole_one(
    reason: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grace.pipeline.engines.openai.FIRST_PAUSE", 0.01)
    with serving(Misbehaving(lambda body, before: completion("The brows rise and the mou", reason))) as server:
        engine = OpenAIEngine("m", ServerSettings(url=server.url, timeout=5, retry_timeout=5))
        engine.open()
        (answer,) = engine.generate([QUESTION])
        engine.close()
    assert answer.finish_reason == meant
    assert (answer.text, answer.error != "") == (
        ("", True) if meant == "error" else ("The brows rise and the mou", False)
    )
    assert reason in answer.error or meant != "error"
    output = SimpleNamespace(text="The brows", token_ids=[1, 2], finish_reason=reason)
    told = _response(SimpleNamespace(outputs=[output], prompt_token_ids=[1]), "")  # type: ignore[arg-type]
    assert (told.finish_reason, told.text) == (meant, "" if meant == "error" else "The brows")
