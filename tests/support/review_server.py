"""The review page of a data set, served in this process on a port of its own, and a plain client for it."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Mapping
from http.client import HTTPConnection
from typing import Any

from grace.review.serve import listen, make_server
from grace.review.state import Review

TOKEN = "a-token-of-the-test"


class Answer:
    """A response, read whole."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body
        self.text = body.decode("utf-8", "replace")

    def json(self) -> Any:
        return json.loads(self.body)


class ReviewServer:
    """Starts on entering, ends on leaving."""

    def __init__(self, review: Review) -> None:
        self.review = review
        self._listener = listen(0)
        self.port: int = self._listener.getsockname()[1]
        self.base = f"http://127.0.0.1:{self.port}"
        self.address = f"{self.base}/?token={TOKEN}"
        self._server = make_server(review, TOKEN)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]}, daemon=True)

    def __enter__(self) -> ReviewServer:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._listener.close()

    @property
    def own_headers(self) -> dict[str, str]:
        """What the page's own browser sends."""
        return {"Host": f"127.0.0.1:{self.port}", "Cookie": f"grace-review-{self.port}={TOKEN}"}

    def get(self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> Answer:
        return self._ask(method, path, self.own_headers if headers is None else headers)

    def post(self, path: str, content: Any, headers: Mapping[str, str] | None = None) -> Answer:
        """A change as the page's script sends it; ``headers`` replace some of its own, None values leave them out."""
        found = re.search(r'name="form-token" content="(\w+)"', self.get("/").text)
        assert found
        own = {"Content-Type": "application/json", "Origin": self.base, "X-Form-Token": found[1], **self.own_headers}
        kept = {name: value for name, value in {**own, **(headers or {})}.items() if value}
        return self._ask("POST", path, kept, json.dumps(content).encode())

    def _ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        connection.close()
        return answer


def raw(port: int, request: bytes) -> bytes:
    """The answer to bytes as they are, for requests that no client sends."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
        return b"".join(parts)
