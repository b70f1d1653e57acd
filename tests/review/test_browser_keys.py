"""What a person without a mouse does on the review page, and what one does with an export, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from grace.review.export import export
from grace.review.state import Review
from tests.support.browser import SIZES, enter, expect, fits, window
from tests.support.review_server import ReviewServer
from tests.support.videos import write_video

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow


def test_arrow_keys_in_a_list_choose_and_enter_shows(page: Page, server: ReviewServer) -> None:
    label, subject = page.locator("select[name=label]"), page.locator("[name=subject]")
    label.focus()
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    page.wait_for_timeout(300)
    assert page.url == f"{server.base}/"
    expect(label).to_be_focused()
    chosen = server.review.live.get().labels[2]
    expect(label).to_have_value(chosen)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/?label={chosen}*")
    expect(label).to_be_focused()
    subject.focus()
    page.keyboard.type("person-850")
    page.keyboard.press("Enter")
    page.wait_for_url("**subject=person-850*")
    expect(subject).to_be_focused()
    expect(subject).to_have_value("person-850")


def test_lists_of_runs_wait_for_enter_too(two_runs: Path, page: Page, server: ReviewServer) -> None:
    page.goto(f"{server.base}/runs")
    page.locator("select[name=run]").focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(200)
    assert page.url == f"{server.base}/runs"
    page.keyboard.press("Enter")
    page.wait_for_url("**run=vision*")
    expect(page.locator("select[name=run]")).to_be_focused()
    page.goto(f"{server.base}/clip?id=000/000001&label=sadness")
    page.locator("select[name=run]").select_option("vision")
    page.wait_for_url("**run=vision*")
    assert "label=sadness" in page.url  # the filter that the clip was found by


@pytest.mark.parametrize("path", ["/", "/clip?id=000/000001", "/runs", "/audit", "/rate", "/agreement"])
def test_a_question_mark_lists_the_keys_on_every_page(page: Page, server: ReviewServer, path: str) -> None:
    page.goto(f"{server.base}{path}")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_words_of_a_patch_come_by_arrow_keys(worded: Path, page: Page, server: ReviewServer) -> None:
    page.goto(f"{server.base}/clip?id=000/000001")
    page.locator("#crop[role=application]").wait_for()
    page.locator("#play").focus()
    page.keyboard.press("Shift+Tab")
    expect(page.locator("#run")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(page.locator("#crop")).to_be_focused()
    note = page.locator("#words-note")
    said: set[str] = set()
    for key, row, column in (("ArrowRight", 1, 2), ("ArrowDown", 2, 2), ("ArrowDown", 3, 2), ("ArrowLeft", 3, 1)):
        page.keyboard.press(key)
        expect(note).to_have_text(re.compile(f"^Row {row}, column {column} of 4:"))
        said.add(note.inner_text())
    assert page.locator("#instant").input_value() == "0"
    assert any(not text.endswith("no word points here.") for text in said)
    fits(page)


def test_words_of_a_patch_come_by_touch(worded: Path, browser: Browser, server: ReviewServer) -> None:
    with window(browser, 400, 800, has_touch=True, is_mobile=True) as page:
        enter(page, server)
        page.goto(f"{server.base}/clip?id=000/000001")
        page.locator("#crop[role=application]").wait_for()
        page.locator("#crop").tap(position={"x": 200, "y": 30})
        expect(page.locator("#words-note")).to_have_text(re.compile("^Row 1, column "))


def test_a_clip_without_faces_plays(page: Page, server: ReviewServer, tmp_path: Path) -> None:
    (tmp_path / "raw" / "000").mkdir()
    write_video(tmp_path / "raw" / "000" / "000000.mp4", 60)
    page.goto(f"{server.base}/clip?id=000/000000")
    page.locator("#words-note", has_text="the video is empty").wait_for()
    page.keyboard.press(" ")
    page.wait_for_function("() => document.querySelector('video').currentTime > 0.1")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_an_export_works_from_disk(
    browser: Browser, two_runs: Path, review: Review, tmp_path: Path, width: int, height: int, scheme: str
) -> None:
    export(review, tmp_path / "out", "run=grace&versus=vision", 12)
    with window(browser, width, height, scheme, offline=True) as page:
        for name in ("index", "runs", "audit", "clips/00001", "clips/00002"):
            page.goto((tmp_path / "out" / f"{name}.html").as_uri())
            fits(page)
        page.locator("#crop[data-drawn]").wait_for(state="attached")
        near = page.locator("#neighbours a").first
        address = near.evaluate("link => link.href")
        near.click()
        page.wait_for_url(address)
        near.wait_for()
        page.get_by_role("link", name="Runs").click()
        link = page.locator(".matrix a").first
        names = str(link.get_attribute("href")).partition("#")[2].split(",")
        assert len(names) < 12
        link.click()
        expect(page.locator("#count")).to_have_text(f"{len(names)} of 12 exported clips. Show all")
        expect(page.locator(".card:visible")).to_have_count(len(names))
        page.get_by_role("link", name="Show all").click()
        expect(page.locator("#count")).to_have_text("12 of 70 clips")
        expect(page.locator(".card:visible")).to_have_count(12)
