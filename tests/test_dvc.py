"""The road under DVC, for real: it runs, skips, shows scores and plots, tries another method, survives being killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT / "benchmarks"))
from kill import copy_project, repro  # noqa: E402


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small road, run to its end in a repository of its own."""
    folder = tmp_path_factory.mktemp("road")
    copy_project(folder)
    repro(folder)
    commit = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "-qm", "road"]
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


def test_a_second_run_runs_nothing(road: Path) -> None:
    assert ran(dvc(road, "repro")) == set()


def test_any_video_goes_through_the_whole_road(road: Path, tmp_path: Path) -> None:
    """Probabilities, text, a picture, and the warning that the pocket models know drawn faces only."""
    video = next((road / "raw/demo/clips").glob("*.mp4"))
    command = [str(Path(sys.executable).parent / "grace"), "predict", str(video)]
    done = subprocess.run([*command, "--out", str(tmp_path / "met.png")], cwd=road, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "happiness" in done.stdout
    assert "caption:" in done.stdout
    assert "know only the rendered world" in " ".join(done.stderr.split())
    assert (tmp_path / "met.png").stat().st_size > 10_000


def test_metrics_and_plots_show(road: Path) -> None:
    assert "UAR" in dvc(road, "metrics", "show")
    dvc(road, "plots", "show")
    page = (road / "dvc_plots" / "index.html").read_text()
    assert "confusion" in page
    assert "validation_uar" in page


def test_a_changed_parameter_runs_only_what_depends_on_it(road: Path) -> None:
    settings = json.loads((road / "params.yaml").read_text())
    changed = {**settings, "evaluate": {**settings["evaluate"], "bootstrap": 60}}
    (road / "params.yaml").write_text(json.dumps(changed))
    assert ran(dvc(road, "repro")) == {"evaluate"}
    changed["motion"] = {**settings["motion"], "method": "difference"}
    (road / "params.yaml").write_text(json.dumps(changed))
    tokens = (road / "data/demo/tokens/00000.h5").read_bytes()
    # Tokens are asked, since `tokens.keep` would read motion; without it they stay as they are.
    assert ran(dvc(road, "repro")) == {"motion", "tokens", "train", "evaluate"}
    assert (road / "data/demo/tokens/00000.h5").read_bytes() == tokens


def test_an_experiment_with_another_method(road: Path) -> None:
    dvc(road, "exp", "run", "-S", "train.method=vision")
    assert json.loads((road / "data/demo/metrics.json").read_text())["method"] == "vision"


def test_killed_roads_end_with_the_same_bytes() -> None:
    """Two kills here; `python benchmarks/kill.py` does twenty."""
    command = [sys.executable, str(PROJECT / "benchmarks/kill.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1])["kills_ok"] == 1.0, done.stderr
