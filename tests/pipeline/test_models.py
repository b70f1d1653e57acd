"""Fetching models of the hub: what is there afterwards is whole, and what is not whole is not taken for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from grace.pipeline.checkpoints import missing_weights, require_model
from grace.pipeline.tokens.checkpoint import Checkpoint
from tests.support.fake_hub import COMMIT, fake_hub

FETCH = """
from grace.pipeline.checkpoints import is_local, require_model
from grace.pipeline.errors import GraceError
from grace.pipeline.named_models import NamedModel, fetch_model
try:
    print(is_local("someone/model"), fetch_model(NamedModel("tokens", "someone/model", None, {trusted})))
    print(require_model("someone/model"))
except GraceError as error:
    print(error)
"""


@pytest.fixture
def published(tmp_path: Path) -> Path:
    folder = tmp_path / "published/someone/model"
    shutil.copytree(require_model("pocket/clip"), folder)
    (folder / "modeling_own.py").write_text("raise SystemExit")
    return folder


def fetch(published: Path, home: Path, trusted: bool = False) -> list[str]:
    with fake_hub(published.parent.parent) as address:
        environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
        environment |= {"HF_HOME": str(home), "HF_ENDPOINT": address}
        code = FETCH.format(trusted=trusted)
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


def test_a_fetched_model_opens_and_brings_code_only_where_it_may_run(published: Path, tmp_path: Path) -> None:
    for trusted in (False, True):
        home = tmp_path / f"home-{trusted}"
        snapshot = home / "hub/models--someone--model/snapshots" / COMMIT
        assert fetch(published, home, trusted) == [f"False {snapshot}", str(snapshot)]
        assert (snapshot / "modeling_own.py").exists() == trusted
    opened = Checkpoint.load(str(snapshot))
    assert opened.source == str(snapshot)
    assert opened.part(AutoTokenizer).vocab_size > 0


def test_weights_in_pytorchs_own_format_are_fetched_where_there_are_no_others(published: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(published / "model.safetensors"), published / "pytorch_model.bin")
    snapshot = tmp_path / "home/hub/models--someone--model/snapshots" / COMMIT
    fetch(published, tmp_path / "home")
    assert not (snapshot / "pytorch_model.bin").exists()
    (published / "model.safetensors").unlink()
    assert fetch(published, tmp_path / "other")[-1].endswith(COMMIT)


def test_a_model_without_weights_is_refused(published: Path, tmp_path: Path) -> None:
    (published / "model.safetensors").rename(published / "model.msgpack")
    (said,) = fetch(published, tmp_path / "home")
    assert said.startswith("someone/model holds no weights that can be opened")


def test_an_interrupted_download_is_not_taken_for_the_model_and_goes_on(published: Path, tmp_path: Path) -> None:
    fetch(published, tmp_path / "home")
    snapshot = tmp_path / "home/hub/models--someone--model/snapshots" / COMMIT
    (snapshot / "model.safetensors").unlink()
    assert missing_weights(snapshot) == "*.safetensors"
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    code = "from grace.pipeline.checkpoints import require_model\nrequire_model('someone/model')"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    sentence = done.stderr.splitlines()[-1]
    assert "in the Hugging Face cache only in part, without *.safetensors" in sentence
    assert sentence.endswith("hf download someone/model")
    assert fetch(published, tmp_path / "home") == [f"False {snapshot}", str(snapshot)]


def test_a_part_of_the_weights_that_the_index_names_is_missed(tmp_path: Path) -> None:
    names = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict(zip("ab", names, strict=True))}))
    (tmp_path / names[0]).write_bytes(b"")
    assert missing_weights(tmp_path) == names[1]
    (tmp_path / names[1]).write_bytes(b"")
    assert missing_weights(tmp_path) == ""
    index.write_text("[]")
    assert missing_weights(tmp_path) == ""
