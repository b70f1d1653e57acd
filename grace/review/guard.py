"""Who may ask the page for anything: holders of its token, in a browser on this machine, from the page itself.

Other programs and users of the machine lack the token. Other sites in the same browser can neither read (the cookie is
``SameSite=Strict``; a name of theirs that resolves to this machine is no ``Host`` of ours) nor post (``Origin``, and a
second token that only the page's own script can read). Nothing is loaded from elsewhere; no script stands in a page.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from html import escape
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = {"127.0.0.1", "localhost", "[::1]"}
"""Names by which a browser on this machine, or at the near end of a tunnel, reaches a loopback address."""
COOKIE = "grace-review"
MAX_BODY = 100_000

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True)
class Guard:
    """ASGI middleware around the application.

    Args:
        application: What answers those who may ask.
        token: The secret in the address.
    """

    application: ASGIApp
    token: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] == "lifespan":
            await self.application(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                given = {name for name, _ in message["headers"]}
                if b"cache-control" not in given:
                    headers.append((b"cache-control", b"no-store"))
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        if not _is_ours(headers.get("host", "")):
            await _refuse(with_headers, 421, "This address is not the review page's: open the one that it printed.")
        elif "token" in query and scope["method"] == "GET" and self._same(query["token"]):
            await self._welcome(scope, with_headers)
        elif not self._same(_cookie(headers.get("cookie", ""), _port(headers["host"]))):
            await _refuse(with_headers, 403, "This page needs its token: open the whole address that it printed.")
        elif scope["method"] not in ("GET", "HEAD") and not self._may_post(headers):
            await _refuse(with_headers, 403, "Only the review page itself may change anything: reload it.")
        elif _too_long(headers):
            await _refuse(with_headers, 413, "That is more than a correction can be.")
        else:
            scope.setdefault("state", {})["form_token"] = self.form_token
            await self.application(scope, receive, with_headers)

    @property
    def form_token(self) -> str:
        """What the page's own script sends with every change."""
        return hmac.new(self.token.encode(), b"form", hashlib.sha256).hexdigest()

    def _same(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())

    def _may_post(self, headers: dict[str, str]) -> bool:
        return (
            headers.get("origin") == f"http://{headers['host']}"
            and headers.get("content-type", "").partition(";")[0].strip() == "application/json"
            and hmac.compare_digest(headers.get("x-form-token", "").encode(), self.form_token.encode())
        )

    async def _welcome(self, scope: Scope, send: Send) -> None:
        """Keep the token in a cookie, and go to the same address without it.

        By a page that refreshes: a cookie that is Strict would not follow a redirect from a link in another program.
        """
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        rest = urlencode([(name, value) for name, value in pairs if name != "token"])
        path = "/" + scope["path"].lstrip("/\\")  # never the name of another host
        address = escape(f"{path}?{rest}" if rest else path, quote=True)
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        cookie = f"{COOKIE}-{_port(host)}={self.token}; Path=/; HttpOnly; SameSite=Strict"
        body = f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={address}">'
        await _respond(send, 200, body, "text/html", [(b"set-cookie", cookie.encode())])


def _is_ours(host: str) -> bool:
    name, colon, port = host.rpartition(":")
    return host in HOSTS or bool(colon and name in HOSTS and port.isdecimal())


def _too_long(headers: dict[str, str]) -> bool:
    length = headers.get("content-length", "0")
    return not length.isdecimal() or len(length) > 9 or int(length) > MAX_BODY or "transfer-encoding" in headers


def _port(host: str) -> str:
    port = host.rpartition(":")[2]
    return port if port.isdecimal() else "80"


def _cookie(header: str, port: str) -> str:
    try:
        found = SimpleCookie(header).get(f"{COOKIE}-{port}")
    except CookieError:
        return ""
    return found.value if found is not None else ""


async def _refuse(send: Send, status: int, sentence: str) -> None:
    await _respond(send, status, sentence, "text/plain")


async def _respond(
    send: Send, status: int, body: str, kind: str, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    content = body.encode()
    length = (b"content-length", str(len(content)).encode())
    start = [(b"content-type", f"{kind}; charset=utf-8".encode()), length, *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": content})
