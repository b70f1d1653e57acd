"""A key that stands in a server's address is sent to that server, and is in no file, message or answer."""

from __future__ import annotations

import base64
import json
import logging
from pathlib import Path

import pytest
import yaml

from benchmarks.server_faults import FINE, GOOD_TEXT, POISON, Behaviour, http, message, misbehaving
from grace.pipeline.engines import Request
from grace.pipeline.engines.http_client import ServerClient
from grace.pipeline.engines.openai import OpenAIEngine
from grace.pipeline.engines.responses import CachedEngine, ResponseStore
from grace.pipeline.engines.settings import ServerSettings
from grace.pipeline.errors import GraceError, UserError
from grace.pipeline.settings import PipelineSettings
from grace.pipeline.steps import step_sections
from grace.trainer.runs import encode_config, read_config
from grace.trainer.settings import TrainSettings
from grace.trainer.train import train
from tests.support.toy_cache import TRAIN, toy_cache

SECRETS = ("SuperSecret123", "aTokenOf/25", "QUERYKEY999")
ADDRESSES = {
    "user and password": ("me:SuperSecret123@", ""),
    "a password that is escaped": ("me:aTokenOf%2F25@", ""),
    "a token as the user": ("SuperSecret123@", ""),
    "a query": ("", "?api-key=QUERYKEY999&mode=standard"),
    "all of them": ("SuperSecret123:aTokenOf%2F25@", "?api-key=QUERYKEY999"),
}
GOOD = Behaviour("fine", "answer", GOOD_TEXT, lambda: [FINE])


def address(url: str, parts: tuple[str, str]) -> str:
    return url.replace("http://", f"http://{parts[0]}") + parts[1]


def assert_no_secret(*texts: str) -> None:
    for text in texts:
        for secret in (*SECRETS, "aTokenOf%2F25", base64.b64encode(b"me:SuperSecret123").decode()):
            assert secret not in text


def ask(url: str, folder: Path) -> str:
    """What a question is answered, or the sentence that says why it is not."""
    engine = CachedEngine(OpenAIEngine("m", ServerSettings(url=url, timeout=5, retry_timeout=5)), ResponseStore(folder))
    engine.open()
    try:
        (response,) = engine.generate([Request(({"role": "user", "content": [{"type": "text", "text": POISON}]},))])
        return response.error or response.text
    except GraceError as error:
        return str(error)
    finally:
        engine.close()


@pytest.mark.parametrize("parts", ADDRESSES.values(), ids=ADDRESSES)
def test_a_server_that_repeats_what_it_was_sent_shows_no_key(
    parts: tuple[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr("grace.pipeline.engines.openai.FIRST_PAUSE", 0.01)
    caplog.set_level(logging.DEBUG)
    said, sent = [], b""
    for status in ("200 OK", "400 Bad Request", "401 Unauthorized", "500 Failure", "307 Moved"):
        received: list[bytes] = []

        def echo(status: str = status, received: list[bytes] = received) -> list[bytes]:
            seen = next(request for request in received if POISON.encode() in request).split(b"\r\n\r\n")[0].decode()
            where = seen.split()[1]
            texts = f"You sent {seen}, in other words {parts}: {base64.b64decode(_basic(seen)).decode()}"
            body = message(content=texts) if status == "200 OK" else {"error": {"message": texts}}
            return [http(json.dumps(body).encode(), status, f"Location: http://127.0.0.1:9{where}")]

        with misbehaving(Behaviour("echo", "row", "", echo)) as server:
            server.received = received
            said.append(ask(address(server.url, parts), tmp_path / status[:3]))
        sent = b"".join(received)
    assert_no_secret(caplog.text, *said, *(path.read_text() for path in tmp_path.rglob("*.jsonl")))
    assert all(each for each in said)
    assert b"POST /v1/chat/completions" in sent
    if parts[1]:
        assert b"POST /v1/chat/completions?api-key=QUERYKEY999" in sent
        assert ("standard" in said[0]) == ("standard" in parts[1])  # a word that an answer may hold
    if parts[0]:
        assert b"authorization: basic" in sent.lower()


def _basic(request: str) -> str:
    for line in request.splitlines():
        if line.lower().startswith("authorization: basic "):
            return line.split()[2]
    return ""


def test_the_name_of_a_server_is_its_place_alone() -> None:
    urls = [address("http://127.0.0.1:9/v1", parts) for parts in ADDRESSES.values()]
    assert {ServerClient(ServerSettings(url=url)).name for url in urls} == {"http://127.0.0.1:9/v1/"}
    with pytest.raises(UserError) as broken:
        ServerClient(ServerSettings(url=address("htp://127.0.0.1/v1", ("", "?api-key=QUERYKEY999"))))
    assert_no_secret(str(broken.value))


def test_no_run_holds_a_server(tmp_path: Path) -> None:
    """Those of earlier versions do: what is read of them does not."""
    url = address("http://127.0.0.1:9/v1", ADDRESSES["all of them"])
    settings = PipelineSettings.model_validate({stage: {"server": {"url": url}} for stage in ("caption", "refine")})
    content = step_sections(settings)
    assert set(content) == {"faces", "motion", "caption", "refine", "tokens"}
    folder = toy_cache(tmp_path / "toy")
    chosen = TrainSettings.model_validate({**TRAIN, "method": "vision", "epochs": 1})
    train(folder, chosen, 1, pipeline=content, quiet=True)
    run = folder / "runs/vision/fold-1"
    for path in (path for path in run.rglob("*") if path.is_file()):
        assert_no_secret(path.read_bytes().decode("latin-1"))
        assert "127.0.0.1" not in path.read_bytes().decode("latin-1")
    old = read_config(run).model_copy(update={"pipeline": settings.model_dump(mode="json", include=set(content))})
    (run / "config.yaml").write_bytes(encode_config(old))
    assert "SuperSecret123" in yaml.safe_load((run / "config.yaml").read_text())["pipeline"]["caption"]["server"]["url"]
    assert read_config(run).pipeline == content
