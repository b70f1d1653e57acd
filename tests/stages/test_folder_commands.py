"""From any folder of clips to texts in one command: `grace index FOLDER`, `grace caption FOLDER --out FILE`."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from grace.pipeline.store import Clips, Store
from grace.pipeline.store.schemas import CAPTIONS
from grace.pipeline.text.export import export_texts
from stages import app
from tests.support.face_stores import write_texts
from tests.support.fake_openai_server import Misbehaving, Reply, completion, serving
from tests.support.videos import write_images, write_video

A_CAPTION = "The brows rise and then the mouth opens wide."
DESCRIPTION = {
    "description": "The inner brows rise slightly at first. Then the mouth opens wide.",
    "cues": [{"region": "mouth", "action": "opens wide", "intensity": "strongly", "phase": "apex"}],
}


@pytest.fixture
def footage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "My clips/one.mp4", 12)
    write_images(tmp_path / "My clips/deep/two", 12)
    return tmp_path / "My clips"


def grace(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_index_of_a_folder_names_the_data_set_and_remembers_where_it_is(
    footage: Path, tmp_path: Path, project: Path
) -> None:
    result = grace("index", str(footage))
    assert result.exit_code == 0, result.output
    assert [row["clip_id"] for row in Clips(tmp_path / "data/My-clips").rows] == ["deep/two", "one"]
    later = grace(
        "faces",
        "--dataset",
        "My-clips",
        "--params",
        str(project / "params.yaml"),
        "-S",
        "faces.detector=none",
        "-S",
        "workers=0",
    )
    assert later.exit_code == 0, later.output
    other = tmp_path / "else/My clips"
    write_video(other / "x.mp4", 2)
    again = grace("index", str(other))
    assert again.exit_code == 2
    assert "holds what was made from" in again.stderr
    assert grace("index", str(other), "--dataset", "other").exit_code == 0


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_a_folder_becomes_texts_in_one_command(footage: Path, tmp_path: Path, ending: str) -> None:
    def answer(body: dict[str, Any], _: int) -> Reply:
        return completion(json.dumps(DESCRIPTION) if "response_format" in body else A_CAPTION)

    with serving(Misbehaving(answer)) as server:
        engine = [
            part
            for stage in ("caption", "refine")
            for key, value in (("engine", "openai"), ("model", "m"), ("server.url", server.url))
            for part in ("-S", f"{stage}.{key}={value}")
        ]
        out = tmp_path / f"texts.{ending}"
        command = ["describe", str(footage), "--out", str(out), *engine, "-S", "faces.detector=none", "-S", "workers=0"]
        result = grace(*command)
        assert result.exit_code == 0, result.output
        assert f"2 clips: {out}" in "".join(result.output.splitlines())
        asked = len(server.asked)
        assert grace(*command).exit_code == 0
        assert len(server.asked) == asked, "what is done is not asked again"
    readers = {"parquet": pd.read_parquet, "csv": pd.read_csv, "jsonl": partial(pd.read_json, lines=True)}
    table = readers[ending](out)
    assert list(table["clip_id"]) == ["deep/two", "one"]
    assert set(table["caption"]) == {A_CAPTION}
    assert set(table["description"]) == {DESCRIPTION["description"]}
    assert list(table.columns) == ["clip_id", "status", "error", "caption", "description", "cues", "model"]


def test_failed_clips_are_counted_apart_from_texts(tmp_path: Path) -> None:
    write_texts(tmp_path, "captions", ["the brows lift"])
    store = Store(tmp_path / "captions", CAPTIONS)
    store.write(1, [{"clip_id": "z", "status": "failed", "error": "faces: it holds none"}], {"fingerprint": "f"})
    assert export_texts(tmp_path, "caption", tmp_path / "a.csv") == (2, 1)


def test_a_table_that_cannot_be_written_is_refused_before_the_work(footage: Path, tmp_path: Path) -> None:
    for out, named in (
        ("texts.xlsx", "ends in .parquet, .csv"),
        ("gone/texts.csv", "there is no folder"),
    ):
        result = grace("caption", str(footage), "--out", str(tmp_path / out))
        assert result.exit_code == 2
        assert named in result.stderr
        assert not (tmp_path / "data").exists()


def test_a_folder_that_is_none_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = grace("index", "gone")
    assert result.exit_code == 2
    assert "gone is not a folder" in result.stderr


@pytest.mark.parametrize("content", ["", "/", "relative\n", "/half/a/na"])
def test_a_damaged_memory_of_the_folder_names_no_other_one(
    content: str, footage: Path, tmp_path: Path, project: Path
) -> None:
    assert grace("index", str(footage)).exit_code == 0
    (tmp_path / "data/My-clips/root.txt").write_text(content)
    again = grace("index", "--dataset", "My-clips", "--params", str(project / "params.yaml"))
    assert again.exit_code == 2
    assert "root.txt is damaged" in again.output
