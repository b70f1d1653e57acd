"""Ways in which a server misbehaves, as data, and a real server on loopback that does so.

``BEHAVIOURS`` is a table: what goes over the wire for a poisoned question, and what has to become of it. Every other
question is answered properly, so that a behaviour that costs more than its own question is seen.
"""

from __future__ import annotations

import gzip
import json
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, cycle, repeat
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any, Literal

KEY = "sk-loopback-0123456789"
"""The key that the questions are sent with; servers here repeat it, and it must not arrive anywhere."""
POISON = "poisoned question"
GOOD_TEXT = "The brows rise and the lips part."

Outcome = Literal["row", "sentence", "answer"]
"""One failed response and all others fine; one sentence that stops the stage; a proper answer after all."""


@dataclass(frozen=True)
class Behaviour:
    """What a server does with a poisoned question.

    ``wire`` is what it sends: bytes, and pauses in seconds in between; then it closes the connection. ``then`` is sent
    from the second time on that the question comes, where that differs. ``says`` is a part of the error.
    """

    name: str
    outcome: Outcome
    says: str
    wire: Callable[[], Iterable[bytes | float]]
    then: Callable[[], Iterable[bytes | float]] | None = None


def http(content: bytes, status: str = "200 OK", headers: str = "Content-Type: application/json") -> bytes:
    """A whole answer on the wire."""
    head = f"HTTP/1.1 {status}\r\n{headers}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode("utf-8", "surrogateescape") + content


def answer(**changes: Any) -> dict[str, Any]:
    """A completion, with some of its keys changed."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": GOOD_TEXT}}
    usage = {"prompt_tokens": 11, "completion_tokens": 7}
    return {"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage, **changes}


def message(**changes: Any) -> dict[str, Any]:
    """A completion whose message has some of its keys changed."""
    return answer(choices=[{"finish_reason": "stop", "message": {"role": "assistant", **changes}}])


def _json(
    value: Any, status: str = "200 OK", headers: str = "Content-Type: application/json"
) -> Callable[[], Iterable[bytes | float]]:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return lambda: [http(content, status, headers)]


def _error(text: str) -> dict[str, Any]:
    return {"error": {"message": text, "type": "t"}}


def _raw(*parts: bytes | float) -> Callable[[], Iterable[bytes | float]]:
    return lambda: parts


def _drip(start: bytes, drop: bytes) -> Callable[[], Iterable[bytes | float]]:
    """``start``, then ``drop`` again and again without an end."""
    return lambda: chain([start], cycle([drop, 0.05]))


def _flood(start: bytes, block: bytes) -> Callable[[], Iterable[bytes | float]]:
    """``start``, then ``block`` as fast as it is taken, without an end."""
    return lambda: chain([start], repeat(block))


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
FINE = http(json.dumps(answer()).encode())
NOT = "no completion"

_SHAPES: list[tuple[str, Any, str]] = [
    ("content is a number", message(content=5), NOT),
    ("content is a list", message(content=[{"type": "text", "text": "x"}]), NOT),
    ("content is an object", message(content={"text": "x"}), NOT),
    ("content is a truth value", message(content=True), NOT),
    ("refusal is a list", message(content="x", refusal=[1]), NOT),
    ("message is a text", answer(choices=[{"message": "x"}]), NOT),
    ("message is missing", answer(choices=[{"finish_reason": "stop"}]), NOT),
    ("message is null", answer(choices=[{"message": None}]), NOT),
    ("choices is an object", answer(choices={"0": 1}), NOT),
    ("choices is a text", answer(choices="none"), NOT),
    ("choices is null", answer(choices=None), NOT),
    ("choices is empty", answer(choices=[]), "no choice"),
    ("a choice is a number", answer(choices=[3]), NOT),
    ("finish_reason is a number", answer(choices=[{"finish_reason": 3, "message": {"content": "x"}}]), NOT),
    ("finish_reason is a list", answer(choices=[{"finish_reason": ["stop"], "message": {"content": "x"}}]), NOT),
    ("usage is a list", answer(usage=[1, 2]), NOT),
    ("usage is a text", answer(usage="many"), NOT),
    ("a count is a text", answer(usage={"prompt_tokens": "many"}), NOT),
    ("a count is huge", answer(usage={"prompt_tokens": 10**30}), NOT),
    ("a count is negative", answer(usage={"completion_tokens": -1}), NOT),
    ("a count is a fraction", answer(usage={"completion_tokens": 1.5}), NOT),
    ("a count is NaN", answer(usage={"prompt_tokens": float("nan")}), NOT),
    ("a count is infinite", answer(usage={"prompt_tokens": float("inf")}), NOT),
    ("a lone surrogate", b'{"choices": [{"message": {"content": "x \\ud800 y"}}]}', "broken JSON"),
    ("bytes that are no UTF-8", b'{"choices": [{"message": {"content": "\xff\xfe"}}]}', "broken JSON"),
    ("JSON 100,000 levels deep", b'{"choices": ' + b"[" * 100_000, "broken JSON"),
    ("an object 100,000 levels deep", b'{"a": ' * 100_000, "broken JSON"),
    ("half a JSON", b'{"choices": [{"mess', "broken JSON"),
    ("a count of 5,000 digits", b'{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": '
     + b"9" * 5000 + b"}}", "broken JSON"),
    ("a list in the answer's place", [answer()], NOT),
    ("a number in the answer's place", b"7", NOT),
    ("an error with status 200", _error("the model ran out of memory"), "ran out of memory"),
    ("nothing at all", b"", "no JSON"),
    ("an event stream", b"data: {}\n\ndata: [DONE]\n\n", "no JSON"),
    ("HTML", b"<!DOCTYPE html><html><body>Welcome</body></html>", "HTML"),
]  # fmt: skip

_STATUSES: list[tuple[str, str, str, Outcome, str]] = [
    ("an error of its own", "500 No", "", "row", "answers 500"),
    ("not implemented", "501 No", "", "row", "answers 501"),
    ("too large", "413 No", "", "row", "answers 413"),
    ("a status nobody knows", "799 No", "", "row", "answers 799"),
    ("no content", "204 No Content", "", "row", "no JSON"),
    ("switching protocols", "101 Switching Protocols", "Upgrade: x\r\nConnection: upgrade", "row", "server"),
    ("forbidden", "403 No", "", "sentence", "OPENAI_API_KEY"),
    ("busy for a day", "429 No", "Retry-After: 86400", "sentence", "away or busy"),
    ("busy for ever", "503 No", "Retry-After: inf", "sentence", "away or busy"),
    ("busy until yesterday", "503 No", "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT", "sentence", "away or busy"),
    ("busy until the year 9999", "503 No", "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT", "sentence", "away or busy"),
    ("busy, less than no time", "503 No", "Retry-After: -60", "sentence", "away or busy"),
    ("busy, not a number", "503 No", "Retry-After: nan", "sentence", "away or busy"),
    ("busy, nonsense", "503 No", "Retry-After: \x7f later", "sentence", "away or busy"),
    ("moved for good", "301 Moved", "Location: http://127.0.0.1:9/v1", "sentence", "redirects to http://127.0.0.1:9"),
    ("moved, pictures and all", "307 Moved", "Location: http://127.0.0.1:9/v1", "sentence", "redirects to"),
    ("moved to nowhere", "308 Moved", "", "sentence", "redirects to another place"),
    ("moved to a link with the key", "302 Moved", f"Location: http://127.0.0.1:9/?k={KEY}", "sentence", "redirects"),
]  # fmt: skip

_CONNECTIONS: list[tuple[str, Callable[[], Iterable[bytes | float]], str]] = [
    ("closes without an answer", _raw(), "no answer that is HTTP"),
    ("answers what is no HTTP", _raw(b"SSH-2.0-OpenSSH_9.6\r\n"), "no answer that is HTTP"),
    ("answers zeros", _raw(b"\0" * 70_000), "no answer that is HTTP"),
    ("never answers", _raw(3600.0), "no answer within"),
    ("drips its status line", _drip(b"HTTP/1.1 2", b"0"), "server"),
    ("drips its headers", _drip(HEAD, b"X-A: b\r\n"), "server"),
    ("drips its answer", _drip(HEAD + b"Content-Length: 100000\r\n\r\n{", b" "), "no answer within"),
    ("drips chunks", _drip(CHUNKED, b"1\r\n \r\n"), "no answer within"),
    ("begins, then is silent", _raw(HEAD + b'Content-Length: 99\r\n\r\n{"choices', 3600.0), "no answer within"),
    ("a flood of 1xx", _flood(b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 10), "no answer within"),
    ("a flood of headers", _flood(HEAD, b"X-A: " + b"b" * 1000 + b"\r\n"), "no answer that is HTTP"),
    ("one endless header", _flood(HEAD + b"X-A: ", b"b" * 10_000), "no answer that is HTTP"),
    ("an endless answer", _flood(HEAD + b"\r\n", b" " * 100_000), "longer than"),
    ("endless chunks", _flood(CHUNKED, b"10000\r\n" + b" " * 0x10000 + b"\r\n"), "longer than"),
    ("a length that is cut", _raw(HEAD + b'Content-Length: 5000\r\n\r\n{"choices"'), "breaks off"),
    ("a length that is no number", _raw(HEAD + b"Content-Length: many\r\n\r\n{}"), "no answer that is HTTP"),
    ("a negative length", _raw(HEAD + b"Content-Length: -5\r\n\r\n{}"), "no answer that is HTTP"),
    ("two lengths", _raw(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"), "no answer that is HTTP"),
    ("chunk sizes that are nonsense", _raw(CHUNKED + b"xyz\r\n{}\r\n0\r\n\r\n"), "breaks off"),
    ("a chunk longer than the memory", _raw(CHUNKED + b"7fffffffffffffff\r\n{}"), "breaks off"),
    ("chunks without an end", _raw(CHUNKED + b"2\r\n{}\r\n"), "breaks off"),
    ("a compressed bomb", _raw(http(gzip.compress(bytes(50_000_000)), headers="Content-Encoding: gzip")), "compresses"),
    ("compressed nonsense", _raw(http(b"no gzip", headers="Content-Encoding: gzip")), "compresses"),
    ("a compression nobody has", _raw(http(b"x", headers="Content-Encoding: x-unknown")), "compresses"),
]  # fmt: skip

_KEYS: list[tuple[str, Callable[[], Iterable[bytes | float]], Outcome, str]] = [
    ("repeats the key in an error", _json(_error(f"no such key Bearer {KEY}!"), "400 No"), "row", "no such key"),
    ("repeats the key across the limit", _json(_error("x" * 190 + KEY), "500 No"), "row", "answers 500"),
    ("repeats the key in HTML", _json(f"<b>{KEY}</b>".encode(), "500 No", "Content-Type: text/html"), "row", "<b>"),
    ("repeats the key when denying", _json(_error(f"bad key {KEY}"), "401 No"), "sentence", "bad key"),
    ("repeats the key when busy", _json(_error(f"too many for {KEY}"), "429 No"), "sentence", "too many"),
    ("repeats the key in an error with status 200", _json(_error(f"bad {KEY}")), "row", "answers with an error: bad"),
    ("repeats the key in its answer", _json(message(content=f"The lips part, {KEY}.")), "answer", "The lips part"),
]  # fmt: skip

_RECOVERING: list[tuple[str, Callable[[], Iterable[bytes | float]]]] = [
    ("is busy once", _json(_error("busy"), "503 No", "Retry-After: 0")),
    ("closes once", _raw()),
    ("breaks off once", _raw(HEAD + b"Content-Length: 5000\r\n\r\n{")),
    ("sends broken JSON once", _json(b"{")),
]

BEHAVIOURS: tuple[Behaviour, ...] = (
    *(Behaviour(name, "row", says, _json(value)) for name, value, says in _SHAPES),
    *(Behaviour(f"status {status[:3]}: {name}", outcome, says, _json(_error("no"), status, headers or "X-A: b"))
      for name, status, headers, outcome, says in _STATUSES),
    *(Behaviour(name, "row", says, wire) for name, wire, says in _CONNECTIONS),
    *(Behaviour(name, outcome, says, wire) for name, wire, outcome, says in _KEYS),
    *(Behaviour(name, "answer", GOOD_TEXT, wire, _raw(FINE)) for name, wire in _RECOVERING),
    Behaviour("one answer too many", "answer", GOOD_TEXT, _raw(FINE + http(json.dumps(message(content="x")).encode()))),
    Behaviour("hints before its answer", "answer", GOOD_TEXT, _raw(b"HTTP/1.1 103 Early Hints\r\n\r\n", FINE)),
    Behaviour("another word for a whole answer", "answer", "x", _json(answer(
        choices=[{"finish_reason": "eos", "message": {"content": "x"}}]))),
    *(Behaviour(f"an answer that ends by {each}", "row", f"finish_reason '{each}'", _json(answer(
        choices=[{"finish_reason": each, "message": {"content": "The bro"}}]))) for each in ("abort", "ERROR", "x y")),
    Behaviour("no usage", "answer", GOOD_TEXT, _json(answer(usage=None))),
    Behaviour("counts that are null", "answer", GOOD_TEXT, _json(answer(usage={"prompt_tokens": None}))),
)  # fmt: skip
"""The table. With ``timeout`` below a second and ``retry_timeout`` of a second, each takes a few seconds at most."""


@dataclass
class FaultyServer:
    """A server under way: its address, and how often it was asked the poisoned question."""

    behaviour: Behaviour
    url: str = ""
    poisoned: int = 0
    received: list[bytes] = field(default_factory=list)


class _Handler(StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        with suppress(OSError):  # the client hangs up, as it has to
            if self.rfile.peek(1)[:1] == b"\x16":  # type: ignore[attr-defined]  # TLS, which this server does not speak
                self.wfile.write(http(b"", "400 Bad Request"))
                return
            self._answer(self._receive())
            self.connection.shutdown(socket.SHUT_WR)

    def _receive(self) -> bytes:
        head, length = b"", 0
        while (line := self.rfile.readline(65536)).strip():
            head += line
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        return head + self.rfile.read(length)

    def _answer(self, request: bytes) -> None:
        state = self.server.state
        state.received.append(request)
        if request.startswith(b"GET"):
            self.wfile.write(http(json.dumps({"object": "list", "data": [{"id": "m"}]}).encode()))
            return
        if POISON.encode() not in request:
            self.wfile.write(FINE)
            return
        state.poisoned += 1
        behaviour = state.behaviour
        wire = behaviour.then if behaviour.then and state.poisoned > 1 else behaviour.wire
        for part in wire():
            if isinstance(part, bytes):
                self.wfile.write(part)
            else:
                self.connection.settimeout(part)
                with suppress(TimeoutError):
                    if not self.connection.recv(1):
                        return  # the client has gone
                self.connection.settimeout(None)


class _Server(ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, state: FaultyServer, tls: ssl.SSLContext | None) -> None:
        self.state, self.tls = state, tls
        super().__init__(("127.0.0.1", 0), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        with suppress(ssl.SSLError, ConnectionError):
            wrapped = self.tls.wrap_socket(request, server_side=True) if self.tls else request
            super().finish_request(wrapped, client_address)


@contextmanager
def misbehaving(behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[FaultyServer]:
    """A server on a free port of loopback that answers poisoned questions as ``behaviour`` says, over TLS if given."""
    state = FaultyServer(behaviour)
    with _Server(state, tls) as server:
        state.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}/v1"
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
