"""Every line of docs/first-result.md that needs no download runs on a small tree of its set's own names."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from openpyxl import Workbook
from typer.testing import CliRunner

from grace.pipeline.datasets.mafw import CLASSES
from grace.pipeline.store import Clips, write_clips
from grace.pipeline.tokens.class_prompts import class_sentences
from grace.settings import Settings
from stages import app
from tests.support.toy_cache import toy_cache
from tests.support.videos import write_images, write_video

NEEDS_A_DOWNLOAD = ("grace estimate", "dvc ", "grace doctor")
"""What the general block goes on with: models are opened, or missed, from here on."""


def sections(project: Path) -> dict[str, list[str]]:
    """Section of the page to its command lines, comments cut."""
    text = (project / "docs/first-result.md").read_text(encoding="utf-8")
    found = {}
    for part in re.split(r"^## ", text, flags=re.M)[1:]:
        blocks = re.findall(r"^```\n(.*?)^```", part, re.DOTALL | re.M)
        lines = [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]
        found[part.splitlines()[0]] = lines
    return found


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


SETS = ("CREMA-D", "RAVDESS", "MELD", "AFEW", "DFEW, FERV39k, MAFW")


def test_every_set_has_its_section(project: Path) -> None:
    assert set(SETS) < sections(project).keys()


@pytest.mark.parametrize("name", SETS)
def test_a_set_goes_from_its_tree_to_an_index(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_trees()
    lines = sections(project)[name]
    assert len(lines) >= 2
    for line in lines:
        if line.startswith("grace index"):
            dataset = shlex.split(line)[3]
            run(f"{line} --params my-{dataset}/params.yaml --strict")
            clips = Clips(tmp_path / "data" / dataset)
            assert {row["status"] for row in clips.rows} == {"ok"}
            assert clips.folds
            assert all(row["label"] for row in clips.rows)
        else:
            run(line)


def test_the_general_block_runs_up_to_the_download(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_trees()
    general = re.findall(r"^```\n(.*?)^```", (project / "docs/first-result.md").read_text(), re.DOTALL | re.M)[0]
    for line in [each.partition(" #")[0].strip() for each in general.splitlines()]:
        if line.startswith("cd "):
            monkeypatch.chdir(tmp_path / line[3:])
        elif line.startswith("grace index"):
            run(f"{line} --root {tmp_path}/CREMA-D")
        elif not line.startswith(NEEDS_A_DOWNLOAD):
            said = run(line)
            assert line != "grace models" or "hf download Qwen/Qwen2.5-VL-7B-Instruct" in said


def test_a_folder_of_ones_own(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_trees()
    first, second = sections(project)["A folder of your own"]
    run(first)
    assert Clips(tmp_path / "data/footage").labels == []
    Path("footage/clips.csv").write_text("path,label,subject\na,calm,anna\nb,bored,berta\n")
    run(second)
    clips = Clips(tmp_path / "data/footage")
    assert (clips.labels, clips.folds) == (["calm", "bored"], [1, 2])


def test_what_comes_after_the_stages(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = toy_cache(Path("data/demo"))
    clips = Clips(folder)
    rows = [{**row, "scene": "Action", "votes": [1.0, 1.0, 1.0]} for row in clips.rows]
    write_clips(folder, rows, clips.labels)
    Path("params.yaml").write_text("train: {epochs: 1, hidden: 16, layers: 1, heads: 2}\n")
    train, evaluate, by_votes = (run(line) for line in sections(project)["After the stages"])
    assert "2 folds" in train
    assert "by scene" in evaluate
    assert "by their votes" in by_votes
    assert sorted(path.name for path in Path("by-votes/grace").iterdir()) == ["fold-1", "fold-2"]


def test_the_class_prompts_of_the_page_are_settings(project: Path) -> None:
    text = (project / "docs/first-result.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.M)
    prompts = Settings.model_validate(yaml.safe_load(block)).tokens.class_prompts
    assert list(class_sentences(["calm", "bored"], prompts).values()) == list(prompts.values())
