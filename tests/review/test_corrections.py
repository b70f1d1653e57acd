"""Corrections: nothing of two people is lost, everything can be taken back, and the stages take it up."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from grace.pipeline.errors import UserError
from grace.pipeline.index.marks import Mark, read_marks
from grace.pipeline.store import Store
from grace.pipeline.store.schemas import DESCRIPTIONS
from grace.pipeline.text.overrides import read_override_rows
from grace.review.corrections import ConflictError, Corrections, Said
from tests.support.review_server import ReviewServer

CUE = {"region": "jaw", "action": "drops", "intensity": "strongly", "phase": "apex"}
FRESH = Said().version


@pytest.fixture
def corrections(tmp_path: Path) -> Corrections:
    return Corrections(tmp_path / "overrides", "many")


def test_a_correction_is_written_as_the_stages_read_it(corrections: Corrections) -> None:
    said = corrections.change("a", FRESH, {"description": " The jaw\n drops. ", "cues": [CUE]}, "ann")
    corrections.change("a", said.version, {"mark": "doubtful", "reason": "she laughs"}, "ann")
    read = read_override_rows(corrections.texts)["a"]
    assert read.description == "The jaw drops."
    assert read.cues is not None and read.cues[0].model_dump() == CUE
    assert read_marks(corrections.marks) == {"a": Mark("doubtful", "she laughs")}


def test_the_second_of_two_who_saw_the_same_is_told(corrections: Corrections) -> None:
    corrections.change("a", FRESH, {"description": "First."}, "ann")
    with pytest.raises(ConflictError):
        corrections.change("a", FRESH, {"description": "Second."}, "ben")
    assert corrections.get("a").description == "First."
    corrections.change("a", corrections.get("a").version, {"description": "Second."}, "ben")
    assert [entry["by"] for entry in corrections.entries("a")] == ["ann", "ben"]


def test_many_at_once_lose_nothing(corrections: Corrections) -> None:
    def write(number: int) -> bool:
        try:
            corrections.change(f"clip-{number % 10}", FRESH, {"description": f"Text {number}."}, f"p{number}")
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(40)))
    assert sum(won) == 10
    assert len(corrections.all()) == 10
    assert len(corrections.entries()) == 10
    for clip_id, said in corrections.all().items():
        assert corrections.entries(clip_id)[-1]["after"]["description"] == said.description


def test_undo_goes_back_step_by_step_and_no_further(corrections: Corrections) -> None:
    version = FRESH
    for text in ("One.", "Two.", "Three."):
        version = corrections.change("a", version, {"description": text}, "ann").version
    for text in ("Two.", "One.", ""):
        said = corrections.undo("a", version, "ben")
        assert said.description == text
        version = said.version
    assert "a" not in read_override_rows(corrections.texts)
    with pytest.raises(UserError, match="nothing to undo"):
        corrections.undo("a", version, "ben")


def test_a_history_line_that_a_crash_cut_short_is_left_out(corrections: Corrections) -> None:
    said = corrections.change("a", FRESH, {"description": "One."}, "ann")
    with corrections.history.open("a") as file:
        file.write('{"id": "x", "clip_id"')
    said = corrections.change("a", said.version, {"description": "Two."}, "ann")
    assert [entry["after"]["description"] for entry in corrections.entries("a")] == ["One.", "Two."]
    assert corrections.undo("a", said.version, "ann").description == "One."


def test_edits_by_hand_are_kept(corrections: Corrections) -> None:
    corrections.folder.mkdir()
    corrections.texts.write_text('clip_id,description\nb,"By hand, twice."\n')
    corrections.change("a", FRESH, {"description": "By page."}, "ann")
    assert {clip: said.description for clip, said in corrections.all().items()} == {
        "a": "By page.",
        "b": "By hand, twice.",
    }


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"description": 5}, "no text"),
        ({"description": "x" * 5000}, "at most 4000"),
        ({"description": "\ud800"}, "UTF-8"),
        ({"description": "a", "cues": "smile"}, "no list"),
        ({"description": "a", "cues": [{"region": "elbow"}]}, "A cue needs"),
        ({"mark": "nice", "reason": "x"}, "marked unusable or doubtful"),
        ({"mark": "unusable", "reason": " "}, "needs a reason"),
    ],
)
def test_what_is_no_correction_is_said_and_changes_nothing(
    corrections: Corrections, changes: dict[str, object], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        corrections.change("a", FRESH, changes, "ann")
    assert not corrections.all()
    assert not corrections.entries()


def test_over_http_a_conflict_shows_what_the_other_wrote(server: ReviewServer) -> None:
    change = {"id": "000/000001", "version": FRESH, "by": "ann", "changes": {"description": "The jaw drops."}}
    assert server.post("/api/correct", change).json()["said"]["description"] == "The jaw drops."
    late = server.post("/api/correct", {**change, "by": "ben", "changes": {"description": "Mine."}})
    assert late.status == 409
    assert (late.json()["said"]["description"], late.json()["by"]) == ("The jaw drops.", "ann")
    undone = server.post("/api/undo", {"id": change["id"], "version": late.json()["version"], "by": "ben"})
    assert undone.json()["said"]["description"] == ""


@pytest.mark.parametrize("content", [[], "x", None, {}, {"id": 5}, {"id": "../../etc/passwd"}, {"id": "000/000001"}])
def test_nonsense_over_http_is_one_sentence(server: ReviewServer, content: object) -> None:
    answer = server.post("/api/correct", content)
    assert answer.status == 400
    assert answer.json()["sentence"].endswith(".")


def test_the_history_is_one_json_object_per_line(corrections: Corrections) -> None:
    corrections.change('ä\n,"', FRESH, {"description": "x\u2028y"}, "ann")
    lines = corrections.history.read_text().split("\n")
    assert json.loads(lines[0])["clip_id"] == 'ä\n,"'
    assert lines[1:] == [""]


def test_what_is_refused_is_not_in_the_history(corrections: Corrections) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        corrections.change("a", FRESH, {"description": "The jaw drops."}, "\ud800")
    assert not corrections.entries()
    assert not corrections.texts.exists()


def test_odd_names_of_clips_are_kept_as_they_are(corrections: Corrections) -> None:
    for clip_id in (" a", "a ", "a\0", "=a", "\x1b[31ma"):
        corrections.change(clip_id, FRESH, {"description": "The jaw drops."}, "ann")
        corrections.change(clip_id, corrections.get(clip_id).version, {"mark": "doubtful", "reason": "why"}, "ann")
        assert (corrections.get(clip_id).description, corrections.get(clip_id).mark) == ("The jaw drops.", "doubtful")


def test_cues_that_were_corrected_to_none_stay_none(server: ReviewServer, data: Path) -> None:
    store = Store(data / "descriptions", DESCRIPTIONS)
    rows = store.read(0)
    rows[1]["cues"] = [CUE]
    store.write(0, rows, store.meta(0))

    def shown() -> str:
        page = server.get("/clip?id=000/000001").text
        return page.partition('id="cue-rows"')[2].partition("</fieldset>")[0]

    assert "cue-row" in shown()
    server.review.corrections.change("000/000001", FRESH, {"description": "Nothing moves.", "cues": []}, "ann")
    assert "cue-row" not in shown()
