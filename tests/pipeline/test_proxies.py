"""A server on this machine is asked directly; a proxy on the way to another one is said, without its password."""

from __future__ import annotations

import logging

import pytest

from benchmarks.server_faults import FINE, GOOD_TEXT, Behaviour, misbehaving
from grace.pipeline.doctor import examine
from grace.pipeline.engines import Request
from grace.pipeline.engines.openai import OpenAIEngine
from grace.pipeline.engines.proxies import proxy_of
from grace.pipeline.engines.settings import ServerSettings
from grace.pipeline.errors import GraceError
from grace.pipeline.settings import PipelineSettings

SECRET = "sk-of-the-proxy-4711"
FINE_SERVER = Behaviour("fine", "answer", GOOD_TEXT, lambda: [FINE])
QUESTION = Request(({"role": "user", "content": [{"type": "text", "text": "poisoned question"}]},))
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)


def ask(url: str) -> str:
    engine = OpenAIEngine("m", ServerSettings(url=url, timeout=5, retry_timeout=0.2))
    try:
        engine.open()
        (response,) = engine.generate([QUESTION])
        return response.text or response.error
    except GraceError as error:
        return str(error)
    finally:
        engine.close()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY", "http_proxy"])
def test_a_server_on_this_machine_is_asked_directly(
    host: str, variable: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with misbehaving(FINE_SERVER) as server, misbehaving(FINE_SERVER) as proxy:
        monkeypatch.setenv(variable, proxy.url.removesuffix("/v1"))
        assert ask(server.url.replace("127.0.0.1", host)) == GOOD_TEXT
        assert server.received and not proxy.received
    assert not caplog.records


def test_a_proxy_to_another_host_is_said_once_and_without_its_password(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with misbehaving(FINE_SERVER) as proxy:
        address = proxy.url.removesuffix("/v1")
        monkeypatch.setenv("HTTP_PROXY", address.replace("http://", f"http://me:{SECRET}@"))
        with caplog.at_level(logging.WARNING):
            assert ask("http://models.example:8000/v1") == GOOD_TEXT
        assert proxy.received
        (said,) = [record.getMessage() for record in caplog.records]
        assert f"go through the proxy {address}, which the environment names" in said
        settings = PipelineSettings.model_validate(
            {"caption": {"engine": "openai", "model": "m", "server": {"url": "http://models.example:8000/v1"}}}
        )
        noted = [found for found in examine(settings) if "through the proxy" in found.sentence]
        assert [(found.kind, found.subject) for found in noted] == [("note", "caption")]
        assert SECRET not in said + noted[0].sentence


def test_a_proxy_that_cannot_be_used_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"ftp://me:{SECRET}@proxy.example:21")
    said = ask("http://models.example/v1")
    assert said.startswith("The proxy ftp://proxy.example:21, which the environment names, cannot be used")
    assert SECRET not in said


@pytest.mark.parametrize(
    ("url", "exceptions", "through"),
    [
        ("http://models.example/v1", "", True),
        ("http://models.example/v1", "models.example", False),
        ("http://models.example/v1", "example", False),
        ("http://models.example/v1", "other", True),
        ("http://10.1.2.3:8000/v1", "10.0.0.0/8", False),
        ("http://10.1.2.3:8000/v1", "192.168.0.0/16, ::1/128", True),
        ("http://models.example/v1", "*", False),
        ("http://localhost./v1", "", False),
        ("http://box.localhost/v1", "", False),
        ("http://127.8.9.1/v1", "", False),
        ("http://[::1]:8000/v1", "", False),
        ("http://[::ffff:127.0.0.1]:8000/v1", "", False),
        ("http://0.0.0.0:8000/v1", "", False),
        ("http://[broken", "", False),
    ],
)
def test_which_servers_are_asked_directly(
    url: str, exceptions: str, through: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", exceptions)
    assert proxy_of(url) == ("http://proxy.example:3128" if through else "")


def test_addresses_of_loopback_over_ipv6_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert "has been away or busy" in ask("http://[::1]:9/v1")
