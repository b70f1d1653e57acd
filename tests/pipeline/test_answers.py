"""What is no answer never becomes one: thoughts, discarded drafts, special tokens, loops, endless text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grace.pipeline.engines import Response
from grace.pipeline.execution.runner import run
from grace.pipeline.sentences import split_sentences
from grace.pipeline.store import Row, Store
from grace.pipeline.store.schemas import CAPTIONS, DESCRIPTIONS
from grace.pipeline.text.answers import MAX_CHARACTERS, clean_response, drop_thoughts, plain_text
from grace.pipeline.text.caption import CaptionStep
from grace.pipeline.text.cues import read_answer
from grace.pipeline.text.prompts import quoted
from grace.pipeline.text.quality import looping, rejection_reason
from grace.pipeline.text.refine import RefineStep
from grace.pipeline.text.settings import CaptionSettings, RefineSettings
from tests.support.face_stores import write_clips_with_faces, write_texts
from tests.support.fake_engines import Script
from tests.support.texts import CAPTION, CUE, GOOD

DRAFT = json.dumps({"description": "The brows lower strongly. The lips press together.", "cues": []})
TEXT = "The brows rise slightly. The lips part."
THOUGHT = "Is it fear, or anger? The brows rise."


def caption(folder: Path, *answers: Response, attempts: int = 1) -> Row:
    write_clips_with_faces(folder, 1, instants=2)
    step = CaptionStep(CaptionSettings(model="script", max_attempts=attempts))
    step.engine = Script(*answers)
    run(step, folder, size=4, max_failed=1.0)
    (row,) = Store(folder / "captions", CAPTIONS).rows()
    return row


def refine(folder: Path, *answers: Response, attempts: int = 1) -> Row:
    write_clips_with_faces(folder, 1, instants=1)
    write_texts(folder, "captions", [CAPTION])
    step = RefineStep(RefineSettings(model="script", max_attempts=attempts))
    step.engine = Script(*answers)
    run(step, folder, size=4, max_failed=1.0)
    (row,) = Store(folder / "descriptions", DESCRIPTIONS).rows()
    return row


THOUGHTS = [
    *("<think>{}</think>", "{}</think>", "<thinking>{}</thinking>\n", "{}\n</thinking>\n", "<Think >{}</ think>"),
    *(
        "<reasoning>{}</reasoning>",
        "<thought>{}</thought>",
        "<think>{}</think>{}</think>",
        "<seed:think>{}</seed:think>",
    ),
    *("[THINK]{}[/THINK]", "◁think▷{}◁/think▷", "<|begin_of_thought|>{}<|end_of_thought|>", "<think></think>\n\n"),
    "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>",
    *("analysis{}assistantfinal", "<|channel>thought\n{}<channel|>", "<think reason='x'>{}</think>", "{}</analysis>"),
    *("<|START_THINKING|>{}<|END_THINKING|>", "<|START_THINKING|>{}<|END_THINKING|><|START_RESPONSE|>"),
    *("<unused94>thought\n{}<unused95>", "thought\n{}<unused95>", "<unused94>{}<unused95>"),
    *("&lt;think&gt;{}&lt;/think&gt;", "{}&#60;/think&#62;", "&lt;|end_thinking|&gt;", "&amp;lt;/think&amp;gt;"),
    *("Thinking: {}\nFinal answer: ", "Thinking: {} Final answer: ", "**Reasoning:** {}\n\n**Final answer:** "),
    *("### My thought process:\n{}\n### Answer:\n", "{}\nFinal answer: ", "Thoughts: {} Corrected answer: "),
]


@pytest.mark.parametrize("thoughts", THOUGHTS)
@pytest.mark.parametrize("thought", [THOUGHT, DRAFT])
def test_thoughts_are_dropped_with_and_without_an_opening_mark(thoughts: str, thought: str) -> None:
    answer = thoughts.replace("{}", thought)
    assert clean_response(Response(f"{answer}{TEXT}")).text == TEXT
    assert read_answer(clean_response(Response(answer + GOOD)).text).description == TEXT


OPEN = [
    *(
        "<think>",
        "<thinking>\n",
        "<think>So.</think> No: <think>",
        "[THINK]",
        "◁think▷",
        "<|channel|>analysis<|message|>",
    ),
    *("<reasoning>", "<|begin_of_thought|>", "<Thought>", "< think >", "<|channel>thought\n", "analysis"),
    *("<|START_THINKING|>", "<unused94>thought\n", "&lt;think&gt;"),
]


@pytest.mark.parametrize("opening", OPEN)
@pytest.mark.parametrize("reason", ["stop", "length"])
def test_thoughts_that_were_cut_are_no_answer(opening: str, reason: str, tmp_path: Path) -> None:
    answer = Response(f"{opening}{THOUGHT} {DRAFT}", finish_reason=reason)
    row = caption(tmp_path / "caption", answer)
    assert (row["caption"], row["status"]) == ("", "failed")
    assert "still thinking when its tokens ended" in row["error"]
    row = refine(tmp_path / "refine", answer)
    assert (row["description"], row["status"], row["cues"]) == (CAPTION, "fallback", [])
    assert "enable_thinking: false" in row["error"]


def test_thoughts_under_a_heading_without_an_answer_are_none(tmp_path: Path) -> None:
    row = caption(tmp_path / "caption", Response(f"Thinking: {THOUGHT}"))
    assert (row["caption"], row["status"]) == ("", "failed")
    row = refine(tmp_path / "refine", Response(f"Reasoning: {THOUGHT} {DRAFT} No. {GOOD}"))
    assert (row["description"], row["status"]) == (TEXT, "ok"), "the last whole object is the answer"


def test_a_text_that_only_holds_such_words_is_an_answer() -> None:
    for text in ("The brows rise, as in thinking: then the lips part.", "The final answer of the brows is a rise."):
        assert clean_response(Response(text)).text == text


@pytest.mark.parametrize(
    "beginning",
    [
        "Okay, let's see. ",
        "So, the user wants a caption. ",
        "Let me look. ",
        "Hmm, I need to be exact. ",
        "We need to answer. ",
    ],
)
def test_thoughts_without_any_mark_are_known_by_how_they_begin_when_they_are_cut(
    beginning: str, tmp_path: Path
) -> None:
    assert caption(tmp_path, Response(f"{beginning}{TEXT}", finish_reason="length"))["status"] == "failed"
    assert clean_response(Response(f"{beginning}{TEXT}")).text  # a whole answer is taken as it is


LAST = {
    "corrected": f"{DRAFT}\nCorrected answer: {GOOD}",
    "three": f"{DRAFT}\n{DRAFT}\n```json\n{GOOD}\n```",
    "remark after": f'{DRAFT} {GOOD} {{"confidence": 0.9}}',
    "broken draft": f"{DRAFT[:40]}\nNo, again: {GOOD}",
    "broken draft without quotes": f"{{description: The brows lower.}} Better: {GOOD}",
    "text with braces after": f"{DRAFT} {GOOD} (as you {{asked}})",
    "corrected one has a comma too many": f"{DRAFT} Corrected: {GOOD.replace('}]', '},]')}",
    "answer marked": f"<answer>{DRAFT}</answer> No. <answer>{GOOD}</answer>",
}


@pytest.mark.parametrize("how", LAST)
def test_the_last_of_several_answers_counts(how: str) -> None:
    parsed = read_answer(clean_response(Response(LAST[how])).text)
    assert parsed.description == TEXT
    assert [cue.model_dump() for cue in parsed.cues] == [CUE]


def test_a_draft_is_no_answer_when_the_tokens_ended_after_it(tmp_path: Path) -> None:
    row = refine(tmp_path, Response(f"{DRAFT} Wait, the captions say that", finish_reason="length"))
    assert (row["description"], row["status"]) == (CAPTION, "fallback")
    assert "went on after its answer" in row["error"]


def test_the_same_answer_again_and_again_is_that_answer(tmp_path: Path) -> None:
    row = refine(tmp_path, Response(f"{GOOD}\n{GOOD}\n{GOOD[:30]}", finish_reason="length"))
    assert (row["description"], row["status"]) == (TEXT, "ok")


SPECIAL = [
    *(
        "<|endoftext|>",
        "<|startoftext|>",
        "<|im_end|>",
        "</s>",
        "<pad>",
        "[SEP]",
        "[CLS]",
        "<start_of_turn>",
        "[/INST]",
    ),
    *(
        "<image>",
        "<image_soft_token>",
        "<unused12>",
        "<extra_id_0>",
        "<\uff5cend\u2581of\u2581sentence\uff5c>",
        "<<SYS>>",
    ),
]


@pytest.mark.parametrize("token", SPECIAL)
def test_special_tokens_in_answers_are_broken(token: str, tmp_path: Path) -> None:
    text = f"The brows rise slightly {token} and the lips part."
    assert token not in caption(tmp_path / "caption", Response(text))["caption"]
    cue = {**CUE, "action": f"inner {token} brow raise"}
    for escaped in (False, True):  # as JSON writes it after \\u
        written = json.dumps({"description": text, "cues": [cue]}, ensure_ascii=True)
        if escaped:
            written = written.replace("<", "\\u003c")
        row = refine(tmp_path / f"refine-{escaped}", Response(written))
        assert "and the lips part" in row["description"]
        assert token not in row["description"]
        assert token not in row["cues"][0]["action"]


def test_unprintable_characters_and_halves_of_characters_are_dropped(tmp_path: Path) -> None:
    text = "The brows\x00 rise\x1b[31m slightly\u202e.\ud800 The lips part\u200b."
    assert caption(tmp_path / "caption", Response(text))["caption"] == "The brows rise[31m slightly. The lips part."
    row = refine(tmp_path / "refine", Response(json.dumps({"description": text, "cues": []})))
    assert row["description"] == "The brows rise[31m slightly. The lips part."


def test_thoughts_hidden_in_json_are_no_description() -> None:
    with pytest.raises(ValueError, match="no description"):
        read_answer(r'{"description": "\u003cthink\u003eIs it fear?", "cues": []}')
    assert (
        read_answer(r'{"description": "Fear?\u003c/think\u003eThe lips part.", "cues": []}').description
        == "The lips part."
    )


def test_an_endless_answer_is_refused_but_its_thoughts_may_be_long(tmp_path: Path) -> None:
    row = caption(tmp_path, Response(f"{TEXT} " * (MAX_CHARACTERS // len(TEXT) + 1)))
    assert (row["status"], "characters, more than 20,000" in row["error"]) == ("failed", True)
    assert clean_response(Response(f"<think>{THOUGHT * 10_000}</think>{TEXT}")).text == TEXT


NUMBERED = [
    *("{}. The brows rise. ", "{}) The brows rise.\n", "Frame {}: the brows rise. ", "- Step {}: The brows rise.\n"),
    *(
        "**{}.** The brows rise and the lips part, then nothing changes. ",
        "At {}.5 s the lips part. ",
        "({}) THE lips part; ",
    ),
]


@pytest.mark.parametrize("entry", NUMBERED)
def test_a_numbered_loop_that_was_cut_is_a_loop(entry: str, tmp_path: Path) -> None:
    text = "".join(entry.format(number) for number in range(1, 9)) + entry.format(9)[:-4]
    assert looping(text, cut=True)
    row = caption(tmp_path, Response(text, finish_reason="length"), Response(TEXT), attempts=2)
    assert (row["caption"], row["attempts"], row["status"]) == (TEXT, 2, "ok")
    assert not looping(text), "a list with an entry for each of eight pictures may say the same of all"


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("First, the brows rise. Second, the brows rise. Third, the brows rise. Fourth, the brows rise. Fif", True),
        ("a) the lips part b) the lips part c) the lips part d) the lips part e) the l", True),
        ("The lips part. the lips part! THE LIPS PART, the lips part; the li", True),
        (f"{'The brows rise, the lips part, the jaw drops and the eyes widen in this picture. ' * 6}The br", True),
        ("The brows rise" + "." * 600, True),
        ("ha" * 200, True),
        ("1. The brows rise. 2. The lips part. 3. The jaw drops. 4. The eyes widen. 5. The brows", False),
        ("The left brow rises, the right brow rises, the left eye closes, the right eye closes, then the", False),
        ("At 0.1 s the brows rise; at 0.4 s the lips part; at 0.9 s the jaw drops; at 1.2 s all is", False),
    ],
)
def test_loops_of_other_forms(text: str, loops: bool) -> None:
    assert looping(text, cut=True) is loops


HOSTILE = [
    *(
        " ",
        "<",
        "<think>",
        "<think ",
        "</think",
        "{",
        '"',
        "\\",
        "\n",
        "{}",
        '{"a":',
        "[[",
        "'",
        "a",
        "(  ",
        "< ",
        "/*",
    ),
    *(
        "<|a",
        "<\uff5c",
        "<answer>",
        '{"description": "',
        "```json",
        "Thinking: ",
        "\nfinal answer",
        "&lt;think",
        "# ",
        ". ",
        "1. ",
        "</caption ",
        "\x00",
        "\ud800",
        "<a_b",
    ),
]


@pytest.mark.parametrize("unit", HOSTILE)
@pytest.mark.parametrize("before", ["", '{"description": "The lips part. ', "<think>"])
def test_a_megabyte_of_anything_is_read_to_its_end(unit: str, before: str) -> None:
    """What grows with the square of the length would take hours here."""
    text = before + unit * (1_000_000 // len(unit))
    drop_thoughts(text)
    plain_text(text)
    rejection_reason(text, cut=True)
    assert len(split_sentences(text)) >= 0
    assert quoted(text, "caption").startswith("<caption>")
    with pytest.raises(ValueError, match=r"answer|thinking"):
        read_answer(clean_response(Response(text, finish_reason="length")).text)


@pytest.mark.parametrize("unit", HOSTILE)
def test_broken_json_of_the_longest_answer_is_given_up_quickly(unit: str) -> None:
    with pytest.raises(ValueError, match="answer"):
        read_answer("{" + unit * ((MAX_CHARACTERS - 1) // len(unit)))
