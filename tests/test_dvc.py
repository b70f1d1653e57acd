"""The pipeline under DVC: it runs, skips, shows scores and plots, runs another method, survives being killed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.kill import copy_project
from grace.pipeline.store import Clips, open_store, read_table
from grace.pipeline.store.schemas import PREDICTIONS
from grace.pipeline.strict_yaml import read_yaml
from grace.pipeline.world.footage import write_video

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pipeline, run to its end in a repository of its own."""
    folder = tmp_path_factory.mktemp("pipeline")
    copy_project(folder)
    dvc(folder, "repro")
    commit = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "-qm", "pipeline"]
    subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
    subprocess.run(commit, cwd=folder, check=True)
    return folder


def dvc(folder: Path, *arguments: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(["dvc", *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ran(output: str) -> set[str]:
    """The stages that `dvc repro` ran."""
    return {line.split("'")[1].partition("@")[0] for line in output.splitlines() if line.startswith("Running stage")}


def test_a_second_run_runs_nothing(pipeline: Path) -> None:
    assert ran(dvc(pipeline, "repro")) == set()


def test_any_video_goes_through_the_whole_pipeline(pipeline: Path, tmp_path: Path) -> None:
    """Probabilities, text, a picture, and the warning that the pocket models know drawn faces only, of what is none."""
    video = shutil.copy(next((pipeline / "raw/demo/clips").glob("*.mp4")), tmp_path / "one.mp4")
    command = [str(Path(sys.executable).parent / "grace"), "predict", str(video)]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "alignment.png")], cwd=pipeline, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "happiness" in done.stdout
    assert "caption:" in done.stdout
    assert "knows only the rendered world" in " ".join(done.stderr.split())
    assert (tmp_path / "alignment.png").stat().st_size > 10_000


def test_metrics_and_plots_show(pipeline: Path) -> None:
    table = dvc(pipeline, "metrics", "show").splitlines()
    assert len(table) == 2
    assert max(map(len, table)) <= 120
    assert {"UAR", "WAR", "ECE", "happiness", "anger"} <= set(table[0].split())
    dvc(pipeline, "plots", "show")
    page = (pipeline / "dvc_plots" / "index.html").read_text()
    assert all(f"demo/plots/{name}.png" in page for name in ("confusion", "recall", "calibration", "training"))
    assert "http" not in page, "a page without a network stays white"


def test_a_table_of_experiments_fits_80_columns(pipeline: Path) -> None:
    """README's choice of columns."""
    table = dvc(
        pipeline, "exp", "show", "--drop", ".*", "--keep", "Experiment|Created|UAR|WAR|ECE|train.method", "--no-pager"
    )
    assert "UAR" in table
    assert max(map(len, table.splitlines())) <= 80


def test_a_changed_parameter_runs_only_what_depends_on_it(pipeline: Path) -> None:
    settings = read_yaml(pipeline / "params.yaml")
    changed = {**settings, "evaluate": {**settings["evaluate"], "bootstrap": 60}}
    (pipeline / "params.yaml").write_text(json.dumps(changed))
    assert ran(dvc(pipeline, "repro")) == {"evaluate"}
    changed["motion"] = {**settings["motion"], "method": "plain_difference"}
    (pipeline / "params.yaml").write_text(json.dumps(changed))
    tokens = (pipeline / "data/demo/tokens/00000.h5").read_bytes()
    # The tokens stage is run, since `tokens.patches` would read motion; without it the files stay the same.
    assert ran(dvc(pipeline, "repro")) == {"motion", "tokens", "train", "evaluate"}
    assert (pipeline / "data/demo/tokens/00000.h5").read_bytes() == tokens


def test_an_experiment_with_another_method(pipeline: Path) -> None:
    dvc(pipeline, "exp", "run", "-S", "train.method=vision")
    assert json.loads((pipeline / "data/demo/scores.json").read_text())["method"] == "vision"


def rows(folder: Path, name: str) -> dict[str, dict[str, object]]:
    """Every clip's row in a store, arrays as bytes."""
    return {
        row["clip_id"]: {key: value.tobytes() if hasattr(value, "tobytes") else value for key, value in row.items()}
        for row in open_store(folder / "data/demo", name).rows()
    }


def test_after_the_raw_files_change(pipeline: Path) -> None:
    """README's two commands, after one clip was replaced by another of the same name and frame count."""
    dvc(pipeline, "repro")
    video = sorted((pipeline / "raw/demo/clips").glob("*.mp4"))[5]
    capture, frames = cv2.VideoCapture(str(video)), []
    while (read := capture.read())[0]:
        frames.append(np.ascontiguousarray(read[1][:, ::-1, ::-1]))  # mirrored, RGB
    rate = capture.get(cv2.CAP_PROP_FPS)
    before = {name: rows(pipeline, name) for name in ("faces", "motion", "tokens")}
    write_video(video, frames, rate, video.parent)
    assert ran(dvc(pipeline, "repro")) == set()  # DVC does not look at raw files
    dvc(pipeline, "repro", "-f", "index@demo")
    dvc(pipeline, "repro")
    for name, old in before.items():
        new = rows(pipeline, name)
        assert {clip_id for clip_id in old if old[clip_id] != new[clip_id]} == {video.stem}, name


def test_a_changed_label_or_fold_is_trained_and_scored_again(pipeline: Path) -> None:
    """No shard before the tokens holds a label or a fold, yet both decide what is published."""
    dvc(pipeline, "repro")
    settings = read_yaml(pipeline / "params.yaml")
    data = pipeline / "data/demo"

    def tested() -> dict[str, str]:
        """Label by clip, of what the published scores are of."""
        found = read_table(data / "runs" / settings["train"]["method"] / "fold-1/predictions.parquet", PREDICTIONS)
        assert json.loads((data / "scores.json").read_text())["clips"] == len(found)
        return {row["clip_id"]: row["label"] for row in found}

    before, labels = tested(), Clips(data).labels
    doubtful = next(iter(before))
    (pipeline / "overrides/demo.clips.csv").write_text(f"clip_id,mark,reason\n{doubtful},doubtful,she looks away\n")
    assert {"index", "train", "evaluate", "audit"} <= ran(dvc(pipeline, "repro"))
    assert tested() == {clip_id: label for clip_id, label in before.items() if clip_id != doubtful}
    swapped = dict(zip(labels, [labels[1], labels[0], *labels[2:]], strict=True))
    settings["index"]["labels"] = {"demo": swapped}
    (pipeline / "params.yaml").write_text(json.dumps(settings))
    assert {"index", "train", "evaluate", "audit"} <= ran(dvc(pipeline, "repro"))
    assert tested() == {clip_id: swapped[label] for clip_id, label in before.items() if clip_id != doubtful}


def test_killed_pipelines_end_with_the_same_bytes(project: Path) -> None:
    """Two kills here; `python -m benchmarks.kill` does twenty."""
    command = [sys.executable, "-m", "benchmarks.kill", "--quick"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1])["kills_ok"] == 1.0, done.stderr
