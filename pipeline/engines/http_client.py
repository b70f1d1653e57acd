"""HTTP to a server that is a stranger: total deadlines, limits on size, no redirects, no key in any message."""

from __future__ import annotations

import base64
import logging
import math
import os
import re
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote, unquote

from grace.pipeline.engines.chat_protocol import read_error
from grace.pipeline.engines.proxies import proxy_of, shown_proxy
from grace.pipeline.errors import UserError
from grace.pipeline.messages import one_line

if TYPE_CHECKING:
    import httpx2

    from grace.pipeline.engines.settings import ServerSettings

UNAVAILABLE = (429, 502, 503, 504)
"""Status codes of a server that is busy or starting, or of a gateway whose server is away."""
MAX_ANSWER = 8 << 20
"""Bytes of the longest answer that is read: a text of a few hundred tokens takes thousands."""
CONNECT_TIMEOUT = 10.0
"""Seconds after which a server that accepts no connection counts as away."""
SHORTEST_SECRET = 8
"""Characters; shorter keys are placeholders, such as vLLM's EMPTY, and ordinary words."""
LONGEST_WORD = 15
"""Letters alone, and no more of them, are a word where they need not be a key: answers may hold it."""
KEY = "OPENAI_API_KEY"


class UnavailableError(Exception):
    """The server is away or busy. ``retry_after`` is how many seconds it asks to wait."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class FaultyAnswerError(Exception):
    """The server failed on this request; it may succeed when asked again."""


class RefusedError(Exception):
    """The server will not do this, asked again or not."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"the server answers {status}: {message}")
        self.status = status
        self.message = message


class ServerClient:
    """One server: sends requests, and gives the bytes of whole answers that it could read within the limits.

    It belongs to one event loop. Every connection serves one request, so that what a server sends too much is never
    taken for the next answer.

    Args:
        settings: Where the server is, and how long an answer may take.

    Raises:
        UserError: The address, the key or the proxy that the environment names cannot be used.
    """

    def __init__(self, settings: ServerSettings) -> None:
        import httpx2

        self.timeout = settings.timeout
        key = os.environ.get(KEY, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise UserError(f"The variable {KEY} holds characters that no key has: set it again.")
        url = _address(settings.url)
        proxy = proxy_of(str(url))
        self.secrets = sorted(_secrets(key, url) | _proxy_secrets(proxy), key=len, reverse=True)
        """What no message shows; the longest first, since one may be a part of another."""
        self.name = self.redact(str(url.copy_with(username=None, password=None, query=None, fragment=None)))
        """The address, as messages show it."""
        for library in ("httpx2", "httpcore2"):  # their remarks hold addresses and headers as they are
            logging.getLogger(library).setLevel(logging.WARNING)
        try:
            self._client = httpx2.AsyncClient(
                base_url=url.copy_with(query=None, fragment=None),
                params=url.params,
                # Compressed, a small answer may fill the memory; pictures and their answers do not gain by it.
                headers={"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {}),
                timeout=httpx2.Timeout(None, connect=min(CONNECT_TIMEOUT, self.timeout)),
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
                follow_redirects=False,
                proxy=proxy or None,
                mounts=None
                if proxy
                else {f"{url.scheme}://{url.netloc.decode()}": None},  # whatever the environment says
            )
        except (httpx2.InvalidURL, ValueError, ImportError) as error:
            if not proxy:
                raise
            raise UserError(
                f"The proxy {self.redact(shown_proxy(proxy))}, which the environment names, cannot be used "
                f"({self._said(error)}): set HTTP_PROXY and HTTPS_PROXY to one of http, or NO_PROXY={url.host}."
            ) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def redact(self, text: str) -> str:
        """``text`` without keys and passwords: a server may repeat what it was sent."""
        for secret in self.secrets:
            text = text.replace(secret, "[key]")
        return text

    async def send(self, method: str, path: str, content: bytes | None = None) -> bytes:
        """Send a request and read the whole answer.

        Args:
            method: ``GET`` or ``POST``.
            path: Below the server's address.
            content: JSON.

        Returns:
            The answer's bytes.

        Raises:
            UnavailableError: The server is away or busy.
            FaultyAnswerError: It gives no whole answer in time, or one that is broken or too long.
            RefusedError: It refuses the request.
            UserError: It sends requests elsewhere, or its certificate cannot be checked.
        """
        import anyio
        import httpx2

        began = False
        headers = {"Content-Type": "application/json"} if content is not None else {}
        try:
            with anyio.fail_after(self.timeout):
                async with self._client.stream(method, path, content=content, headers=headers) as response:
                    began = True
                    return await self._read(response)
        except TimeoutError:
            raise FaultyAnswerError(f"the server gives no answer within {self.timeout:g} s") from None
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
            self._refuse_bad_tls(error)
            raise UnavailableError(self._said(error) or type(error).__name__) from None
        except httpx2.TransportError as error:
            cause = self._said(error) or type(error).__name__
            if not began and not await self._is_reachable():
                raise UnavailableError(cause) from None
            what = "breaks off its answer" if began else "gives no answer that is HTTP"
            raise FaultyAnswerError(f"the server {what} ({cause})") from None

    async def _read(self, response: httpx2.Response) -> bytes:
        status, headers = response.status_code, response.headers
        if 300 <= status < 400:
            raise UserError(
                f"The server {self.name} redirects to {self._said(headers.get('location', 'another place'))}: nothing "
                "was sent there. If that is your server, set server.url to it."
            )
        if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise FaultyAnswerError("the server compresses its answer, which it was asked not to do")
        content = bytearray()
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > MAX_ANSWER:
                raise FaultyAnswerError(f"the server's answer is longer than {MAX_ANSWER >> 20} MB")
        if 200 <= status < 300:
            return bytes(content)
        message = self._said(read_error(bytes(content)))
        if status in UNAVAILABLE:
            raise UnavailableError(f"it answers {status}: {message}", retry_after(headers.get("retry-after", "")))
        if status < 200 or status == 408 or status >= 500:
            raise FaultyAnswerError(f"the server answers {status}: {message}")
        raise RefusedError(status, message)

    def _said(self, text: Any) -> str:
        """What the server or the network says, for a message: without the key, on one short line."""
        return one_line(self.redact(str(text)))

    async def _is_reachable(self) -> bool:
        """Whether the server answers other requests, so that the trouble is with this one."""
        import anyio
        import httpx2

        try:
            with anyio.fail_after(min(CONNECT_TIMEOUT, self.timeout)):
                async with self._client.stream("GET", "models") as response:
                    return response.status_code not in UNAVAILABLE
        except (TimeoutError, httpx2.TransportError):
            return False

    def _refuse_bad_tls(self, error: BaseException) -> None:
        """Raise :class:`UserError` when a connection failed for its encryption: waiting would not help."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLError):
                raise UserError(
                    f"The server {self.name} cannot be reached over https ({self._said(cause)}): name http:// if it is "
                    "one of yours without encryption, or name its certificate in the variable SSL_CERT_FILE."
                ) from None
            cause = cause.__cause__ or cause.__context__


def retry_after(header: str) -> float:
    """Seconds that a server asks to wait, by its header ``Retry-After``; 0 when it says nothing that makes sense.

    Example:
        >>> retry_after("3"), retry_after("-5"), retry_after("soon"), retry_after("nan")
        (3.0, 0.0, 0.0, 0.0)
        >>> retry_after("Wed, 21 Oct 2015 07:28:00 GMT")
        0.0
    """
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(header).astimezone(UTC) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError, IndexError):
            return 0.0
    return 0.0 if math.isnan(seconds) else max(seconds, 0.0)


def _address(text: str) -> httpx2.URL:
    """The server's address. Raises :class:`UserError` when it is none."""
    import httpx2

    try:
        url = httpx2.URL(text)
        url = url.copy_with(path=url.path.rstrip("/") + "/")
    except (httpx2.InvalidURL, ValueError):
        _refuse_address(text)
    if url.scheme not in ("http", "https") or not url.host or not 0 <= (url.port or 0) < 1 << 16:
        _refuse_address(text)
    return url


def _secrets(key: str, url: httpx2.URL) -> set[str]:
    """The key, and what an address holds beside the place, as it is written there and as it is sent."""
    surely = [key, url.password, *([] if url.password else [url.username])]
    perhaps = [url.username, *(part for item in url.params.multi_items() for part in item)]
    found = {each for each in surely if len(each) >= SHORTEST_SECRET}
    found |= {each for each in perhaps if len(each) > (LONGEST_WORD if each.isalpha() else SHORTEST_SECRET - 1)}
    if found & {url.username, url.password}:
        found |= {url.userinfo.decode(), base64.b64encode(f"{url.username}:{url.password}".encode()).decode()}
    return found | {quote(each, safe="") for each in found}


def _proxy_secrets(proxy: str) -> set[str]:
    """What the address of a proxy holds beside the place."""
    user, _, password = proxy.partition("://")[2].rpartition("@")[0].partition(":")
    found = {each for each in (password or user, unquote(password or user)) if len(each) >= SHORTEST_SECRET}
    return found | ({base64.b64encode(unquote(f"{user}:{password}").encode()).decode()} if found else set())


def _refuse_address(text: str) -> NoReturn:
    shown = one_line(re.split(r"[?#]", text.rpartition("@")[2])[0])  # what stands before and after may be a key
    raise UserError(f"server.url '{shown}' is no address of a server: write it like http://HOST:8000/v1.")
