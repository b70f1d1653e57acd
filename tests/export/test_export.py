"""What was made of a data set, opened by the tools that it is written for; and a run, opened again."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

import grace
from grace.export import label_studio
from grace.export.model import local_models
from grace.pipeline.checkpoints import require_model
from grace.pipeline.steps import make_step, step_sections
from grace.pipeline.store import Clips, Store, open_store, write_clips
from grace.pipeline.store.schemas import CAPTIONS, DESCRIPTIONS
from grace.settings import Settings
from grace.trainer.runs import RunConfig
from grace.trainer.settings import TrainSettings
from grace.trainer.train import train
from stages import app
from tests.support.machines import as_nobody
from tests.support.texts import CAPTION, CUE
from tests.support.toy_cache import TRAIN, show_labels, toy_cache
from tests.support.videos import write_images, write_video

SETTINGS = TrainSettings.model_validate({**TRAIN, "method": "vision", "epochs": 1})
NASTY = 'a "quoted" | text\n---\n<Choice value="x"/> =1+1'


def add_texts(folder: Path, label_visible: bool = False) -> None:
    """Captions and descriptions of a toy set; the description of clip-005 failed."""
    captions, descriptions = [], []
    for row in Clips(folder).rows:
        key = {"clip_id": row["clip_id"], "status": "ok", "error": ""}
        captions.append({**key, "caption": CAPTION, "model": "pocket/vlm", "engine": "transformers"})
        text = {"description": NASTY, "cues": [CUE], "model": "pocket/llm", "label_visible": label_visible}
        descriptions.append({**key, **text, "caption": CAPTION, "engine": "transformers"})
        if row["clip_id"] == "clip-005":
            descriptions[-1] = {**key, "status": "failed", "error": "refine: the answer is empty"}
    Store(folder / "captions", CAPTIONS).write(0, captions, {"fingerprint": "c"})
    Store(folder / "descriptions", DESCRIPTIONS).write(0, descriptions, {"fingerprint": "d"})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`data/toy` with texts and runs of two folds, and its clips in `raw/toy`: videos, and two folders of frames."""
    folder = tmp_path_factory.mktemp("project")
    made_by = {stage: make_step(stage, Settings(), root=".").cache_key() for stage in ("tokens", "motion")}
    data = toy_cache(folder / "data/toy", clips=21, made_by=made_by)
    rows = Clips(data).rows
    for number, row in enumerate(rows):
        row["path"] = f"scene one/{row['clip_id']}" + (".mp4" if number > 1 else "")
        row["source"] = "video" if number > 1 else "frames"
    write_clips(data, rows, Clips(data).labels)
    write_video(folder / "raw/toy/scene one/clip-002.mp4", 2)
    for row in rows[3:]:
        shutil.copy(folder / "raw/toy/scene one/clip-002.mp4", folder / "raw/toy" / row["path"])
    for row in rows[:2]:
        write_images(folder / "raw/toy" / row["path"], 3)
    for fold in (1, 2):
        train(data, SETTINGS, fold, quiet=True, pipeline=step_sections(Settings()))
    add_texts(data)
    return folder


def export(folder: Path, *arguments: str) -> Result:
    settings = [f"data={folder / 'data'}", f"roots.toy={folder / 'raw/toy'}", "train.method=vision"]
    options = [part for each in settings for part in ("-S", each)]
    return CliRunner().invoke(app, ["export", *arguments, "-d", "toy", *options])


def test_a_hugging_face_folder_opens_with_datasets(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    out = tmp_path / "hub"
    result = export(project, "huggingface", str(out))
    assert result.exit_code == 0, result.output
    assert "21 clips, 21 predictions" in result.stdout
    found = datasets.load_dataset(str(out), split="clips", cache_dir=str(tmp_path / "cache"))
    assert len(found) == 21
    first = found[0]
    assert (first["clip_id"], first["label"], first["fold_1"]) == ("clip-000", "happiness", "test")
    assert first["description"] == NASTY
    assert first["cues"] == [CUE]
    lost = next(row for row in found if row["clip_id"] == "clip-005")
    assert (lost["status"], lost["description"], lost["caption"]) == ("failed", "", CAPTION)
    predicted = datasets.load_dataset(str(out), "predictions", split="clips", cache_dir=str(tmp_path / "cache"))
    assert len(predicted) == 21
    assert {row["fold"] for row in predicted} == {1, 2}
    assert sum(predicted[0][f"p_{label}"] for label in ("happiness", "sadness", "neutral")) == pytest.approx(
        1, abs=1e-4
    )
    assert not (out / "clips").exists()


def test_the_data_card_says_what_was_visible_and_whose_terms_hold(project: Path, tmp_path: Path) -> None:
    assert export(project, "huggingface", str(tmp_path / "clean"), "--no-predictions").exit_code == 0
    card = (tmp_path / "clean/README.md").read_text()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["license"] == "unknown"
    assert [config["config_name"] for config in front["configs"]] == ["descriptions"]
    assert "No label was in any prompt" in card
    assert "No clips are included" in card
    assert "owner's terms" in card
    assert str(tmp_path) not in card
    shutil.copytree(project / "data", tmp_path / "data")
    add_texts(tmp_path / "data/toy", label_visible=True)
    result = export(tmp_path, "huggingface", str(tmp_path / "informed"), "--no-predictions")
    assert result.exit_code == 0, result.output
    assert "The label was in the prompt of 20 of 21 descriptions" in (tmp_path / "informed/README.md").read_text()
    assert "score no classifier on them" in result.stderr


def test_clips_are_copied_only_when_asked_for(project: Path, tmp_path: Path) -> None:
    result = export(project, "huggingface", str(tmp_path / "hub"), "--copy-clips")
    assert result.exit_code == 0, result.output
    original = project / "raw/toy/scene one/clip-002.mp4"
    assert (tmp_path / "hub/clips/scene one/clip-002.mp4").read_bytes() == original.read_bytes()
    assert len(list((tmp_path / "hub/clips/scene one/clip-000").iterdir())) == 3
    assert "check that you may" in (tmp_path / "hub/README.md").read_text()


def test_fiftyone_gets_samples_with_labels_and_texts(project: Path, tmp_path: Path) -> None:
    result = export(project, "fiftyone", str(tmp_path / "fo"))
    assert result.exit_code == 0, result.output
    videos = json.loads((tmp_path / "fo/video/samples.json").read_text())["samples"]
    frames = json.loads((tmp_path / "fo/frames/samples.json").read_text())["samples"]
    assert (len(videos), len(frames)) == (19, 2)
    assert "1 clips lack something, and say why" in result.stderr
    metadata = json.loads((tmp_path / "fo/video/metadata.json").read_text())
    assert metadata["media_type"] == "video"
    assert "version" not in metadata, "with one, FiftyOne expects a dump of its own database"
    sample = videos[0]
    assert Path(sample["filepath"]).is_file()
    assert sample["ground_truth"] == {"_cls": "Classification", "label": "neutral"}
    assert sample["predictions"]["_cls"] == "Classification"
    assert 0 < sample["predictions"]["confidence"] <= 1
    assert sample["cues"]["classifications"][0]["label"] == "brows: inner brow raise, slightly, onset"
    assert sample["tags"] == ["fold_1_train", "fold_2_test"]
    assert json.loads((tmp_path / "fo/video" / sample["frames"]).read_text()) == {"frames": {}}
    assert frames[0]["filepath"].endswith("/1.png")
    places = re.findall(r"Dataset.from_dir\('([^']+)'", result.stdout)
    assert len(places) == 2
    assert all((Path(place) / "samples.json").is_file() for place in places), "each line that is printed opens one"


def test_fiftyone_opens_the_samples(project: Path, tmp_path: Path) -> None:
    importers = pytest.importorskip("fiftyone.utils.data.importers")
    assert export(project, "fiftyone", str(tmp_path / "fo")).exit_code == 0
    importer = importers.FiftyOneDatasetImporter(dataset_dir=str(tmp_path / "fo/frames"))
    assert importer._is_legacy_format_data()
    with importer._to_legacy_importer() as samples:
        assert [sample["clip_id"] for sample in samples] == ["clip-000", "clip-001"]


def test_label_studio_gets_tasks_whose_names_fit_its_interface(project: Path, tmp_path: Path) -> None:
    result = export(project, "label-studio", str(tmp_path / "ls"))
    assert result.exit_code == 0, result.output
    assert f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={project / 'raw/toy'}" in result.stdout
    for kind, tag in (("video", "Video"), ("frames", "Image")):
        tasks = json.loads((tmp_path / f"ls/{kind}-tasks.json").read_text())
        interface = ElementTree.parse(tmp_path / f"ls/{kind}-interface.xml").getroot()
        names = {each.get("name") for each in interface if each.tag in ("Choices", "TextArea")}
        classes = {each.get("value") for each in interface.iter("Choice")}
        assert interface.find(tag) is not None
        for task in tasks:
            (prediction,) = task["predictions"]
            assert len(prediction["result"]) == (1 if task["data"]["error"] else 2)
            assert 0 < prediction["score"] <= 1
            for part in prediction["result"]:
                assert part["from_name"] in names
                assert part["to_name"] == "clip"
            (chosen,) = [part["value"]["choices"] for part in prediction["result"] if part["type"] == "choices"]
            assert set(chosen) <= classes
            clips = [task["data"]["clip"]] if kind == "video" else task["data"]["clip"]
            for clip in clips:
                assert (project / "raw/toy" / unquote(clip.removeprefix("/data/local-files/?d="))).is_file()
        assert tasks[0]["data"]["description"] == NASTY
    clips = {task["data"]["clip_id"]: task for task in json.loads((tmp_path / "ls/video-tasks.json").read_text())}
    assert clips["clip-005"]["data"]["error"] == "refine: the answer is empty"


def test_without_labels_there_is_nothing_to_choose() -> None:
    interface = ElementTree.fromstring(label_studio.interface("video", []))
    assert [each.tag for each in interface] == ["Video", "TextArea"]


def test_a_run_opens_again_from_its_hub_folder(project: Path, tmp_path: Path) -> None:
    run = project / "data/toy/runs/vision/fold-1"
    result = export(project, "model", str(tmp_path / "hub"), "--run", str(run))
    assert result.exit_code == 0, result.output
    assert not (tmp_path / "hub/predictions.parquet").exists()
    classifier = grace.GraceClassifier.from_pretrained(tmp_path / "hub")
    assert classifier.labels == ["happiness", "sadness", "neutral"]
    original = grace.GraceClassifier.from_pretrained(run)
    for name, value in original.classifier.model.state_dict().items():
        assert bool((classifier.classifier.model.state_dict()[name] == value).all())
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard.load(tmp_path / "hub/README.md")
    assert card.data.eval_results[0].dataset_name == "toy"
    assert card.data.license == "unknown"
    assert "pocket/clip" in card.content
    assert str(tmp_path) not in card.content + (tmp_path / "hub/config.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["parquet", "out"], "There is no format 'parquet': choose one of huggingface, fiftyone, label-studio, model"),
        (["huggingface", "full"], "full holds other files: name an empty folder or a new one"),
        (["huggingface", "full/file"], "full/file is a file: name a folder"),
        (["fiftyone", "out", "--run", "full"], "full is no run"),
        (["fiftyone", "out", "--root", "gone"], "gone, is not a folder"),
        (["model", "out", "--run", "full"], "full lacks model.safetensors"),
        (["huggingface", "out", "-d", "gone"], "clips.parquet is missing: run `grace index`"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "params.yaml").write_text("workers: 1\n")
    (tmp_path / "full/file").write_text("mine")
    settings = ["-S", f"data={project / 'data'}", "-S", "train.method=vision", "-d", "toy"]
    result = CliRunner().invoke(app, ["export", *arguments[:2], *settings, *arguments[2:]])
    assert result.exit_code == 2, result.output
    assert sentence in " ".join(result.stderr.split())
    assert (tmp_path / "full/file").read_text() == "mine"


def test_predictions_that_saw_the_label_are_not_handed_on(project: Path, tmp_path: Path) -> None:
    data = tmp_path / "data/toy"
    shutil.copytree(project / "data/toy", data)
    shutil.rmtree(data / "runs")
    show_labels(data)
    train(data, SETTINGS, 1, quiet=True)
    result = export(tmp_path, "huggingface", str(tmp_path / "hub"))
    assert result.exit_code == 1
    assert "written with the label in the prompt" in result.stderr
    model = export(tmp_path, "model", str(tmp_path / "model"), "--run", str(data / "runs/vision/fold-1"))
    assert "written with the label in the prompt" in model.stderr
    assert export(tmp_path, "huggingface", str(tmp_path / "hub"), "--no-predictions").exit_code == 0


def test_an_export_is_written_again_over_itself(project: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert export(project, "label-studio", str(tmp_path / "ls")).exit_code == 0
    assert "holds other files" in export(project, "fiftyone", str(tmp_path / "ls")).stderr


def test_models_of_the_package_are_no_folders_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own/vision").mkdir(parents=True)
    sections = {"tokens": {"model": "pocket/clip", "vision": "own/vision"}, "caption": {"model": "/models/vlm"}}
    config = RunConfig.model_construct(pipeline=sections)
    of_this_machine = ["tokens.vision=own/vision", "caption.model=/models/vlm"]
    assert local_models(config) == of_this_machine
    (tmp_path / "pocket").symlink_to(Path(require_model("pocket/clip")).parent)  # as in a clone
    assert local_models(config) == of_this_machine
    (tmp_path / "pocket").unlink()
    shutil.copytree(require_model("pocket/clip"), tmp_path / "pocket/clip")
    assert local_models(config) == ["tokens.model=pocket/clip", *of_this_machine]


def test_texts_that_are_missing_or_too_many_are_not_exported(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project / "data", tmp_path / "data")
    store = Store(tmp_path / "data/toy/descriptions", DESCRIPTIONS)
    rows = store.read(0)
    store.write(0, rows[:13], {"fingerprint": "d"})
    result = export(tmp_path, "huggingface", str(tmp_path / "hub"), "--no-predictions")
    assert result.exit_code == 2
    sentence = "descriptions lacks 8 of 21 clips (clip-013 among them): run `grace refine` to make the missing shards."
    assert sentence in " ".join(result.stderr.split())
    store.write(0, rows, {"fingerprint": "d"})
    store.write(1, rows[-3:], {"fingerprint": "d"})
    result = export(tmp_path, "huggingface", str(tmp_path / "hub"), "--no-predictions")
    assert result.exit_code == 2
    assert "descriptions holds 3 clips twice" in " ".join(result.stderr.split())
    assert not (tmp_path / "hub").exists()


@pytest.mark.parametrize(
    ("store", "made_from", "sentence"),
    [
        ("descriptions", {"inputs": {"captions": "before"}}, "another captions/00000 than there is now: run `grace re"),
        ("captions", {"clips": {"columns": ["path"], "size": 32, "digest": "before"}}, "another clips.parquet than"),
        (
            "tokens",
            {"inputs": {"descriptions": "before"}},
            "another descriptions/00000 than there is now: run `grace t",
        ),
    ],
)
def test_what_was_made_of_other_clips_or_texts_is_not_exported(
    project: Path, tmp_path: Path, store: str, made_from: dict[str, object], sentence: str
) -> None:
    shutil.copytree(project / "data", tmp_path / "data")
    changed = open_store(tmp_path / "data/toy", store)
    changed.write(0, changed.read(0), {**changed.meta(0), **made_from})
    result = export(tmp_path, "huggingface", str(tmp_path / "hub"))
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())
    assert not (tmp_path / "hub").exists()


def test_runs_in_a_folder_that_may_not_be_read_are_not_left_out_of_an_export(project: Path, tmp_path: Path) -> None:
    for part in ("data", "raw"):
        shutil.copytree(project / part, tmp_path / part)
    assert export(tmp_path, "huggingface", str(tmp_path / "readable")).exit_code == 0
    runs = tmp_path / "data/toy/runs/vision"
    with as_nobody(tmp_path):
        runs.chmod(0o300)
        result = export(tmp_path, "huggingface", str(tmp_path / "hub"))
        runs.chmod(0o700)
    assert result.exit_code == 1
    assert f"{runs} cannot be read (Permission denied)" in " ".join(result.stderr.split())
    assert not (tmp_path / "hub").exists()
