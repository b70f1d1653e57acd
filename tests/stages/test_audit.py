"""`grace audit` on the command line: a table in 80 columns, a report in a folder, one sentence for a mistake."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from stages import app


@pytest.fixture
def folder(tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with settings, a tokenizer and a table of forty captions."""
    shutil.copy(project / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    faces = ("lips part, [red]afraid[/red]", "brows lower, angry")
    rows = [
        {
            "who": f"person-{number // 2}",
            "said": f"The {faces[number % 2]} and \x1b[31mstill {number}.",
            "emotion": "Angry" if number % 2 else "Fear",
        }
        for number in range(40)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "mine.csv", index=False)
    return tmp_path


def grace(project: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["audit", *arguments, "--tokenizer", str(project / "pocket/clip")])
    return result.exit_code, result.output


def test_anybodys_table_is_audited(folder: Path, project: Path) -> None:
    code, output = grace(
        project, "--table", "mine.csv", "--text", "said", "--label", "emotion", "--group", "who", "--clip", "said"
    )
    assert code == 0, output
    assert "audit of mine.csv" in output
    assert "A bag of words reaches UAR 100.0 %" in " ".join(output.split())
    assert "chance is 50.0 %" in " ".join(output.split())
    assert "\x1b[31m" not in output
    assert max(len(line.rstrip()) for line in output.splitlines() if "Tokens are" not in line) <= 80
    report = json.loads((folder / "mine-audit" / "metrics.json").read_text())
    assert report["said"]["emotion"]["against_label"]["right"] == 1.0
    assert (folder / "mine-audit" / "plots" / "emotions.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--table", "mine.csv"], "--table needs --text"),
        (
            ["--table", "mine.csv", "--text", "words"],
            "mine.csv has no column 'words'; it has who, said, emotion:",
        ),
        (["--table", "yours.csv", "--text", "said"], "There is no file yours.csv"),
        (["--dataset", "demo"], "clips.parquet is missing"),
    ],
)
def test_a_mistake_gets_one_sentence(folder: Path, project: Path, arguments: list[str], sentence: str) -> None:
    code, output = grace(project, *arguments)
    assert code == 2
    assert sentence in " ".join(output.split())
