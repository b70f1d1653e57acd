"""Engine openai against a real server that misbehaves in every way of the table: one row, one sentence, no key."""

from __future__ import annotations

import logging
import ssl
import subprocess
from pathlib import Path

import pytest

from benchmarks.server_faults import BEHAVIOURS, FINE, GOOD_TEXT, KEY, POISON, Behaviour, http, misbehaving
from grace.pipeline.engines import Request
from grace.pipeline.engines.http_client import ServerClient
from grace.pipeline.engines.openai import OpenAIEngine
from grace.pipeline.engines.responses import CachedEngine, ResponseStore
from grace.pipeline.engines.settings import ServerSettings
from grace.pipeline.errors import GraceError, UserError


def question(text: str) -> Request:
    return Request(({"role": "user", "content": [{"type": "text", "text": text}]},))


FINE_SERVER = Behaviour("fine", "answer", GOOD_TEXT, lambda: [FINE])


@pytest.fixture(autouse=True)
def _key_and_short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr("grace.pipeline.engines.openai.FIRST_PAUSE", 0.01)


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.name)
def test_a_misbehaviour_costs_its_question_or_is_said(
    behaviour: Behaviour, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with misbehaving(behaviour) as server:
        slow = "busy" in behaviour.name
        patience = 20.0 if "endless" in behaviour.name else 0.4  # a flood is cut by its size, not by time
        settings = ServerSettings(url=server.url, timeout=patience, retry_timeout=0.1 if slow else 5.0)
        engine = CachedEngine(OpenAIEngine("m", settings), ResponseStore(tmp_path))
        engine.open()
        said = ""
        try:
            before, poisoned, after = engine.generate([question("before"), question(POISON), question("after")])
        except GraceError as error:
            outcome, said = "sentence", str(error)
        else:
            outcome, said = ("row", poisoned.error) if poisoned.error else ("answer", poisoned.text)
            assert (before.text, after.text) == (GOOD_TEXT, GOOD_TEXT)
        finally:
            engine.close()
    assert outcome == behaviour.outcome, said
    assert behaviour.says in said
    assert len(said) < 600
    said.encode()
    for place in (said, caplog.text, *(path.read_text() for path in tmp_path.glob("*.jsonl"))):
        assert KEY not in place
        assert KEY[:12] not in place
    assert any(KEY.encode() in request for request in server.received)


def test_the_table_is_large_and_its_names_differ() -> None:
    assert len(BEHAVIOURS) >= 60
    assert len({behaviour.name for behaviour in BEHAVIOURS}) == len(BEHAVIOURS)


def test_pictures_never_follow_a_redirect() -> None:
    with misbehaving(FINE_SERVER) as other:
        moved = Behaviour("moved", "sentence", "", lambda: [http(b"", "307 Moved", f"Location: {other.url}")])
        with misbehaving(moved) as server:
            engine = OpenAIEngine("m", ServerSettings(url=server.url))
            engine.open()
            with pytest.raises(UserError, match="nothing was sent there"):
                list(engine.generate([question(POISON)]))
            engine.close()
    assert other.received == []


def test_a_certificate_that_nobody_vouches_for_stops_at_once(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    try:
        subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not there to make a certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with misbehaving(FINE_SERVER, context) as server, pytest.raises(UserError, match="SSL_CERT_FILE"):
        OpenAIEngine("m", ServerSettings(url=server.url)).open()


def test_a_server_without_encryption_named_as_https_stops_at_once() -> None:
    with misbehaving(FINE_SERVER) as server, pytest.raises(UserError, match="name http://"):
        OpenAIEngine("m", ServerSettings(url=server.url.replace("http:", "https:"))).open()
    assert not any(KEY.encode() in request for request in server.received)


@pytest.mark.parametrize(
    "url", ["nowhere", "ftp://127.0.0.1/v1", "http://", "http://127.0.0.1:99999/v1", "http://[::1"]
)
def test_an_address_that_is_none_is_said(url: str) -> None:
    with pytest.raises(UserError, match=r"server\.url"):
        OpenAIEngine("m", ServerSettings(url=url)).open()


def test_a_password_in_the_address_is_never_shown() -> None:
    address = "http://me:a-long-password@127.0.0.1:9/v1"
    with pytest.raises(GraceError, match="away") as caught:
        OpenAIEngine("m", ServerSettings(url=address, retry_timeout=0)).open()
    assert "password" not in str(caught.value)
    with pytest.raises(UserError) as broken:
        OpenAIEngine("m", ServerSettings(url="ftp://me:a-long-password@127.0.0.1/v1")).open()
    assert "password" not in str(broken.value)


@pytest.mark.parametrize("key", ["sk-two\nlines", "sk-tilde-\u2019s", "sk-\x00-nul-nul"])
def test_a_key_that_cannot_be_sent_is_said_without_it(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {"OPENAI_API_KEY": key})
    with pytest.raises(UserError, match="OPENAI_API_KEY") as caught:
        ServerClient(ServerSettings(url="http://127.0.0.1:9/v1"))
    assert "sk-" not in str(caught.value)
