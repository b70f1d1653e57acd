"""Corrections by a person beat generated text and cost their shard only; a wrong file is named before all else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from grace.pipeline.errors import UserError
from grace.pipeline.execution.runner import Summary, run
from grace.pipeline.store import Row, Store, failure
from grace.pipeline.store.schemas import CAPTIONS, DESCRIPTIONS
from grace.pipeline.text.cues import Cue
from grace.pipeline.text.overrides import Override, read_overrides, write_overrides
from grace.pipeline.text.refine import RefineStep, from_settings, refine_step
from grace.pipeline.text.settings import RefineSettings
from grace.settings import Settings
from tests.support.face_stores import PLANTED, write_clips_with_faces, write_texts
from tests.support.fake_engines import Script
from tests.support.texts import CAPTION, CUE, GOOD

FIRST, SECOND, THIRD, FOURTH = (f"{PLANTED}_{number:03d}" for number in range(4))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four captioned clips in shards of two."""
    folder = tmp_path / "data"
    write_clips_with_faces(folder, 4, instants=1, size=2)
    write_texts(folder, "captions", [CAPTION] * 4, size=2)
    return folder


def rows_of(folder: Path) -> dict[str, Row]:
    return {row["clip_id"]: row for row in Store(folder / "descriptions", DESCRIPTIONS).rows()}


def refine(folder: Path, overrides: dict[str, str], answers: int) -> Summary:
    made = refine_step(RefineSettings(model="script"), {clip_id: Override(text) for clip_id, text in overrides.items()})
    assert isinstance(made, RefineStep)
    script = made.engine = Script(*[GOOD] * answers)
    summary = run(made, folder, size=2)
    assert script.answers == []
    return summary


def test_a_correction_beats_the_model_and_is_marked(data: Path) -> None:
    refine(data, {SECOND: "The jaw drops."}, answers=3)
    rows = rows_of(data)
    assert (rows[SECOND]["description"], rows[SECOND]["engine"]) == ("The jaw drops.", "override")
    assert (rows[SECOND]["caption"], rows[SECOND]["status"], rows[SECOND]["cues"]) == (CAPTION, "ok", [])
    assert (rows[FIRST]["engine"], rows[FIRST]["cues"]) == ("transformers", [CUE])


def test_a_new_correction_redoes_its_shard_and_no_other(data: Path) -> None:
    refine(data, {}, answers=4)
    refine(data, {THIRD: "The jaw drops."}, answers=1)
    refine(data, {THIRD: "The jaw drops."}, answers=0)
    refine(data, {THIRD: "The jaw drops slowly."}, answers=1)
    assert rows_of(data)[THIRD]["description"] == "The jaw drops slowly."
    refine(data, {}, answers=2)
    assert rows_of(data)[THIRD]["engine"] == "transformers"


def test_a_correction_replaces_a_missing_caption_and_no_missing_crops(data: Path) -> None:
    """The first clip was failed by caption, the second by faces; both are corrected."""
    lost = [(FIRST, "caption: the model repeats itself"), (SECOND, "faces: the video is empty")]
    rows = [failure(clip_id, cause) for clip_id, cause in lost]
    Store(data / "captions", CAPTIONS).write(0, rows, {"fingerprint": "failed", "version": 1, "cache_key": {}})
    summary = refine(data, {FIRST: "The jaw drops.", SECOND: "The lips part."}, answers=2)
    first, second, third, _ = rows_of(data).values()
    assert (first["description"], first["engine"], first["status"]) == ("The jaw drops.", "override", "ok")
    assert (first["caption"], first["error"]) == ("", "")
    assert (second["description"], second["status"], second["error"]) == ("", "failed", "faces: the video is empty")
    assert (third["engine"], summary.carried, summary.done) == ("transformers", 1, 4)


def test_the_step_reads_the_corrections_of_its_data_set(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "overrides"
    folder.mkdir()
    (folder / "data.csv").write_text(f'clip_id,description,by\n{FOURTH},"The lips part, twice.",me\n')
    settings = Settings(data=str(tmp_path), refine=RefineSettings(model="script", overrides=str(folder)))
    made = from_settings(settings, "data")
    assert isinstance(made, RefineStep)
    assert made.overrides == {FOURTH: Override("The lips part, twice.")}
    for dataset in ("another", ""):
        other = from_settings(settings, dataset)
        assert isinstance(other, RefineStep)
        assert other.overrides == {}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("clip,description\nx,y\n", "lacks the column clip_id; it has clip, description"),
        (f"clip_id,description\n{FIRST},\n", "line 2: the description of clip .* is empty"),
        (f"clip_id,description\n{FIRST},a\n{FIRST},b\n", "line 3: clip .* stands there twice"),
        ("clip_id,description\nnobody,a\n", "line 2: there is no clip 'nobody'"),
        ("", "lacks the column clip_id and description"),
        (
            f"clip_id,description\n{FIRST},The brows rise, then the mouth opens\n",
            "line 2: more cells than the 2 columns",
        ),
        (f"clip_id,description,by\n{FIRST},The brows rise, then the lips part\n", "line 2: .* begins with a blank"),
        (f'clip_id,description\n{FIRST},"The brows rise.\n{SECOND},The lips part.\n', "line 3: .* a quote"),
        (f'clip_id,description\n{FIRST},"The" brows rise\n', "line 2: .* a quote is open or misplaced"),
        (f"clip_id,description,description\n{FIRST},a,b\n", "two columns of one name"),
        (f"clip_id;description\n{FIRST};a\n", "lacks the column clip_id and description"),
        (f"clip_id,description\n{FIRST}\u2028x,a\n", "line 2: there is no clip"),
        (f"clip_id,description\n{FIRST},<|endoftext|>\x00\n{FIRST},a\n", "line 3: clip .* stands there twice"),
        (f"clip_id,description\n{FIRST},\x1b\u200b\n", "line 2: the description of clip .* is empty"),
        (f"clip_id,description\n{FIRST}\n", "line 2: the description of clip .* is empty"),
        (f"clip_id,description,cues\n{FIRST},a,smile\n", "line 2: the cues are no JSON list"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(text: str, sentence: str, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "overrides.csv"
    file.write_text(text)
    with pytest.raises(UserError, match=sentence):
        read_overrides(file, data)


def test_a_file_in_another_encoding_is_named(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "overrides.csv"
    file.write_bytes("clip_id,description\nx,\xe9t\xe9\n".encode("latin-1"))
    with pytest.raises(UserError, match="UTF-8"):
        read_overrides(file, data)


def test_no_file_is_no_correction_and_the_shipped_one_is_empty(data: Path, tmp_path: Path, project: Path) -> None:
    assert read_overrides(tmp_path / "none.csv", data) == {}
    assert read_overrides(project / "overrides" / "demo.csv", data) == {}


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\x85", "\r", "\n"])
def test_a_line_separator_within_a_text_makes_no_row(separator: str, data: Path, tmp_path: Path) -> None:
    """``str.splitlines`` breaks at all of these: the second half would correct a clip that nobody named."""
    file = tmp_path / "overrides.csv"
    file.write_bytes(f'clip_id,description\n{FIRST},"The brows rise.{separator}{SECOND},The lips part."\n'.encode())
    (override,) = read_overrides(file, data).values()
    description = override.description
    assert description.startswith("The brows rise.")
    assert description.endswith(f"{SECOND},The lips part.")


def test_special_tokens_in_corrections_are_broken(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "overrides.csv"
    file.write_text(f"clip_id,description\n{FIRST},The brows rise.<|endoftext|>The end.\n")
    assert read_overrides(file, data)[FIRST].description == "The brows rise.< |endoftext|>The end."


def test_a_folder_or_a_pipe_in_the_files_place_is_named(data: Path, tmp_path: Path) -> None:
    folder, pipe = tmp_path / "folder.csv", tmp_path / "pipe.csv"
    folder.mkdir()
    os.mkfifo(pipe)
    for path in (folder, pipe):
        with pytest.raises(UserError, match="is not a regular file"):
            read_overrides(path, data)


def test_line_breaks_and_marks_of_spreadsheets_are_taken(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "overrides.csv"
    file.write_bytes(f'\ufeffclip_id,description\r\n{FIRST},"The brows rise.\r\nThe lips part."\r\n'.encode())
    assert read_overrides(file, data) == {FIRST: Override("The brows rise. The lips part.")}


def test_a_separator_within_a_cell_ends_no_line(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "overrides.csv"
    file.write_text(f"clip_id,description\n{FIRST},The brows rise.\u2028The lips part.\n")
    assert list(read_overrides(file, data)) == [FIRST]


def test_corrected_cues_are_kept_and_change_the_shard(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "overrides.csv"
    cue = Cue(region="jaw", action='drops, "wide"', intensity="strongly", phase="apex")
    write_overrides(file, {FIRST: Override("The jaw drops.", (cue,)), SECOND: Override("The lips part.")})
    read = read_overrides(file, data)
    assert read == {FIRST: Override("The jaw drops.", (cue,)), SECOND: Override("The lips part.")}
    made = refine_step(RefineSettings(model="script"), read)
    assert isinstance(made, RefineStep)
    made.engine = Script(GOOD, GOOD)
    run(made, data, size=2)
    assert rows_of(data)[FIRST]["cues"] == [cue.model_dump()]
    assert made.extra_inputs([FIRST, SECOND])[SECOND] == "The lips part."
    assert "jaw" in made.extra_inputs([FIRST])[FIRST]
