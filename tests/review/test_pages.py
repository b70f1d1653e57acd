"""Pages: everything of strangers is text, and nothing but a clip's own files can be asked for."""

from __future__ import annotations

import html
import re
from pathlib import Path
from urllib.parse import quote

import pytest

from grace.review.state import Review
from tests.support.review_server import ReviewServer
from tests.support.videos import write_video


def test_texts_and_names_of_strangers_are_text(hostile: list[str], data: Path, tmp_path: Path) -> None:
    review = Review("many", data, tmp_path, tmp_path / "overrides")
    with ReviewServer(review) as server:
        pages = [server.get("/").text, server.get("/?page=2").text, server.get("/audit").text]
        pages += [server.get(f"/clip?id={quote(name, safe='')}").text for name in hostile]
        pages += [server.get(f"/?q={quote(name, safe='')}").text for name in hostile]
        pages += [server.get(f"/?label={quote(name, safe='')}").text for name in hostile]
    for page in pages:
        for markup in ("<script>alert", "<img src=x", "<svg onload", "<iframe", "<style>", "<base", "<b>bold", "<math"):
            assert markup not in page
        assert "' onmouseover='alert" not in page.replace("&#39;", "")
        assert 'href="javascript:' not in page
        assert page.count("<script") == page.count('<script src="/static/') + page.count(
            '<script type="application/json"'
        )


def test_only_a_clips_own_files_can_be_asked_for(server: ReviewServer, tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    for name in ("../secret.mp4", "/etc/passwd", "..%2f..%2fsecret.mp4", "000/000001/../../../secret.mp4", ""):
        for kind in ("video", "strip", "crops"):
            answer = server.get(f"/media/{kind}?id={quote(name, safe='%')}")
            assert answer.status in (400, 404)
            assert answer.body != b"secret"
    for path in (
        "/static/../application.py",
        "/static/%2e%2e/application.py",
        "/static/..%2fguard.py",
        "/media/audit?name=../x",
    ):
        assert server.get(path).status == 404


def test_a_link_out_of_the_root_is_not_followed(server: ReviewServer, tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    (tmp_path / "raw" / "000").mkdir()
    (tmp_path / "raw" / "000" / "000001.mp4").symlink_to(tmp_path / "secret.mp4")
    assert server.get("/media/video?id=000/000001").status == 400


def test_a_video_is_sent_in_ranges_whatever_its_codec(server: ReviewServer, tmp_path: Path) -> None:
    (tmp_path / "raw" / "000").mkdir()
    write_video(tmp_path / "raw" / "000" / "000001.mp4", 12)
    whole = server.get("/media/video?id=000/000001")
    assert (whole.status, whole.headers["content-type"], whole.headers["accept-ranges"]) == (200, "video/webm", "bytes")
    part = server.get("/media/video?id=000/000001", {**server.own_headers, "Range": "bytes=4-9"})
    assert (part.status, part.body) == (206, whole.body[4:10])


def test_filmstrips_are_kept_and_made_again_with_their_shard(server: ReviewServer, data: Path) -> None:
    first = server.get("/media/strip?id=000/000001")
    assert first.body[:2] == b"\xff\xd8"
    assert len(list((data / "review/strips").glob("*/*.jpg"))) == 1
    assert server.get("/media/strip?id=000/000001").body == first.body
    assert server.get("/media/strip?id=000/000000").status == 404  # it failed


def test_a_run_is_looked_through(server: ReviewServer) -> None:
    found = server.get("/api/look?id=000/000001").json()
    assert len(found["unfolding"]) == 16
    assert found["unfolding"][-1] == pytest.approx(found["probabilities"], abs=1e-3)
    assert server.get("/api/neighbours?id=000/000001").json()["clips"][0]["likeness"] <= 1.001
    assert "the video is empty" in server.get("/api/look?id=000/000000").json()["sentence"]


def test_a_confusion_cell_leads_to_its_clips(server: ReviewServer, review: Review) -> None:
    page = server.get("/runs").text
    links = re.findall(r'href="(/\?label=[^"]+)"[^>]*>(\d+)</a>', page)
    assert len(links) > 7
    for address, count in links[:6]:
        shown = server.get(html.unescape(address)).text
        assert re.search(rf'<b class="num">{count}</b>', shown), address


def test_an_audit_count_leads_to_its_texts(server: ReviewServer) -> None:
    page = server.get("/audit").text
    links = re.findall(r'href="(/\?[^"]*says=[^"]+)">(\d+)<', page)
    assert links
    for address, count in links[:4]:
        assert re.search(rf'<b class="num">{count}</b>', server.get(html.unescape(address)).text), address


def test_a_clip_without_faces_has_its_video_and_its_prediction(server: ReviewServer, tmp_path: Path) -> None:
    (tmp_path / "raw" / "000").mkdir()
    write_video(tmp_path / "raw" / "000" / "000000.mp4", 12)
    page = server.get("/clip?id=000/000000").text
    assert "<video" in page and "controls" in page
    assert page.count("<li data-label=") == 7
    assert 'name="run"' in page
    assert 'id="strip"' not in page and 'id="crop"' not in page
