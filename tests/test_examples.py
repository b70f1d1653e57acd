"""Every example runs: the tables and the notebook on the demo, the solver on its own."""

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

RUN = "data/demo/runs/grace/fold-1"


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


def test_every_cell_of_the_notebook_runs(project: Path, tmp_path: Path) -> None:
    """The code cells in order, in one process of their own; skipped where the demo has not been made."""
    if not (project / RUN / "model.safetensors").is_file():
        pytest.skip("the demo has not been made: run `make demo`")
    cells = json.loads((project / "examples/predict.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 5
    lines = [line for line in "\n".join(code).splitlines() if not line.startswith("%")]  # Jupyter's own commands
    script = tmp_path / "cells.py"
    script.write_text("\n".join([*lines, "print(prediction.label)"]))
    assert run(project, str(script)).split()[-1].isalpha()
