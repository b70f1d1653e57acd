"""A person's way through the review page in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from grace.pipeline.execution.runner import run
from grace.pipeline.store import Store
from grace.pipeline.store.schemas import DESCRIPTIONS
from grace.pipeline.text.overrides import read_overrides
from grace.pipeline.text.refine import RefineStep, refine_step
from grace.pipeline.text.settings import RefineSettings
from grace.review.state import Review
from tests.support.browser import SIZES, enter, expect, fits, window
from tests.support.fake_engines import Script
from tests.support.review_server import ReviewServer
from tests.support.texts import GOOD
from tests.support.videos import write_video

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow
PATHS = (
    "/",
    "/clip?id=000/000001",
    "/clip?id=000/000000",  # its faces failed
    "/runs?run=grace",
    "/runs?run=grace&versus=vision",
    "/?run=grace&versus=vision&outcome=only-first",
    "/audit",
    "/rate?rater=ann",
    "/agreement",
    "/?q=none-like",
)


def test_a_filter_has_an_address_that_can_be_shared(page: Page, server: ReviewServer) -> None:
    page.locator("select[name=label]").select_option("fear")
    page.wait_for_url("**/?label=fear*")
    shown = page.locator(".card").count()
    assert shown == page.locator(".card .label", has_text="fear").count() > 0
    page.get_by_label("Search texts and ids").fill("brows")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**q=brows*")
    address, texts = page.url, page.locator(".card").all_inner_texts()
    page.goto(f"{server.base}/")
    page.goto(address)
    assert page.locator(".card").all_inner_texts() == texts
    page.locator(".chip", has_text="fear").click()
    page.wait_for_url(lambda url: "label" not in url)


def test_a_wrong_pair_is_found_from_the_confusion_matrix(page: Page) -> None:
    page.get_by_role("link", name="Runs").click()
    cell = page.locator("td:not(.own) > a[aria-label*='taken for']").first
    count = int(cell.inner_text())
    cell.click()
    page.wait_for_url("**predicted=*")
    assert page.locator(".card").count() == page.locator(".card .wrong").count() == count


def test_the_keyboard_goes_through_it_all(page: Page, server: ReviewServer) -> None:
    page.keyboard.press("j")
    page.keyboard.press("j")
    second = page.locator(".card .id").nth(1).inner_text()
    page.keyboard.press("Enter")
    page.wait_for_url("**/clip?*")
    expect(page.locator("h1")).to_have_text(second)
    page.locator("#crop[data-drawn]").wait_for(state="attached")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#instant")).to_have_value("1")
    page.keyboard.press("e")
    expect(page.locator("[name=description]")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("u")
    expect(page.get_by_label("is unusable")).to_be_checked()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("g")
    page.wait_for_url(f"{server.base}/")
    page.keyboard.press("n")
    page.wait_for_url("**page=2*")
    page.keyboard.press("/")
    expect(page.locator("[name=q]")).to_be_focused()


def pixels(page: Page, selector: str) -> str:
    return str(page.locator(selector).evaluate("canvas => canvas.toDataURL()"))


def test_a_word_shows_where_its_mass_goes_and_a_patch_its_words(page: Page, server: ReviewServer, worded: Path) -> None:
    page.goto(f"{server.base}/clip?id=000/000001")
    page.locator("#crop[data-drawn]").wait_for(state="attached")
    words = page.locator("#description .word")
    words.first.wait_for()
    before, axis = pixels(page, "#crop"), page.locator("#axis").inner_html()
    words.first.hover()
    expect(page.locator("#overlay-name")).to_contain_text("beside the average word")  # drawn in one go with the rest
    assert pixels(page, "#crop") != before
    assert page.locator("#axis").inner_html() != axis
    page.locator("#crop").hover(position={"x": 30, "y": 30})
    page.locator("#description .word.h1, #description .word.h2, #description .word.h3").first.wait_for()
    marked = pixels(page, "#crop")
    page.locator("#opacity").fill("0")
    assert pixels(page, "#crop") != marked


def test_the_video_plays_beside_its_crops(page: Page, server: ReviewServer, tmp_path: Path) -> None:
    (tmp_path / "raw" / "000").mkdir()
    write_video(tmp_path / "raw" / "000" / "000001.mp4", 60)
    page.goto(f"{server.base}/clip?id=000/000001")
    page.locator("#crop[data-drawn]").wait_for(state="attached")
    page.locator("#play").click()
    page.locator("#play[aria-pressed=true]").wait_for()
    page.locator("#play[aria-pressed=false]").wait_for(timeout=20_000)  # its end
    assert int(page.locator("#instant").input_value()) > 5
    assert page.locator("#boxes rect").count() == 1


def test_a_correction_reaches_the_shard(page: Page, server: ReviewServer, review: Review, data: Path) -> None:
    page.goto(f"{server.base}/clip?id=000/000033")
    page.get_by_label("You").fill("ann")
    page.get_by_label("Description").fill('The jaw drops, "wide", then it closes.')
    page.get_by_role("button", name="Add a cue").click()
    expect(page.get_by_label("region").last).to_be_focused()  # the new one
    page.get_by_label("action").last.fill("drops")
    page.get_by_label("region").last.select_option("jaw")
    page.keyboard.press("Control+Enter")
    page.locator("#description", has_text="The jaw drops").wait_for()
    page.wait_for_load_state()  # buttons work once the script has run
    expect(page.locator(".texts .notice")).to_contain_text("Corrected; the next grace refine takes it up")
    step = refine_step(RefineSettings(model="script"), read_overrides(review.corrections.texts, data))
    assert isinstance(step, RefineStep)
    step.engine = Script(*[GOOD] * 200)
    run(step, data, size=32)
    row = Store(data / "descriptions", DESCRIPTIONS).find("000/000033")
    assert row is not None
    assert (row["description"], row["engine"]) == ('The jaw drops, "wide", then it closes.', "override")
    assert row["cues"][0]["region"] == "jaw"
    page.get_by_role("button", name="Undo").click()
    page.locator(".history li", has_text="took it back").wait_for(state="attached")
    assert not read_overrides(review.corrections.texts, data)


def test_two_browsers_at_once_lose_nothing(browser: Browser, server: ReviewServer, review: Review) -> None:
    with window(browser) as first, window(browser) as second:
        for page, person, text in ((first, "ann", "The brows rise."), (second, "ben", "The lips part.")):
            enter(page, server)
            page.goto(f"{server.base}/clip?id=000/000005")
            page.get_by_label("You").fill(person)
            page.get_by_label("Description").fill(text)
        first.get_by_role("button", name="Save").click()
        first.locator("#description", has_text="The brows rise.").wait_for()
        second.get_by_role("button", name="Save").click()
        told = second.get_by_role("alert").filter(has_text="ann wrote")
        told.wait_for()
        assert "The brows rise." in told.inner_text()
        assert second.get_by_label("Description").input_value() == "The lips part."
        assert review.corrections.get("000/000005").description == "The brows rise."
        second.get_by_role("button", name="Write mine over it").click()
        second.locator("#description", has_text="The lips part.").wait_for()
        second.locator("summary", has_text="History").click()
        expect(second.locator(".history li", has_text="The brows rise.")).to_be_visible()


def test_a_mark_needs_a_reason_and_is_found(page: Page, server: ReviewServer) -> None:
    page.goto(f"{server.base}/clip?id=000/000006")
    page.get_by_label("has a doubtful label").check()
    page.get_by_role("button", name="Mark", exact=True).click()
    page.get_by_role("alert").filter(has_text="needs a reason").wait_for()
    page.get_by_label("Because").fill("it is a yawn")
    page.get_by_role("button", name="Mark", exact=True).click()
    page.locator(".flag", has_text="doubtful").wait_for()
    page.goto(f"{server.base}/?mark=doubtful")
    assert page.locator(".card").count() == 1


def test_ratings_go_by_key_from_clip_to_clip(page: Page, server: ReviewServer) -> None:
    page.goto(f"{server.base}/rate?rater=ann&kind=caption")
    for number in range(1, 3):
        clip = page.locator(".rating").get_attribute("data-id")
        page.keyboard.press("1")
        page.locator(f".rating:not([data-id='{clip}'])").wait_for()
        page.wait_for_load_state()  # keys work once the script has run
        page.get_by_text(f"{number} of 50").wait_for()


def test_fifty_hostile_texts_and_names_are_text(
    browser: Browser,
    hostile: list[str],
    data: Path,
    tmp_path: Path,
) -> None:
    review = Review("many", data, tmp_path, tmp_path / "overrides")
    with ReviewServer(review) as server, window(browser) as page:
        enter(page, server)
        shown = page.locator(".card .said-text").all_inner_texts()
        page.goto(f"{server.base}/?page=2")
        shown += page.locator(".card .said-text").all_inner_texts()
        flat = {"".join(text.split()) for text in shown}
        assert {"".join(name.split()) for name in hostile} <= flat
        for place in range(0, 50, 7):
            page.goto(f"{server.base}/?page={1 + place // 48}")
            page.locator(".card a").nth(place % 48).click()
            expect(page.locator(".clip h1")).to_have_text(hostile[place])
            page.wait_for_load_state()
        assert page.evaluate("() => document.querySelectorAll('iframe, base, math, main style').length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_pages_fit_and_axe_finds_nothing_serious(
    browser: Browser, two_runs: Path, server: ReviewServer, width: int, height: int, scheme: str
) -> None:
    with window(browser, width, height, scheme) as page:
        enter(page, server)
        for path in PATHS:
            page.goto(f"{server.base}{path}")
            fits(page)
        background = page.evaluate("() => getComputedStyle(document.documentElement).backgroundColor")
        assert (background == "rgb(22, 24, 27)") == (scheme == "dark")
