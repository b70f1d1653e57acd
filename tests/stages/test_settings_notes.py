"""A command says when `dvc repro` would do it again, and when a model does not know the footage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from grace.pipeline.datasets.footage import RENDERED_WORLD
from grace.pipeline.store import Store, write_clips
from grace.pipeline.store.schemas import CAPTIONS, DESCRIPTIONS
from stages import app
from stages._dvc import FILES, READS, remark, unwatched
from stages._options import command_settings

OK = {"status": "ok", "error": ""}


@pytest.fixture
def folder(tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of DVC with one caption."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(project / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    write_clips(tmp_path / "data/demo", [{"clip_id": "a", **OK}], [])
    row = {"clip_id": "a", "caption": "The brows rise, then the mouth opens.", **OK}
    Store(tmp_path / "data/demo/captions", CAPTIONS).write(0, [row], {"fingerprint": "f"})
    return tmp_path


def said(stage: str, *overrides: str) -> str:
    return remark(stage, command_settings(Path("params.yaml"), list(overrides)))


def test_the_keys_are_those_that_dvc_compares(project: Path) -> None:
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    assert {stage: set(stages[stage]["params"]) for stage in READS} == {stage: set(READS[stage]) for stage in READS}


def test_settings_that_change_a_result_are_named(folder: Path) -> None:
    assert said("faces", "faces.size=96", "motion.grid=4") == (
        "faces.size differs from params.yaml: `dvc repro` would do faces again with params.yaml's settings."
    )
    assert said("caption", "caption.images=4", "caption.engine=annotation").startswith(
        "caption.engine, caption.images differ from params.yaml: `dvc repro` would do caption again"
    )
    assert said("caption", "caption.images=4").endswith("; answers of models are kept, none is asked for twice.")
    assert "shards.clips differs" in said("motion", "shards.clips=8")
    assert "leaves it as it is" in said("train", "train.method=vision")
    assert "index.hash differs" in said("index", "index.hash=true")
    assert "caption.model differs" in said("caption", "caption.model=no/such-model")


def test_settings_that_change_no_result_are_not_worth_a_word(folder: Path) -> None:
    assert said("faces") == said("faces", "faces.size=128", "workers=7", "runner=ray", "motion.grid=4") == ""
    assert said("tokens", "tokens.batch=3") == said("caption", "caption.prefetch_clips=9") == ""
    (folder / "dvc.yaml").unlink()
    assert said("faces", "faces.size=96") == ""


def test_files_that_dvc_does_not_see_are_named_once_they_are_there(folder: Path) -> None:
    def missed(stage: str, *overrides: str) -> str:
        return unwatched(stage, command_settings(Path("params.yaml"), list(overrides)))

    own = ("refine.overrides=mine", "refine.prompt=my.md")
    assert missed("refine", "refine.overrides=mine") == missed("refine") == missed("motion") == ""
    (folder / "mine").mkdir()
    (folder / "my.md").write_text("{captions}")
    (folder / "overrides").mkdir()
    assert missed("refine", *own) == (
        "dvc.yaml does not name my.md, mine: `dvc repro` does not see when they change; add them to the deps of refine "
        "there."
    )
    assert missed("refine") == ""  # overrides is named there
    pipeline = yaml.safe_load((folder / "dvc.yaml").read_text())
    pipeline["stages"]["refine"]["deps"] += ["my.md", "mine"]
    (folder / "dvc.yaml").write_text(yaml.safe_dump(pipeline))
    assert missed("refine", *own) == ""
    note = "note: dvc.yaml does not name mine: `dvc repro` does not see when it changes"
    assert note in CliRunner().invoke(app, ["index", "-S", "refine.overrides=mine"]).stderr


def test_every_key_of_a_file_is_a_setting(project: Path) -> None:
    content = command_settings(project / "params.yaml", []).model_dump()
    for key in (key for keys in FILES.values() for key in keys):
        section, name = key.split(".")
        assert name in content[section], key


def test_a_stage_prints_one_line_each_and_nothing_when_dvc_runs_it(folder: Path) -> None:
    def errors(*more: str) -> str:
        done = CliRunner().invoke(app, ["refine", *more])
        assert done.exit_code == 0, done.output
        return done.stderr

    known = "note: pocket/llm knows only the rendered world: of this footage its words and tokens mean nothing."
    assert known in errors()
    store = Store(folder / "data/demo/descriptions", DESCRIPTIONS)
    assert store.meta(0)["limits"] == [known.removeprefix("note: ").removesuffix(".")]
    assert store.read(0)[0]["model"] == "pocket/llm"
    notes = [line for line in errors("-S", "refine.seed=4").splitlines() if line.startswith("note: ")]
    assert len(notes) == 2
    assert notes[0].startswith("note: refine.seed differs from params.yaml")
    write_clips(folder / "data/demo", [{"clip_id": "a", **OK}], [], RENDERED_WORLD)
    assert "note: " not in errors()
    assert "limits" not in store.meta(0)
