"""Every example runs: the tables and the notebook on small data sets, the solver on its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from grace.pipeline.store.schemas import DESCRIPTIONS
from grace.pipeline.store.store import Store


def run(project: Path, *arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """Three clips with their cues, as index and refine write them."""
    clips = {"a": "anger", "b": "anger", "c": "fear"}
    regions = {"a": ["brows", "brows", "mouth"], "b": [], "c": ["eyes"]}
    pd.DataFrame({"clip_id": clips.keys(), "label": clips.values()}).to_parquet(tmp_path / "clips.parquet")
    rows = []
    for clip in clips:
        row: dict[str, Any] = {column.name: "" for column in DESCRIPTIONS.columns}
        cues = [{"region": region, "action": "", "intensity": "", "phase": ""} for region in regions[clip]]
        rows.append({**row, "clip_id": clip, "status": "ok", "cues": cues, "label_visible": False, "attempts": 1})
    Store(tmp_path / "descriptions", DESCRIPTIONS).write(0, rows, {"fingerprint": "made here"})
    return tmp_path


def test_tables_agree_in_pandas_and_duckdb(project: Path, tables: Path) -> None:
    said = run(project, "examples/tables.py", str(tables))
    shares = {tuple(line.split()[:1]): line.split()[1:] for line in said.splitlines()[-2:]}
    assert "brows  eyes  mouth" in re.sub(r" {2,}", "  ", said)
    assert shares == {("anger",): ["0.5", "0.0", "0.5"], ("fear",): ["0.0", "1.0", "0.0"]}


def test_the_transport_plan_is_that_of_pot(project: Path, tmp_path: Path) -> None:
    said = run(project, "examples/transport.py", str(tmp_path / "plan.png"))
    differences = [float(found) for found in re.findall(r"difference from POT (\S+)", said)]
    assert len(differences) == 2
    assert max(differences) < 1e-4
    assert re.search(r"balanced: .* 33% of the mass goes to the far points", said)
    assert (tmp_path / "plan.png").stat().st_size > 10_000


def test_every_cell_of_the_notebook_runs(
    project: Path, small_demo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The code cells in order, but for Jupyter's own commands."""
    monkeypatch.chdir(small_demo / "raw")  # the first cell goes to the folder above where it has to
    cells = json.loads((project / "examples/predict.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 5
    names: dict[str, Any] = {}
    for number, cell in enumerate(code):
        lines = [line for line in cell.splitlines() if not line.startswith("%")]
        exec(compile("\n".join(lines), f"cell {number}", "exec"), names)
    assert names["prediction"].label == "sadness", "the first film is a sad one"
    assert names["clip"].description in capsys.readouterr().out
    assert len(names["cues"]) == len(names["descriptions"]) == 16
