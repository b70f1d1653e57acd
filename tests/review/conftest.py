"""A small data set under review: real shards, a finished run, corrections in a folder of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks.review_set import make_set
from grace.pipeline.checkpoints import load_tokenizer
from grace.pipeline.store import Clips, Store, write_clips
from grace.pipeline.store.schemas import CAPTIONS, DESCRIPTIONS, TOKENS
from grace.review.state import Review
from tests.support.browser import chromium, enter, window
from tests.support.review_runs import add_run
from tests.support.review_server import ReviewServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CLIPS = 70

MARKUP = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"><svg onload=alert(1)>",
    "' onmouseover='alert(1)",
    "</title><script>alert(1)</script>", "</script><script>alert(1)</script>", "<!--", "]]>", "{{7*7}}",
    "{% raw %}",
    "${alert(1)}", "javascript:alert(1)", "&lt;b&gt;", "<b>bold</b>", "\u202eright to left", "\x1b[31mred",
    "a\x00b"[:1],
    "<iframe src=//evil.example>", "<style>*{display:none}</style>", "<base href=//evil.example>", "=HYPERLINK(\"x\")",
    "<a href='javascript:alert(1)'>x</a>", "<meta http-equiv=refresh content=0>", "<form action=//evil.example>",
    "𝒻𝒶𝓃𝒸𝓎 👩‍🦰", "a" * 3000, "line\nbreak\tand tab",
    "\u2028separator",
    "%3Cscript%3E",
    "<math><mi//xlink:href='x'>",
    "..", "../../etc/passwd", "..\\..\\windows", "/etc/passwd", "C:\\x", "a/../b", "con", "a?b=c&d#e",
    "a;b", "a\"b'c`d",
    "<plaintext>", "<textarea>", "</textarea><script>alert(1)</script>", "<select>", "<template>", "<noscript>",
    "<!DOCTYPE x [<!ENTITY y 'z'>]>&y;", "<![CDATA[x]]>", "onload=alert(1)", "expression(alert(1))",
)  # fmt: skip
"""Fifty texts and names that a page must show as what they are."""


@pytest.fixture(scope="session")
def made_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``data/many``, made once and copied by those who change it."""
    folder = tmp_path_factory.mktemp("review") / "many"
    make_set(folder, CLIPS)
    return folder


@pytest.fixture
def data(made_set: Path, tmp_path: Path) -> Path:
    """A copy of the set for one test."""
    return Path(shutil.copytree(made_set, tmp_path / "data" / "many"))


@pytest.fixture
def worded(data: Path) -> Path:
    """The set with tokens of its own descriptions' words, so that words and patches have plans."""
    tokens, texts = Store(data / "tokens", TOKENS), Store(data / "descriptions", DESCRIPTIONS)
    tokenizer, rows = load_tokenizer("pocket/clip"), tokens.read(0)
    for row, text in zip(rows, texts.read(0), strict=True):
        ids = tokenizer(text["description"] or "none", add_special_tokens=False)["input_ids"] * 12
        row["text_id"] = np.array(ids[: len(row["text_id"])], np.int32)
    tokens.write(0, rows, tokens.meta(0))
    return data


@pytest.fixture
def two_runs(data: Path) -> Path:
    """The set with a second run, ``vision``, on the same test clips."""
    add_run(data, "vision")
    return data


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real browser; without one the test is skipped, or fails where one is required."""
    with chromium() as opened:
        yield opened


@pytest.fixture
def page(browser: Browser, server: ReviewServer) -> Iterator[Page]:
    """A page that has the token; it fails the test when a script of ours fails or the policy is broken."""
    with window(browser) as opened:
        enter(opened, server)
        yield opened


@pytest.fixture
def review(data: Path, tmp_path: Path) -> Review:
    """It, opened."""
    (tmp_path / "raw").mkdir()
    return Review("many", data, tmp_path / "raw", tmp_path / "overrides")


@pytest.fixture
def server(review: Review) -> Iterator[ReviewServer]:
    """Its pages, served."""
    with ReviewServer(review) as running:
        yield running


@pytest.fixture
def hostile(data: Path) -> list[str]:
    """The set with these as its clips' names, persons, captions and descriptions."""
    table = Clips(data)
    names = sorted(dict.fromkeys(MARKUP))
    assert len(names) == 50
    rows = [
        {**row, "clip_id": name, "path": name, "subject": name} for row, name in zip(table.rows, names, strict=False)
    ]
    write_clips(data, rows, table.labels)
    for folder, schema, column in (("captions", CAPTIONS, "caption"), ("descriptions", DESCRIPTIONS, "description")):
        store = Store(data / folder, schema)
        meta = store.meta(0)
        store.prune(0)
        made = [{"clip_id": name, "status": "ok", "error": name, column: name} for name in names]
        store.write(0, made, meta)
    return names
