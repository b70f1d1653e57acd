"""Data sets of trials as projects of DVC."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
from pathlib import Path

from benchmarks.fault_trial import Ran
from benchmarks.harness import PROJECT


def dvc(*words: str) -> Ran:
    """Run ``dvc`` in this process; what it says of errors becomes one of our sentences."""
    from dvc.cli import main

    said = io.StringIO()
    handler = logging.StreamHandler(said)
    logging.getLogger("dvc").addHandler(handler)
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main([*words])
    text = said.getvalue()
    error = f"error: {' '.join(text.split())[-200:]}"
    return Ran(code, text if not code else error)


def dvc_project(folder: Path) -> None:
    """The base of clips as a project of DVC whose one stage is the index, up to date."""
    os.environ["PYTHONPATH"] = str(PROJECT)
    os.environ["DVC_NO_ANALYTICS"] = "1"
    index = {"cmd": f"{sys.executable} -m stages index -d mine", "deps": ["raw"], "outs": ["data/mine/clips.parquet"]}
    (folder / "dvc.yaml").write_text(json.dumps({"stages": {"index": index}}))
    for words in (("init", "--no-scm", "-q"), ("commit", "-f", "-q")):
        ran = dvc(*words)
        if ran.exit_code:
            raise RuntimeError(ran.output)
