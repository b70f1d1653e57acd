"""`grace index`: one table in the width of a terminal, and `--strict` makes what does not fit an error."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stages import app
from tests.support.videos import write_images


def test_the_table_fits_the_terminal_and_strict_is_an_error(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(project / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    write_images(Path("raw/clips/one"), 3)
    write_images(Path("raw/clips/[red] \x1b[31m a rather long name that no list names, of all things"), 2)
    Path("raw/clips.csv").write_text("path,label,fold_1,frames\nclips/one,fear,test,4\nclips/gone.mp4,joy,train,\n")
    result = CliRunner().invoke(app, ["index", "--dataset", "mine", "--root", "raw", "--strict"])
    assert result.exit_code == 1
    assert "index.strict is set (missing: 1, frame count differs: 1" in result.stderr
    shown = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert max(len(line) for line in result.stdout.splitlines() if "reconciliation.csv" not in line) <= 80
    for line in (
        "annotated 2",
        "found 1 folders of frames: 1",
        "missing 1 clips/gone: the video is missing",
        "by -1 1 ████████████████████████",
        "fold 1 2 1 train, 1 test",
    ):
        assert line in shown
    assert any(line.startswith("files that no list names 1 clips/[red] [31m a rather") for line in shown)
    assert "\x1b" not in result.stdout


def test_a_folder_that_bears_a_known_name_is_read_as_it_is_and_not_mistaken_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_images(Path("here/meld/one"), 3)
    result = CliRunner().invoke(app, ["index", "here/meld"])
    assert result.exit_code == 0, result.output
    assert "meld is not meld as its owner ships it, and is read as videos." in " ".join(result.stderr.split())
    again = CliRunner().invoke(app, ["index", "--dataset", "meld", "-S", "workers=1"])
    assert "There is no settings file" in again.stderr
    Path("params.yaml").write_text("workers: 1\n")
    assert CliRunner().invoke(app, ["index", "--dataset", "meld"]).exit_code == 0, "later commands remember the folder"
    Path("params.yaml").write_text("roots: {meld: elsewhere}\n")
    refused = CliRunner().invoke(app, ["index", "here/meld"])
    assert refused.exit_code == 2
    assert "roots.meld in params.yaml is elsewhere, not here/meld" in " ".join(refused.stderr.split())
