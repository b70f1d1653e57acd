"""A real browser for the review page and what it writes: Debian's Chromium, driven by Playwright, and axe-core.

A machine without them skips these tests, unless ``BROWSER_TESTS=required`` says that it must have them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.review_server import ReviewServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

CHROMIUM = shutil.which("chromium")
AXE = Path(os.environ.get("AXE_CORE", "node_modules/axe-core/axe.min.js")).resolve()
SIZES = ((1400, 900), (400, 800))


def lacking(what: str) -> None:
    """Skip the test, or fail it where a browser is required."""
    if os.environ.get("BROWSER_TESTS") == "required":
        pytest.fail(what)
    pytest.skip(what)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser."""
    try:
        from playwright.sync_api import expect as expecting
        from playwright.sync_api import sync_playwright
    except ImportError:
        lacking("needs the extra 'browser'")
    if CHROMIUM is None:
        lacking("needs Debian's chromium: apt-get install chromium")
    expecting.set_options(timeout=30_000)  # as the other waits of Playwright; its 5 seconds are few on a busy machine
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@contextmanager
def window(
    browser: Browser, width: int = 1400, height: int = 900, scheme: Any = "light", **more: Any
) -> Iterator[Page]:
    """A page of its own; it fails the test when a script fails or the policy of a page is broken."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, **more)
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
    opened.on("dialog", lambda dialog: faults.append(dialog.message) if dialog.type == "alert" else dialog.accept())
    yield opened
    context.close()
    assert not faults


def expect(what: Page | Locator) -> Any:
    """Playwright's assertions: they wait until keys, clicks and loads have had their effect; a plain read does not."""
    from playwright.sync_api import expect as expecting

    return expecting(what)


def enter(page: Page, server: ReviewServer) -> None:
    """Open the address that the command prints."""
    page.goto(server.address)
    page.wait_for_url(f"{server.base}/")


def fits(page: Page) -> None:
    """Assert that the page, once all of it is there, is no wider than its window, and axe finds nothing serious."""
    page.wait_for_load_state("networkidle")
    assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0, f"{page.url} is too wide"
    if not AXE.is_file():
        lacking("needs axe-core: npm install --no-save axe-core, or name axe.min.js in AXE_CORE")
    page.evaluate(AXE.read_text())
    found = page.evaluate("() => axe.run()")["violations"]
    serious = [
        f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found if each["impact"] in ("serious", "critical")
    ]
    assert not serious, f"{page.url}: {serious}"
