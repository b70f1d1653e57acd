"""A real HTTP server on loopback that answers chat completions as scripted: well, badly, late, or not at all."""

from __future__ import annotations

import hashlib
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any


@dataclass
class Reply:
    """What goes over the wire: ``body`` as it is, or as JSON when it is no text; cut short after ``sent`` bytes."""

    body: Any = ""
    status: int = 200
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0.0
    sent: int | None = None


def completion(text: str | None, finish_reason: str = "stop", **message: Any) -> Reply:
    """A well-formed answer."""
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": text, **message}}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    body = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
    return Reply(body)


def trouble(status: int, message: str = "no", **headers: str) -> Reply:
    """An error as OpenAI's servers put it."""
    return Reply({"error": {"message": message, "type": "t", "code": None}}, status, headers=headers)


def text_of(body: dict[str, Any]) -> str:
    """All text of a request."""
    return "\n".join(
        part["text"] for message in body["messages"] for part in message["content"] if part["type"] == "text"
    )


def key_of(body: dict[str, Any]) -> str:
    """A short name of a request's messages: the same question has the same one."""
    return hashlib.sha256(json.dumps(body["messages"]).encode()).hexdigest()[:16]


@dataclass
class Misbehaving:
    """``answer`` gets each request's body and how often that question was asked before."""

    answer: Callable[[dict[str, Any], int], Reply]
    models: Reply = field(default_factory=lambda: Reply({"object": "list", "data": [{"id": "m", "object": "model"}]}))
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    most_concurrent: int = 0
    url: str = ""
    _concurrent: int = 0
    _lock: Lock = field(default_factory=Lock)

    def reply(self, body: dict[str, Any], headers: dict[str, str]) -> Reply:
        with self._lock:
            before = sum(key_of(each) == key_of(body) for each in self.asked)
            self.asked.append(body)
            self.headers.append(headers)
            self._concurrent += 1
            self.most_concurrent = max(self.most_concurrent, self._concurrent)
        try:
            reply = self.answer(body, before)
            time.sleep(reply.wait)
            return reply
        finally:
            with self._lock:
                self._concurrent -= 1


@contextmanager
def serving(server: Misbehaving, port: int = 0) -> Iterator[Misbehaving]:
    """Serve on loopback, on a free port unless one is named."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send(server.models)

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            content = self.rfile.read(length)
            if len(content) < length:  # its client was killed in mid-request
                self.close_connection = True
                return
            self.send(server.reply(json.loads(content), dict(self.headers)))

        def send(self, reply: Reply) -> None:
            content = (reply.body if isinstance(reply.body, str) else json.dumps(reply.body)).encode()
            self.send_response(reply.status)
            for name, value in {"Content-Type": reply.kind, **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: reply.sent])
            self.close_connection = reply.sent is not None

        def log_message(self, *_: object) -> None: ...

    http = _Server(("127.0.0.1", port), Handler)
    server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
    thread = Thread(target=http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        for connection in http.connections:
            with suppress(OSError):  # its other end may be closed already
                connection.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingHTTPServer):
    """Remembers its connections, so that its end ends them, as that of a process would."""

    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        self.connections: list[socket.socket] = []
        super().__init__(*arguments)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client that was killed is no fault
            super().handle_error(request, client_address)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.connections.append(connection)
        return connection, address
