"""Every line of docs/first-result that needs no download runs as it stands, on a small tree of its set's own names."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from openpyxl import Workbook
from typer.testing import CliRunner

from grace.pipeline.datasets import DATASETS
from grace.pipeline.datasets.mafw import CLASSES
from grace.pipeline.store import Clips, write_clips
from grace.pipeline.tokens.class_prompts import class_sentences
from grace.settings import Settings
from stages import app
from tests.support.toy_cache import toy_cache
from tests.support.videos import write_images, write_video

SETS = ("cremad", "ravdess", "meld", "afew", "dfew", "ferv39k", "mafw")
GETS_THE_SET = ("git ", "unzip ", "wget ", "tar ", "for part in ")
"""How the lines begin that leave the tree which the test makes."""
DOWNLOAD = "grace models fetch"
"""The line from which on a block needs a network."""


def page(project: Path, name: str) -> str:
    return (project / "docs" / f"{name}.md").read_text(encoding="utf-8")


def blocks(text: str, language: str = "") -> list[list[str]]:
    """The lines of each block in a language, or of commands; comments cut."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.M)
    return [
        [line.partition(" #")[0].strip() for line in block.splitlines()] for kind, block in found if kind == language
    ]


def write_trees() -> None:
    """A few clips of each set under the names that the page uses, in the working directory."""
    for frames, actor in ((3, "1001"), (4, "1002")):
        write_video(Path(f"CREMA-D/VideoFlash/{actor}_DFA_ANG_XX.avi"), frames, codec="MJPG")
        write_video(Path(f"RAVDESS/Actor_{actor[2:]}/01-01-02-01-01-01-{actor[2:]}.mp4"), frames)
    Path("CREMA-D/SentenceFilenames.csv").write_text("Stimulus_Number,Filename\n1,1001_DFA_ANG_XX\n2,1002_DFA_ANG_XX\n")
    for frames, name, folder in ((3, "train", "train_splits"), (4, "test", "output_repeated_splits_test")):
        write_video(Path(f"MELD.Raw/{folder}/dia0_utt0.mp4"), frames)
        line = "Dialogue_ID,Utterance_ID,Speaker,Emotion\n0,0,Joey,joy\n"
        Path(f"MELD.Raw/{name}_sent_emo.csv").write_text(line)
    for frames, part in ((3, "Train"), (4, "Val")):
        write_video(Path(f"AFEW/{part}_AFEW/Angry/00004.avi"), frames, codec="MJPG")
    for part in ("train", "test"):
        lists = Path(f"DFEW/EmoLabel_DataSplit/{part}(single-labeled)")
        lists.mkdir(parents=True)
        (lists / "set_1.csv").write_text(f"video_name,label\n{1 if part == 'train' else 2},1\n")
        scene = "Action" if part == "train" else "Crime"
        Path("FERV39k/4_setups/All_scenes").mkdir(parents=True, exist_ok=True)
        Path(f"FERV39k/4_setups/All_scenes/{part}_All.csv").write_text(f"{scene}/Happy/{part} Happy\n")
        write_images(Path(f"FERV39k/2_ClipsforFaceCrop/{scene}/Happy/{part}"), len(part))
        lists = Path("MAFW/Train & Test Set/single/no_caption/set_1")
        lists.mkdir(parents=True, exist_ok=True)
        (lists / f"{part}.txt").write_text(f"0000{len(part)}.mp4 anger\n")
        write_video(Path(f"MAFW/data/clips/0000{len(part)}.mp4"), len(part))
    write_workbook(Path("MAFW/Labels/single-set.xlsx"))
    for number, name in ((1, "a"), (2, "b")):
        write_images(Path(f"DFEW/Clip/clip_224x224/0000{number}"), number)
        write_images(Path(f"footage/{name}"), number)


def write_workbook(file: Path) -> None:
    """What the annotators said of MAFW's training clip, under the workbook's own columns."""
    book = Workbook()
    book.active.append(["clip", *CLASSES, "single_label"])
    book.active.append(["00005.mp4", *(11 * (label == "anger") for label in CLASSES), 1])
    file.parent.mkdir()
    book.save(file)


def run(line: str) -> str:
    command, *words = shlex.split(line)
    assert command == "grace", line
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, f"{line}\n{result.output}"
    return result.output


def follow(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the lines of a block as they stand, up to the download; what they print."""
    said = ""
    for line in lines:
        if line == DOWNLOAD:
            break
        if line.startswith("cd "):
            monkeypatch.chdir(line.removeprefix("cd "))
        elif line.startswith("grace "):
            said += run(line)
        elif not line.startswith(GETS_THE_SET):
            subprocess.run(line, shell=True, check=True)
    return said


def test_every_adapter_of_a_set_has_its_page(project: Path) -> None:
    assert set(DATASETS) - {"folder", "videos", "mafw-compound"} == set(SETS)
    for name in (*SETS, "own-clips"):
        assert f"(first-result/{name}.md)" in page(project, "first-result")
        assert f"first-result/{name}.md" in (project / "mkdocs.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SETS)
def test_the_lines_of_a_page_go_from_the_sets_tree_to_the_download(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_trees()
    text = page(project, f"first-result/{name}")
    assert "<https://" in text, "the page from which it is downloaded"
    of_page = blocks(text)
    assert sum(DOWNLOAD in block for block in of_page) == 1
    said = "".join(follow(block, monkeypatch) for block in of_page)
    assert "hf download Qwen/Qwen2.5-VL-7B-Instruct" in said
    assert Path.cwd() == tmp_path / f"my-{name}"
    clips = Clips(Path("data") / name)
    assert {row["status"] for row in clips.rows} == {"ok"}
    assert clips.folds
    assert all(row["label"] for row in clips.rows)
    run(f"grace index --dataset {name} --strict")


def test_a_folder_of_ones_own(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_trees()
    text = page(project, "first-result/own-clips")
    first, second = blocks(text)
    follow(first, monkeypatch)
    assert Clips(tmp_path / "data/footage").labels == []
    (table,) = blocks(text, "csv")
    Path("footage/clips.csv").write_text("\n".join(table) + "\n")
    follow(second, monkeypatch)
    clips = Clips(tmp_path / "data/footage")
    assert (clips.labels, clips.folds) == (["calm", "bored"], [1, 2])


def test_what_comes_after_the_stages(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = toy_cache(Path("data/demo"))
    clips = Clips(folder)
    rows = [{**row, "scene": "Action", "votes": [1.0, 1.0, 1.0]} for row in clips.rows]
    write_clips(folder, rows, clips.labels)
    Path("params.yaml").write_text("train: {epochs: 1, hidden: 16, layers: 1, heads: 2}\n")
    train, evaluate, by_votes = (run(line) for line in blocks(page(project, "first-result"))[0])
    assert "2 folds" in train
    assert "by scene" in evaluate
    assert "by their votes" in by_votes
    assert sorted(path.name for path in Path("by-votes/grace").iterdir()) == ["fold-1", "fold-2"]


def test_the_class_prompts_of_the_page_are_settings(project: Path) -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```", page(project, "first-result/own-clips"), re.DOTALL | re.M)
    prompts = Settings.model_validate(yaml.safe_load(block)).tokens.class_prompts
    assert list(class_sentences(["calm", "bored"], prompts).values()) == list(prompts.values())
