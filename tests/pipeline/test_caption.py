"""Coarse captions: asked with pictures and times only, every clip has a row, a bad answer is asked for again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grace.pipeline.engines import Response
from grace.pipeline.errors import GraceError
from grace.pipeline.execution.runner import run
from grace.pipeline.media.images import decode_crop
from grace.pipeline.store import Row, Store, read_table, write_clips
from grace.pipeline.store.schemas import CAPTIONS, CLIPS, FACES
from grace.pipeline.text.caption import AnnotationStep, CaptionStep, caption_step, coarse_request, pick_instants
from grace.pipeline.text.prompts import Prompt, read_prompt
from grace.pipeline.text.settings import CaptionSettings
from tests.support.face_stores import PLANTED, write_clips_with_faces
from tests.support.fake_engines import Recorder, Script

Checkpoint = Callable[[str], Path]


def settings(model: Path | str = "script", **more: Any) -> CaptionSettings:
    return CaptionSettings.model_validate(
        {"model": str(model), "images": 3, "max_tokens": 8, "dtype": "float32", "device": "cpu", **more}
    )


def scripted(*answers: str | Response, **more: Any) -> CaptionStep:
    step = CaptionStep(settings(**more))
    step.engine = Script(*answers)
    return step


def rows_of(folder: Path) -> list[Row]:
    return list(Store(folder / "captions", CAPTIONS).rows())


def test_a_request_is_the_pictures_and_then_the_prompt_with_their_times() -> None:
    images = [np.full((8, 8, 3), shade, np.uint8) for shade in range(8)]
    request = coarse_request(images, [0.125 + 0.25 * k for k in range(8)], read_prompt("coarse-v1"))
    (message,) = request.messages
    assert [part["type"] for part in message["content"]] == ["image"] * 8 + ["text"]
    assert all(given is image for given, image in zip(request.images, images, strict=True))
    text = message["content"][-1]["text"]
    assert "These 8 pictures" in text
    assert "at 0.1, 0.4, 0.6, 0.9, 1.1, 1.4, 1.6, 1.9 seconds" in text
    assert "{" not in text


@pytest.mark.parametrize(
    ("count", "wanted", "picked"),
    [
        (16, 8, [1, 3, 5, 7, 9, 11, 13, 15]),
        (16, 1, [8]),
        (4, 8, [0, 1, 2, 3]),
        (5, 3, [0, 2, 4]),
        (16, 16, [*range(16)]),
    ],
)
def test_instants_are_the_centres_of_equal_segments(count: int, wanted: int, picked: list[int]) -> None:
    assert pick_instants(count, wanted) == picked


def test_a_real_model_captions_every_clip_and_the_row_says_how(tmp_path: Path, checkpoint: Checkpoint) -> None:
    write_clips_with_faces(tmp_path, 5, size=2)
    step = caption_step(settings(checkpoint("idefics3"), batch=2))
    summary = run(step, tmp_path, size=2)
    rows = rows_of(tmp_path)
    assert (summary.done, len(rows)) == (5, 5)
    for row in rows:
        assert row["caption"]
        assert (row["engine"], row["prompt"], row["n_images"]) == ("transformers", "coarse-v1", 3)
        assert (row["tokens_out"], row["finish_reason"], row["status"]) == (8, "length", "fallback")
        assert row["tokens_in"] > 100
        assert "cut short at 8 tokens" in row["error"]
        assert str(tmp_path.parent) not in row["model"]
    assert run(caption_step(settings(checkpoint("idefics3"), batch=4)), tmp_path, size=2).done == 0


def test_no_label_reaches_the_model(tmp_path: Path, checkpoint: Checkpoint) -> None:
    write_clips_with_faces(tmp_path, 3)
    step = CaptionStep(settings(checkpoint("idefics3")))
    recorder = step.engine = Recorder(step.engine)
    run(step, tmp_path, size=32)
    assert len(recorder.asked) == 3
    for request in recorder.asked:
        assert PLANTED not in repr(request)
        assert PLANTED.encode() not in b"".join(image.tobytes() for image in request.images)


def test_nothing_and_endless_repeats_are_asked_for_again_with_another_seed(tmp_path: Path) -> None:
    write_clips_with_faces(tmp_path, 3)
    endless = "the mouth opens and " * 12
    step = scripted("The brows rise.", " . ", endless, "The lips part.", "The jaw drops.", seed=5, max_attempts=2)
    run(step, tmp_path, size=32)
    assert [row["caption"] for row in rows_of(tmp_path)] == ["The brows rise.", "The lips part.", "The jaw drops."]
    assert [row["attempts"] for row in rows_of(tmp_path)] == [1, 2, 2]
    assert isinstance(step.engine, Script)
    assert [(request.seed, request.temperature > 0) for request in step.engine.asked] == [(5, False)] * 3 + [
        (6, True)
    ] * 2


def test_a_title_card_is_not_passed_off_as_a_face(tmp_path: Path) -> None:
    faces = write_clips_with_faces(tmp_path, 3)
    faces[0]["found"][:] = [False, False, True, False, True, False]
    faces[1]["found"][:] = False
    Store(tmp_path / "faces", FACES).write(0, faces, {"fingerprint": "x", "version": 1, "cache_key": {}})
    step = scripted("The brows rise.", "The lips part.", "The jaw drops.")
    run(step, tmp_path, size=32)
    assert isinstance(step.engine, Script)
    some, none, all_ = step.engine.asked
    shown = [decode_crop(faces[0]["frames"][instant]) for instant in (2, 4)]
    assert all(np.array_equal(a, b) for a, b in zip(some.images, shown, strict=True))
    assert [len(request.images) for request in (some, none, all_)] == [2, 3, 3]
    assert [row["n_images"] for row in rows_of(tmp_path)] == [2, 3, 3]
    assert [row["status"] for row in rows_of(tmp_path)] == ["ok", "fallback", "ok"]
    assert "no face was found in any picture" in rows_of(tmp_path)[1]["error"]


def test_a_clip_without_a_useful_answer_is_failed_with_the_cause(tmp_path: Path) -> None:
    write_clips_with_faces(tmp_path, 3)
    endless = "smile " * 40
    fault = Response(finish_reason="error", error="out of memory on this request alone")
    step = scripted("", endless, fault, "", endless, max_attempts=2)
    with pytest.raises(GraceError, match="caption failed 3 of 3"):
        run(step, tmp_path, size=32)
    rows = rows_of(tmp_path)
    assert {row["status"] for row in rows} == {"failed"}
    assert [row["error"] for row in rows] == [
        "caption: the model wrote no text",
        "caption: the model repeats itself",
        "caption: out of memory on this request alone",
    ]


def test_an_unreadable_crop_fails_its_clip_only(tmp_path: Path) -> None:
    write_clips_with_faces(tmp_path, 4, broken=1)
    run(scripted(*["The lips part."] * 3), tmp_path, size=32, max_failed=1.0)
    rows = rows_of(tmp_path)
    assert [row["status"] for row in rows] == ["ok", "failed", "ok", "ok"]
    assert "not a readable JPEG" in rows[1]["error"]


def test_an_edited_prompt_is_another_prompt(tmp_path: Path) -> None:
    own = tmp_path / "mine.md"
    own.write_text("What happens at {times}?")
    write_clips_with_faces(tmp_path, 2)
    assert run(scripted("One.", "Two.", prompt=str(own)), tmp_path, size=32).done == 2
    assert run(scripted(prompt=str(own)), tmp_path, size=32).done == 0
    own.write_text("What happens then, at {times}?")
    assert run(scripted("One.", "Two.", prompt=str(own)), tmp_path, size=32).done == 2
    assert rows_of(tmp_path)[0]["prompt"] == "mine"
    own.write_text("What happens?")
    with pytest.raises(ValueError, match=r"mine.md has no \{times\}"):
        scripted(prompt=str(own))
    with pytest.raises(ValueError, match="no prompt 'coarse-v9'"):
        scripted(prompt="coarse-v9")


def test_slots_are_filled_once_and_untrusted_text_stays_text() -> None:
    prompt = Prompt("p", "{a} and {b} and {c}")
    assert prompt.fill(a="{b} $x \\1", b="B") == "{b} $x \\1 and B and {c}"


def test_annotations_are_captions_without_a_model(tmp_path: Path) -> None:
    write_clips_with_faces(tmp_path, 3)
    clips = read_table(tmp_path / "clips.parquet", CLIPS)
    clips[1]["caption_human"] = "  The woman \n frowns. "
    clips[2]["caption_human"] = ""
    clips[0]["caption_human"] = "She smiles. || The lips  part.||"
    write_clips(tmp_path, clips, [PLANTED])
    step = caption_step(settings(engine="annotation"))
    assert isinstance(step, AnnotationStep)
    run(step, tmp_path, size=32, max_failed=1.0)
    rows = rows_of(tmp_path)
    assert (rows[1]["caption"], rows[1]["engine"], rows[1]["status"]) == ("The woman frowns.", "annotation", "ok")
    assert (rows[0]["caption"], rows[0]["samples"]) == ("She smiles.", ["The lips part."])
    assert rows[2]["status"] == "failed"
    assert "ships no text" in rows[2]["error"]


def test_several_captions_are_the_likeliest_and_drawn_ones(tmp_path: Path) -> None:
    write_clips_with_faces(tmp_path, 2)
    answers = ["One.", "One, drawn.", " ", "Two.", "Two, drawn.", "Two, drawn again.", "One, drawn again."]
    step = scripted(*answers, samples=3, max_attempts=2, seed=7)
    run(step, tmp_path, size=32)
    rows = rows_of(tmp_path)
    assert [row["caption"] for row in rows] == ["One.", "Two."]
    assert [row["samples"] for row in rows] == [
        ["One, drawn.", "One, drawn again."],
        ["Two, drawn.", "Two, drawn again."],
    ]
    assert isinstance(step.engine, Script)
    asked = [(request.seed, request.temperature > 0) for request in step.engine.asked]
    assert asked == [(7, False), (9, True), (11, True)] * 2 + [(12, True)]


def test_a_refusal_and_another_language_are_asked_for_again_and_then_fail(tmp_path: Path) -> None:
    write_clips_with_faces(tmp_path, 3)
    french = "Les sourcils se lèvent un peu, puis la bouche s'ouvre et les lèvres s'étirent."
    refusal = Response("No.", finish_reason="refusal")
    step = scripted(refusal, french, "I'm sorry, but I can't describe people.", "The lips part.", french, refusal)
    step.settings = settings(max_attempts=2)
    run(step, tmp_path, size=32, max_failed=1.0)
    assert [row["error"] for row in rows_of(tmp_path)] == [
        "",
        "caption: the text is not English",
        "caption: the model refuses",
    ]
