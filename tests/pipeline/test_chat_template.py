"""Options of a chat template reach every engine, a misspelt one is refused, and thoughts it opens are marked."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from grace.pipeline.engines import make_engine
from grace.pipeline.engines.chat_template import require_options
from grace.pipeline.engines.thoughts import decode_with_marks, opened_thoughts, thought_tokens
from grace.pipeline.engines.transformers import TransformersEngine
from grace.pipeline.errors import UserError
from grace.pipeline.text.prompts import read_prompt
from grace.pipeline.text.refine import refine_request
from grace.pipeline.text.settings import RefineSettings
from grace.settings import load_settings
from tests.support.fake_openai_server import Misbehaving, completion, serving, trouble
from tests.support.texts import CAPTION, GOOD

Checkpoint = Callable[[str], Path]
THINKING = (
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% else %}<think>\n{% endif %}"
)
OFF = {"enable_thinking": False}
REQUEST = replace(refine_request([CAPTION], read_prompt("refine-v1")), max_tokens=4)


@pytest.fixture(params=["llama", "qwen2_5_vl"])
def thinker(request: Any, tmp_path: Path, checkpoint: Checkpoint) -> Path:
    """A reasoning model: its template opens the thoughts, unless told not to."""
    folder = tmp_path / "thinker"
    shutil.copytree(checkpoint(request.param), folder)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text() + THINKING)
    return folder


def engine_of(folder: Path | str, **more: Any) -> Any:
    return make_engine(
        RefineSettings.model_validate({"model": str(folder), "device": "cpu", "dtype": "float32", **more})
    )


def test_thoughts_that_the_template_opens_are_marked_in_the_answer(thinker: Path) -> None:
    (answer,) = engine_of(thinker).generate([REQUEST])
    assert answer.text.startswith("<think>")
    (answer,) = engine_of(thinker, chat_template_kwargs=OFF).generate([REQUEST])
    assert "<think>" not in answer.text


def test_options_reach_the_prompt_of_the_local_engine(thinker: Path) -> None:
    engine = engine_of(thinker, chat_template_kwargs=OFF)
    engine.open()
    (prompt,) = engine.chat._prompts([REQUEST])
    assert prompt.endswith("<think>\n\n</think>\n\n")


def test_an_option_that_the_template_does_not_know_is_refused(thinker: Path) -> None:
    engine = engine_of(thinker, chat_template_kwargs={"enable_thinkin": False})
    with pytest.raises(UserError, match="thinker has no option 'enable_thinkin'"):
        list(engine.generate([REQUEST]))
    with pytest.raises(UserError, match="no option 'x'"):
        require_options({"x": 1}, {"default": "{{ messages }}", "tool_use": "{{ tools }}"}, "m")
    require_options({"x": 1}, None, "m")  # not known: left to the engine


def test_options_reach_a_server() -> None:
    with serving(Misbehaving(lambda body, before: completion(GOOD))) as server:
        settings = {"engine": "openai", "server": {"url": server.url, "retry_timeout": 5}}
        engine = engine_of("m", **settings, chat_template_kwargs=OFF)
        engine.open()
        (answer,) = engine.generate([REQUEST])
        engine.close()
    assert answer.text == GOOD
    assert [body["chat_template_kwargs"] for body in server.asked] == [OFF]


def test_a_server_that_takes_no_options_says_so_instead_of_thinking_on() -> None:
    refusal = trouble(400, "Unrecognized request argument supplied: chat_template_kwargs")
    with serving(Misbehaving(lambda body, before: refusal)) as server:
        settings = {"engine": "openai", "server": {"url": server.url, "retry_timeout": 5}}
        engine = engine_of("m", **settings, chat_template_kwargs=OFF)
        engine.open()
        (answer,) = engine.generate([REQUEST])
        engine.close()
    assert "chat_template_kwargs" in answer.error


@pytest.mark.parametrize("engine", ["transformers", "openai", "vllm"])
def test_options_are_part_of_what_was_asked_and_none_change_nothing(engine: str, checkpoint: Checkpoint) -> None:
    folder = checkpoint("llama")
    plain, off = (engine_of(folder, engine=engine, chat_template_kwargs=each).cache_key() for each in ({}, OFF))
    assert off == {**plain, "chat_template_kwargs": OFF}
    assert "chat_template_kwargs" not in plain


def test_options_are_set_in_params_and_what_the_engine_sets_itself_is_refused() -> None:
    settings = load_settings(None, ["refine.chat_template_kwargs={enable_thinking: false}"])
    assert settings.refine.chat_template_kwargs == OFF
    for taken in ("tokenize", "add_generation_prompt", "chat_template", "tools"):
        with pytest.raises(UserError, match=f"{taken} is set by the engine"):
            load_settings(None, [f"caption.chat_template_kwargs={{{taken}: true}}"])


def test_special_tokens_that_mark_thoughts_stay_in_the_text() -> None:
    marks = thought_tokens({"[THINK]": 7, "[/THINK]": 8, "◁/think▷": 9, "</s>": 2, "<|im_end|>": 3, "think": 4})
    assert marks == {7: "[THINK]", 8: "[/THINK]", 9: "◁/think▷"}
    decode: Callable[[list[int]], str] = lambda tokens: "".join(f"w{token}" for token in tokens if token != 3)  # noqa: E731
    assert decode_with_marks([7, 1, 8, 5, 3], marks, decode) == "[THINK]w1[/THINK]w5"
    assert decode_with_marks([1, 5, 3], marks, decode) == "w1w5"


@pytest.mark.parametrize(
    ("prompt", "mark"),
    [
        ("user\nHi\nassistant\n<think>\n", "<think>"),
        ("assistant\n<think>", "<think>"),
        ("[INST]Hi[/INST][THINK]", "[THINK]"),
        ("assistant\n<think>\n\n</think>\n\n", ""),
        ("user\nwhat does <think> mean?\nassistant\n", ""),
        ("", ""),
    ],
)
def test_only_a_mark_at_the_end_of_a_prompt_opens_thoughts(prompt: str, mark: str) -> None:
    assert opened_thoughts(prompt) == mark


def test_an_engine_made_before_takes_no_options() -> None:
    assert TransformersEngine("m").template_options == {}
