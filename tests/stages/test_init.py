"""``grace init``: a project whose files agree with GRACE's own and lose nothing that a person wrote."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from grace.pipeline.datasets import DATASETS
from grace.settings import Settings, load_settings
from stages import app
from stages._presets import GPU_GIGABYTES, gigabytes


def init(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["init", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def stages_of(file: Path) -> dict[str, Any]:
    stages: dict[str, Any] = yaml.safe_load(file.read_text())["stages"]
    return stages


def test_the_demo_has_the_settings_of_the_project_itself(tmp_path: Path, project: Path) -> None:
    said = init(str(tmp_path / "new"))
    written, own = ((folder / "params.yaml").read_text() for folder in (tmp_path / "new", project))
    assert re.sub(r"\bgrace((?:\.\w+)+)", lambda name: f"{name[1][1:].replace('.', '/')}.py", written) == own
    for name in (named := re.findall(r"\bgrace(?:\.\w+)+", written)):
        import_module(name)  # there is no pipeline/faces/settings.py where GRACE is installed
    assert "grace.pipeline.faces.settings" in named
    assert (tmp_path / "new/overrides/demo.csv").read_text() == (project / "overrides/demo.csv").read_text()
    assert f"cd {tmp_path / 'new'}" in said
    assert "dvc repro" in said


def test_the_demo_has_the_stages_of_the_project_itself_without_its_code(tmp_path: Path, project: Path) -> None:
    init(str(tmp_path))
    code = tuple(f"{folder.name}/" for folder in project.iterdir() if any(folder.glob("*.py")))
    assert "grace init" in (tmp_path / "dvc.yaml").read_text().splitlines()[0]
    made, own = stages_of(tmp_path / "dvc.yaml"), stages_of(project / "dvc.yaml")
    assert list(made) == list(own)
    for name, stage in own.items():
        kept = [dep for dep in stage.pop("deps") if not f"{dep}/".startswith(code)]
        assert made[name].pop("deps", []) == kept, name
        assert made[name] == stage


@pytest.mark.parametrize(("dataset", "folds"), [("mafw", [1, 2, 3, 4, 5]), ("ferv39k", [1]), ("my-clips.v2", [1])])
def test_another_data_set_waits_for_no_world_and_uses_real_models(
    tmp_path: Path, dataset: str, folds: list[int]
) -> None:
    init(str(tmp_path), "--dataset", dataset)
    settings = load_settings(tmp_path / "params.yaml")
    assert (settings.datasets, settings.folds, settings.roots) == ([dataset], folds, {dataset: f"/path/to/{dataset}"})
    assert not any("pocket" in part.model for part in (settings.caption, settings.refine, settings.tokens))
    assert settings.world == Settings().world
    assert settings.faces.margin == Settings().faces.margin
    stages = stages_of(tmp_path / "dvc.yaml")
    assert stages["index"]["cmd"] == 'grace index --dataset "${item.dataset}"'
    params = {name.partition(".")[0] for stage in stages.values() for name in stage["params"]}
    assert params <= set(yaml.safe_load((tmp_path / "params.yaml").read_text()))
    assert (tmp_path / "overrides" / f"{dataset}.csv").read_text() == "clip_id,description\n"


@pytest.mark.parametrize("dataset", ["dfew", "mafw", "cremad", "ravdess", "meld", "my-clips"])
@pytest.mark.parametrize("gpu", ["cpu", "16gb", "24gb", "80gb", "8x80gb"])
def test_a_preset_is_one_usable_file_and_says_what_it_rests_on(tmp_path: Path, dataset: str, gpu: str) -> None:
    init(str(tmp_path), "--dataset", dataset, "--gpu", gpu)
    settings = load_settings(tmp_path / "params.yaml")
    text = (tmp_path / "params.yaml").read_text()
    for model in (settings.caption.model, settings.refine.model, settings.tokens.model):
        assert f"#   hf download {model}" in text.splitlines()
    assert settings.caption.engine == ("transformers" if gpu == "cpu" else "vllm")
    assert settings.motion.grid == (14 if settings.tokens.model.endswith("patch16") else 7)
    assert (settings.runner == "ray") == (gpu == "8x80gb")
    assert settings.train.hidden > load_settings(None).train.hidden, "the drawn world's few clips need less"
    if gpu in GPU_GIGABYTES:
        assert settings.caption.vllm.max_length is not None
        for model in (settings.caption.model, settings.refine.model):
            assert (gigabytes(model) or 99) < 0.8 * GPU_GIGABYTES[gpu], "room for the cache of keys and values"
    params = {name.partition(".")[0] for stage in stages_of(tmp_path / "dvc.yaml").values() for name in stage["params"]}
    assert params <= set(yaml.safe_load(text))


def test_every_adapter_of_a_set_by_name_has_its_folds() -> None:
    """Without them a project of five folds would be evaluated on one."""
    assert {name for name, adapter in DATASETS.items() if adapter.folds} == set(DATASETS) - {"folder", "videos"}


def test_presets_that_contradict_are_refused(tmp_path: Path) -> None:
    for arguments, named in (
        (["--gpu", "12gb", "-d", "dfew"], "choose --gpu from cpu, 16gb, 24gb, 80gb, 8x80gb"),
        (["--gpu", "24gb"], "pocket models need no GPU"),
    ):
        result = CliRunner().invoke(app, ["init", str(tmp_path), *arguments])
        assert result.exit_code == 2
        assert named in " ".join(result.output.split())
        assert not list(tmp_path.iterdir())


def test_comments_say_what_keys_mean(tmp_path: Path) -> None:
    init(str(tmp_path), "--dataset", "mafw")
    assert "test folds; real results" in (tmp_path / "params.yaml").read_text()
    assert "dvc repro --force" in (tmp_path / "dvc.yaml").read_text()


def test_an_existing_project_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("seed: mine")
    result = CliRunner().invoke(app, ["init", str(tmp_path)])
    assert result.exit_code == 2
    assert "already has params.yaml: name another folder, or give --force." in " ".join(result.output.split())
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_force_keeps_corrections_and_lines_of_gitignore(tmp_path: Path) -> None:
    init(str(tmp_path))
    corrections = "clip_id,description\n00001,The brows rise.\n"
    (tmp_path / "overrides/demo.csv").write_text(corrections)
    (tmp_path / ".gitignore").write_text("/data/\nnotes.txt")
    (tmp_path / "params.yaml").write_text("seed: mine")
    init(str(tmp_path), "--force")
    assert (tmp_path / "overrides/demo.csv").read_text() == corrections
    ignored = (tmp_path / ".gitignore").read_text().splitlines()
    assert ignored[:2] == ["/data/", "notes.txt"]
    assert ignored.count("/data/") == 1
    assert "/raw/" in ignored
    assert load_settings(tmp_path / "params.yaml").datasets == ["demo"]


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", "", ".."])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    result = CliRunner().invoke(app, ["init", str(tmp_path / "new"), "--dataset", name])
    assert result.exit_code == 2
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_a_file_gets_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    result = CliRunner().invoke(app, ["init", str(tmp_path / "taken")])
    assert result.exit_code == 2
    assert "cannot be written" in result.output
