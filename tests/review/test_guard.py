"""Only holders of the token, in a browser on this machine, from the page itself."""

from __future__ import annotations

import pytest

from tests.support.review_server import TOKEN, ReviewServer, raw

CHANGE = {"id": "000/000001", "version": "", "by": "t", "changes": {"description": "The jaw drops."}}


def test_every_address_needs_the_token(server: ReviewServer) -> None:
    host = {"Host": f"127.0.0.1:{server.port}"}
    for path in (
        "/",
        "/clip?id=000/000001",
        "/media/strip?id=000/000001",
        "/static/style.css",
        "/api/look?id=x",
        "/no",
    ):
        assert server.get(path, host).status == 403, path
        assert server.get(f"{path}{'&' if '?' in path else '?'}token=wrong", host).status == 403
    assert server.get("/").status == 200


def test_the_token_is_kept_in_a_strict_cookie_and_leaves_the_address(server: ReviewServer) -> None:
    welcome = server.get(f"/?label=fear&token={TOKEN}", {"Host": f"localhost:{server.port}"})
    assert welcome.status == 200
    cookie = welcome.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert 'content="0;url=/?label=fear"' in welcome.text
    assert TOKEN not in server.get("/").text


def test_the_welcome_page_leads_to_no_other_host(server: ReviewServer) -> None:
    for path in ("//evil.example/", "/\\evil.example/", "///evil.example"):
        body = server.get(f"{path}?token={TOKEN}").text
        assert "url=/evil.example" in body


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "localhost:80:80"])
def test_a_name_that_is_rebound_to_this_machine_is_refused(server: ReviewServer, host: str) -> None:
    headers = {**server.own_headers, "Host": host}
    assert server.get("/", headers).status in (400, 421)
    assert server.get(f"/?token={TOKEN}", headers).status in (400, 421)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"X-Form-Token": "0" * 64},
        {"X-Form-Token": ""},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Cookie": ""},
    ],
)
def test_another_site_cannot_post(server: ReviewServer, headers: dict[str, str]) -> None:
    assert server.post("/api/correct", CHANGE, headers).status == 403
    assert not server.review.corrections.all()


def test_a_change_by_get_is_none(server: ReviewServer) -> None:
    assert server.get("/api/correct?id=000/000001").status == 405


def test_nothing_is_loaded_from_elsewhere_and_no_script_runs_in_a_page(server: ReviewServer) -> None:
    for path in ("/", "/clip?id=000/000001", "/runs", "/audit", "/rate", "/agreement", "/missing"):
        page = server.get(path)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy and "http" not in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert "<style" not in page.text and " style=" not in page.text and " onclick" not in page.text
        assert "https://" not in page.text


def test_a_long_body_and_one_of_unknown_length_are_refused(server: ReviewServer) -> None:
    assert server.post("/api/correct", {**CHANGE, "by": "x" * 200_000}).status == 413
    headers = "".join(f"{name}: {value}\r\n" for name, value in server.own_headers.items())
    own = f"Origin: {server.base}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
    answer = raw(
        server.port, f"POST /api/correct HTTP/1.1\r\n{headers}{own}Connection: close\r\n\r\n0\r\n\r\n".encode()
    )
    assert answer.startswith((b"HTTP/1.1 403", b"HTTP/1.1 413"))
