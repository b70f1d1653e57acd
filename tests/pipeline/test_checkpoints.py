"""Which model is meant: named plainly when it is not there, identified by its content, never by where it lies."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from grace.pipeline.checkpoints import (
    knows_only,
    load_tokenizer,
    load_vocabulary,
    model_cache_key,
    model_name,
    require_model,
)
from grace.pipeline.devices import choose_device, choose_dtype
from grace.pipeline.errors import GraceError, UserError
from tests.support.machines import as_nobody

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def make_folder(folder: Path, weights: bytes = b"weights") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "README.md").write_text("a model card")
    return folder


def test_a_folder_is_identified_by_its_content_and_not_by_its_place(tmp_path: Path) -> None:
    here, there = make_folder(tmp_path / "here" / "vlm"), make_folder(tmp_path / "there" / "vlm")
    assert model_cache_key(str(here)) == model_cache_key(str(there))
    assert str(tmp_path) not in json.dumps(model_cache_key(str(here)))
    (there / "README.md").write_text("another model card")
    assert model_cache_key(str(here)) == model_cache_key(str(there))


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "chat_template.jinja", "tokenizer.json"])
def test_any_file_that_changes_answers_changes_the_cache_key(tmp_path: Path, file: str) -> None:
    folder = make_folder(tmp_path / "vlm")
    before = model_cache_key(str(folder))
    (folder / file).write_bytes(b"other content")
    assert model_cache_key(str(folder)) != before


def test_a_folder_that_may_not_be_read_has_no_cache_key(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model")
    with as_nobody(tmp_path):
        folder.chmod(0o300)
        with pytest.raises(GraceError, match="model cannot be read"):
            model_cache_key(str(folder))
        folder.chmod(0o700)


def test_names_lose_what_belongs_to_one_machine() -> None:
    assert model_name("pocket/vlm") == "pocket/vlm"
    assert model_name("./pocket/vlm") == "pocket/vlm"
    assert model_name("/home/somebody/models/vlm") == "vlm"
    assert model_name("../models/vlm") == "vlm"


@pytest.mark.parametrize("name", ["", "nothing/here/at-all", "./nothing", "/nowhere/vlm", "models/vlm", "empty"])
def test_a_model_that_is_not_there_is_said_in_one_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError) as caught:
        require_model(name)
    said = str(caught.value)
    assert name in said
    assert said.endswith(".")
    assert "\n" not in said


@pytest.mark.parametrize("name", ["clip", "vlm", "llm"])
def test_pocket_models_are_found_where_no_such_folder_is(
    name: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    in_the_clone = model_cache_key(f"pocket/{name}")
    monkeypatch.chdir(tmp_path)
    assert Path(require_model(f"pocket/{name}")).samefile(project / "pocket" / name)
    assert model_cache_key(f"pocket/{name}") == in_the_clone
    assert in_the_clone.keys() == {"name", "sha256"}
    assert in_the_clone["name"] == f"pocket/{name}"
    assert knows_only(f"pocket/{name}") == "the rendered world"
    tokenizer, vocabulary = load_tokenizer(f"pocket/{name}"), load_vocabulary(f"pocket/{name}")
    ids = list(range(100))
    assert [vocabulary.id_to_token(number) for number in ids] == tokenizer.convert_ids_to_tokens(ids)
    added = vocabulary.get_added_tokens_decoder()
    assert {number for number, token in added.items() if token.special} >= set(tokenizer.all_special_ids)


def test_a_folder_of_ones_own_comes_before_the_installed_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    installed = model_cache_key("pocket/clip")
    make_folder(tmp_path / "pocket" / "clip")
    assert require_model("pocket/clip") == "pocket/clip"
    assert model_cache_key("pocket/clip") != installed
    assert knows_only("pocket/clip") == ""
    assert Path(require_model("pocket/vlm")).is_dir()
    with pytest.raises(UserError, match="no model folder 'pocket/other'"):
        require_model("pocket/other")


def test_a_vocabulary_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model")
    with pytest.raises(UserError, match="The tokenizer of"):
        load_vocabulary(str(folder))


def hub_cache(home: Path) -> Path:
    """A Hugging Face cache that holds ``someone/model``; returns the folder of its snapshot, which is not there yet."""
    model = home / "hub" / "models--someone--model"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(COMMIT)
    return model / "snapshots" / COMMIT


def test_hub_models_are_identified_by_their_commit_in_the_cache(tmp_path: Path) -> None:
    snapshot = make_folder(hub_cache(tmp_path))
    code = (
        "from grace.pipeline.checkpoints import model_cache_key, require_model\n"
        "print(model_cache_key('someone/model'), require_model('someone/model'))\n"
        "try: require_model('someone/other')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path)}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[0] == f"{{'name': 'someone/model', 'revision': '{COMMIT}'}} {snapshot}"
    sentence = said.stdout.splitlines()[1]
    assert sentence.startswith("UserError There is no model 'someone/other'")
    assert sentence.endswith("Fetch it where there is a network: hf download someone/other")


def test_nothing_is_asked_of_the_hub(tmp_path: Path) -> None:
    """A node without a network would wait for each answer; one with a network would get what was pushed since."""
    shutil.copytree(require_model("pocket/clip"), hub_cache(tmp_path))
    code = (
        "from grace.pipeline.checkpoints import require_model\n"
        "from grace.pipeline.tokens.checkpoint import Checkpoint\n"
        "from transformers import AutoImageProcessor, AutoTokenizer\n"
        "opened = Checkpoint.load('someone/model')\n"
        "opened.part(AutoTokenizer), opened.part(AutoImageProcessor)\n"
        "try: require_model('someone/other')\n"
        "except Exception as error: print(type(error).__name__)\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as hub:
        address = f"http://127.0.0.1:{hub.getsockname()[1]}"
        environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
        environment |= {"HF_HOME": str(tmp_path), "HF_ENDPOINT": address}
        said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert said.stdout.split() == ["UserError"]
        hub.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody called
            hub.accept()


BOMB = "a: &a {x: 1}\n" + "".join(
    f"{b}: &{b} {{<<: [{', '.join([f'*{a}'] * 9)}]}}\n" for a, b in zip("abcdefghij", "bcdefghijk", strict=True)
)
CARDS = {
    "bomb": BOMB,
    "nested": "knows_only: " + "[" * 50_000,
    "no text": "knows_only: [a, b]",
    "twice": "knows_only: a\nknows_only: b",
    "broken": "knows_only: [",
    "a list": "- knows_only",
    "endless": "x" * 1_000_000,
}


@pytest.mark.parametrize("card", CARDS)
def test_a_strangers_model_card_is_read_without_harm(card: str, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model")
    (folder / "README.md").write_text(f"---\n{CARDS[card]}\n---\n# A model\n")
    assert knows_only(str(folder)) == ""


def test_an_unknown_device_is_the_users_mistake() -> None:
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(UserError, match="no device 'tpu9'"):
        choose_device("tpu9")


def test_auto_computes_in_bfloat16_exactly_where_the_processor_has_units_for_it() -> None:
    import torch

    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    assert choose_dtype("auto", torch.device("cpu")) == (torch.bfloat16 if fast else torch.float32)
    assert choose_dtype("float32", torch.device("cpu")) == torch.float32


def test_shipped_models_are_found_without_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (Path(require_model("pocket/clip")) / "model.safetensors").is_file()
    assert model_cache_key("pocket/clip")["name"] == "pocket/clip"
    assert knows_only("pocket/vlm") == "the rendered world"
    own = tmp_path / "pocket/clip"
    own.mkdir(parents=True)
    (own / "config.json").write_text("{}")
    assert require_model("pocket/clip") == "pocket/clip"
