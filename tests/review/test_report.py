"""`grace report`: one page that needs nothing else, shows strangers' texts as text, and prints."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from grace.pipeline.store import open_store
from grace.trainer.settings import TrainSettings
from grace.trainer.train import train
from stages import app
from tests.support.browser import fits, window
from tests.support.toy_cache import toy_cache

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PARAMS = (
    "folds: [1, 2]\ntrain: {method: vision, epochs: 2, hidden: 16, layers: 1, heads: 2}\nevaluate: {bootstrap: 50}\n"
)
SHORT = TrainSettings(method="vision", epochs=2, hidden=16, layers=1, heads=2)


class Page(HTMLParser):
    """Its elements, their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def report(folder: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> str:
    """The page of the data set in ``folder/data``, and what the command printed."""
    monkeypatch.chdir(folder)
    Path("params.yaml").write_text(PARAMS)
    (name,) = (path.name for path in Path("data").iterdir())
    done = CliRunner().invoke(app, ["report", "-d", name, "--out", "report.html", *options])
    assert done.exit_code == 0, done.output
    return Path("report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small data set and two folds of a run."""
    folder = tmp_path_factory.mktemp("scored")
    toy_cache(folder / "data" / "toy", failed=(0,))
    for fold in (1, 2):
        train(folder / "data" / "toy", SHORT, fold, quiet=True)
    return folder


def test_the_page_holds_scores_over_people_and_their_origin(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = report(trained, monkeypatch, "--no-pdf")
    page = Page(text)
    assert "bootstrap draws over 6 people" in page.text
    assert "vision" in page.text
    for heading in ("Data", "Scores", "Failures", "Settings", "Versions and digests"):
        assert heading in page.text
    for digest in re.findall(
        r"fingerprint: (\w{32})", (trained / "data/toy/runs/vision/fold-2/config.yaml").read_text()
    ):
        assert digest in page.text
    assert "learning_rate" in page.text
    assert text == report(trained, monkeypatch, "--no-pdf"), "the same data give the same bytes"


def test_a_set_without_a_run_is_reported_without_scores(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Page(report(tmp_path, monkeypatch, "--no-pdf"))
    assert "Method vision has not been trained" in page.text
    assert "Examples" in page.text
    assert page.tags.count("img") == 6


def test_a_report_of_missing_shards_says_which(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "lacks" not in report(tmp_path, monkeypatch, "--no-pdf")
    store = open_store(data, "descriptions")
    last = store.shards()[-1]
    store.write(last, store.read(last)[:-1], store.meta(last))
    done = CliRunner().invoke(app, ["report", "-d", data.name, "--out", "report.html", "--no-pdf"])
    assert "descriptions lacks 1 of " in " ".join(done.stderr.split())


def test_hostile_texts_and_names_are_text(hostile: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page(report(tmp_path, monkeypatch, "--no-pdf"))
    assert not {"script", "iframe", "base", "form", "template", "object", "math", "plaintext"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert all(value.startswith("data:image/jpeg;base64,") for name, value in page.attributes if name == "src")
    assert all(value.startswith("#") for name, value in page.attributes if name == "href")
    assert sum(name in page.text for name in hostile) >= 3


@pytest.mark.slow
def test_a_browser_without_a_network_shows_it_and_prints_it(
    browser: Browser, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(trained, monkeypatch)
    assert Path("report.pdf").read_bytes().startswith(b"%PDF")
    for width, scheme in ((1100, "light"), (400, "dark")):
        with window(browser, width, 900, scheme, offline=True) as page:
            asked: list[str] = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.goto(Path("report.html").resolve().as_uri())
            assert [url for url in asked if not url.startswith("data:")] == [Path("report.html").resolve().as_uri()]
            fits(page)
